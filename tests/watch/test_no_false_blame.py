"""A soak on a loaded machine: nobody is blamed who did not block, and everybody who did is.

CLEARLOOP_SOAK=600 makes it last ten minutes; it is 20 seconds by default.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from clearloop.watch import watchdog
from clearloop.watch.stall import VERDICTS, Frame
from clearloop.watch.verdict import judge

from .stalls import make_stall

SOAK = Path(__file__).with_name("soak.py")
SECONDS = float(os.environ.get("CLEARLOOP_SOAK", "20"))


ATTEMPTS = 3
FUNCTIONS = {"blocking": "block", "compute": "compute"}


@pytest.mark.timeout(ATTEMPTS * (SECONDS * 6 + 120))
def test_only_those_who_hold_the_loop_are_blamed(programs):
    """Nobody else is blamed, ever.  Each deliberate one is told of, and most of them with their own verdict.

    Not all: the watchdog needs a processor and the GIL like anybody, and while it gets neither, which is what the soak
    is made of, it blames nobody for what it has not seen.  Such a stall has to be told as the machine's or the GIL's.
    How many those are depends on who else uses the machine, so there are some attempts at seeing most.
    """
    for attempt in range(ATTEMPTS):
        deliberate, stalls = soak(programs, f"found-{attempt}.jsonl")
        assert all(deliberate.values()), deliberate
        assert stalls["descheduled"]  # the process was stopped again and again
        missed = 0
        for verdict, count in deliberate.items():
            blamed = [stall["function"] for stall in stalls[verdict]]
            assert set(blamed) <= {FUNCTIONS[verdict]}, stalls[verdict]
            assert len(blamed) <= count, stalls[verdict]
            missed += count - len(blamed)
        excused = [stall for verdict in ("gil", "gc", "descheduled") for stall in stalls[verdict]]
        assert sum(stall["seconds"] >= 0.35 for stall in excused) >= missed, (deliberate, stalls)
        if sum(deliberate.values()) >= 3 * missed:
            return
    raise AssertionError(f"{missed} of {deliberate} were excused: {excused}")


def soak(programs, report):
    """How often block() and compute() ran, and the stalls by verdict."""
    ran = subprocess.run(
        [sys.executable, str(SOAK), str(SECONDS)],
        cwd=programs.folder,
        env={**programs.env, "CLEARLOOP_REPORT": report},
        capture_output=True,
        text=True,
        timeout=SECONDS * 6 + 100,
    )
    assert ran.returncode == 0, ran.stderr
    stalls = {verdict: [] for verdict in VERDICTS}
    for stall in programs.records(report, kind="stall"):
        stalls[stall["verdict"]].append(stall)
    [summary] = programs.records(report, kind="summary")
    assert summary["stalls"] == {verdict: len(found) for verdict, found in stalls.items()}
    return json.loads(ran.stdout), stalls


def test_a_thread_that_cannot_start_is_not_the_program_s_fault():
    def frames(*functions):
        return [Frame("/srv/app.py", 1, "main"), *(Frame(threading.__file__, 1, function) for function in functions)]

    def verdict(**fields):
        stall = make_stall(**fields)
        watchdog.excuse(stall)
        return stall.verdict

    assert verdict(stack=frames("Thread.start")) == "gil"
    assert verdict(stack=frames("Thread.start", "Event.wait", "Condition.wait")) == "gil"
    assert verdict(stack=frames("Thread.join")) == "blocking"
    assert verdict(stack=[*frames("Thread.start"), Frame("/srv/app.py", 9, "run")]) == "blocking"
    nothing = {"file": None, "line": None, "function": None, "code": None, "call": None, "task": None, "stack": []}
    assert verdict(**nothing) == "descheduled"
    assert verdict(**nothing, callback="time.sleep") == "blocking"
    assert verdict(**nothing, steps=10) == "blocking"


def test_only_what_was_seen_is_blamed():
    """Of 10 seconds that a loaded machine took, the thread was seen computing for little, and in calls for little."""

    def judged(wall, *, cpu=0, in_call=0, in_gil=0, in_gc=0, delay=0, threshold=100):
        names = {"wall": wall, "cpu": cpu, "in_call": in_call, "in_gil": in_gil, "delay": delay, "threshold": threshold}
        facts = SimpleNamespace(**names, delay_over=wall, late=0, in_fault=0, in_gc=in_gc)
        return judge(facts)

    assert judged(10_000, cpu=400, in_gil=8000, delay=800) == "compute"
    assert judged(10_000, cpu=20, in_gil=8000, delay=800) == "gil"
    assert judged(10_000, cpu=20, in_gil=800, delay=8000) == "descheduled"
    assert judged(10_000, cpu=20, in_call=900, in_gil=8000, delay=800) == "blocking"
    assert judged(120, in_call=110) == "blocking"
    assert judged(120, cpu=110) == "compute"
    assert judged(3000, cpu=400, in_call=0, in_gil=1200, delay=1900) == "compute"  # waits that were guessed too long
    assert judged(3000, cpu=90, in_call=0, in_gil=1200, delay=1900) == "gil"
    assert judged(120, cpu=110, in_gc=100) == "gc"
    # a tenth of a second of garbage takes a second as well where ten want the processor
    assert judged(10_000, cpu=400, in_gc=1000, in_gil=5000, delay=4000) == "compute"
    assert judged(10_000, cpu=400, in_gc=4500, in_gil=5000, delay=4000) == "gc"
    assert judged(10_000, cpu=20, in_call=None, in_gil=8000, delay=800) == "blocking"  # nobody tells what it did
