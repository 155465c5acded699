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
from clearloop.watch.stall import Frame
from clearloop.watch.verdict import judge

from .stalls import make_stall

SOAK = Path(__file__).with_name("soak.py")
SECONDS = float(os.environ.get("CLEARLOOP_SOAK", "20"))


@pytest.mark.timeout(SECONDS * 6 + 120)
def test_only_those_who_hold_the_loop_are_blamed(programs):
    ran = subprocess.run(
        [sys.executable, str(SOAK), str(SECONDS)],
        cwd=programs.folder,
        env={**programs.env, "CLEARLOOP_REPORT": "found.jsonl"},
        capture_output=True,
        text=True,
        timeout=SECONDS * 6 + 100,
    )
    assert ran.returncode == 0, ran.stderr
    deliberate = json.loads(ran.stdout)
    assert all(deliberate.values()), deliberate
    stalls = programs.records(kind="stall")
    blamed = [stall for stall in stalls if stall["verdict"] in ("blocking", "compute")]
    shown = [
        (stall["verdict"], stall["function"] or "?", stall["seconds"], stall["note"], stall["stack"][-4:])
        for stall in blamed
    ]
    # each deliberate one is found, with its own verdict, and nobody else is blamed
    assert sorted(where[:2] for where in shown) == sorted(
        (verdict, {"blocking": "block", "compute": "compute"}[verdict])
        for verdict, count in deliberate.items()
        for _ in range(count)
    ), (deliberate, shown)
    [summary] = programs.records(kind="summary")
    assert summary["stalls"]["descheduled"] >= 1  # the process was stopped again and again


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

    def judged(wall, *, cpu=0, in_call=0, in_gil=0, delay=0, threshold=100):
        names = {"wall": wall, "cpu": cpu, "in_call": in_call, "in_gil": in_gil, "delay": delay, "threshold": threshold}
        facts = SimpleNamespace(**names, delay_over=wall, late=0, in_fault=0, in_gc=0)
        return judge(facts)

    assert judged(10_000, cpu=400, in_gil=8000, delay=800) == "compute"
    assert judged(10_000, cpu=20, in_gil=8000, delay=800) == "gil"
    assert judged(10_000, cpu=20, in_gil=800, delay=8000) == "descheduled"
    assert judged(10_000, cpu=20, in_call=900, in_gil=8000, delay=800) == "blocking"
    assert judged(120, in_call=110) == "blocking"
    assert judged(120, cpu=110) == "compute"
    assert judged(3000, cpu=400, in_call=0, in_gil=1200, delay=1900) == "compute"  # waits that were guessed too long
    assert judged(3000, cpu=90, in_call=0, in_gil=1200, delay=1900) == "gil"
    assert judged(10_000, cpu=20, in_call=None, in_gil=8000, delay=800) == "blocking"  # nobody tells what it did
