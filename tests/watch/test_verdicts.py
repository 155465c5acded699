"""The verdict: what held the loop, and that the program is not blamed for what it did not do."""

import asyncio
import bz2
import gc
import hashlib
import json
import re
import sys
import threading
import time
from ctypes import PyDLL

import pytest

from .held import LONG, line_of


def test_blocking_names_the_system_call(seen):
    async def main():
        time.sleep(LONG)

    seen.run(main)
    stall = seen.the_one("blocking")
    assert stall.note == "in the system call clock_nanosleep"
    assert stall.cpu_seconds < stall.seconds / 2


def test_a_wait_for_the_gil_at_its_end_does_not_hide_the_call(seen):
    usleep = PyDLL(None).usleep  # called with the GIL held

    def hog():
        time.sleep(LONG - 0.02)
        usleep(int(LONG / 4 * 1_000_000))

    async def main():
        other = threading.Thread(target=hog)
        other.start()
        time.sleep(LONG)
        other.join()

    seen.run(main)
    stall = seen.the_one("blocking")
    assert stall.note == "in the system call clock_nanosleep"


def test_compute_in_python(seen):
    async def main():
        until = time.process_time() + LONG
        while time.process_time() < until:
            pass

    seen.run(main)
    stall = seen.the_one("compute")
    assert stall.cpu_seconds > LONG / 2
    assert stall.function.endswith("main")


LETTERS = "a" * 26 + "b"
PATTERN = re.compile("(a+)+$")
NUMBERS = [(number * 7919) % 1_000_003 for number in range(1_500_000)]


def catastrophic_pattern():
    PATTERN.match(LETTERS)  # here
    return 0


def large_json():
    value = json.loads(BIG_JSON)  # here
    return len(value)


def large_sort():
    value = sorted(NUMBERS)  # here
    return len(value)


def key_derivation():
    value = hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 1_000_000)  # here
    return len(value)


def compression():
    value = bz2.compress(BIG_JSON.encode())  # here
    return len(value)


def power():
    value = 7**PLACES % 10  # here
    return value


def membership():
    value = NOWHERE in NUMBERS_OF_OBJECTS  # here
    return value


BIG_JSON = "[" + ",".join(['{"name": "someone", "value": 12345.678}'] * 500_000) + "]"  # 20 MB
PLACES = 2_500_000
NOWHERE = 10**30
NUMBERS_OF_OBJECTS = [10**30 + 1 + number for number in range(1000)] * 20_000


@pytest.mark.parametrize(
    "function, call",
    [
        (catastrophic_pattern, "re.Pattern.match"),
        (large_json, "json.loads"),
        (large_sort, "sorted"),
        (key_derivation, "_hashlib.pbkdf2_hmac"),
        (compression, "bz2.compress"),
        (power, None),
        (membership, "list.__contains__"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_line_of_a_call_that_holds_the_gil(seen, function, call):
    """Named when it ends at the latest, whatever is called next."""

    async def job():
        function()
        sorted("what comes next")

    async def main():
        await job()

    # Else a test process with much in it collects that during the call, which makes the verdict "gc", and truly so
    gc.collect()
    gc.freeze()
    try:
        seen.run(main, threshold=0.02)
    finally:
        gc.unfreeze()
    longest = max(seen.blamed, key=lambda stall: stall.seconds)
    assert longest.verdict == "compute", longest.note
    assert (longest.line, longest.function) == (line_of(function), function.__name__), longest.code
    assert longest.call == call


def test_garbage_collection(seen):
    def make_garbage():
        class Node:
            pass

        for _ in range(700_000):
            one, other = Node(), Node()
            one.other, other.other = other, one

    async def main():
        gc.collect()  # here

    gc.disable()
    try:
        make_garbage()
        seen.run(main)
    finally:
        gc.enable()
    stall = seen.the_one("gc")
    assert stall.line == line_of(test_garbage_collection)


def hog(hold):
    hold(int(LONG * 1e6))  # here


def test_another_thread_holds_the_gil(seen):
    async def main():
        await asyncio.get_running_loop().run_in_executor(None, int)  # the thread is there: nobody waits for its start
        holds = asyncio.get_running_loop().run_in_executor(None, hog, PyDLL(None).usleep)
        while not holds.done():
            await asyncio.sleep(0)  # the loop wants to run, whenever the thread begins

    def found():
        notes = [stall.note for stall in seen.blamed if stall.verdict == "gil"]
        return len(notes) == len(seen.blamed) and sum("in hog" in note for note in notes) == 1

    assert seen.run_until(found, main), seen.ended
    [stall] = [stall for stall in seen.blamed if "in hog" in stall.note]
    assert f"test_verdicts.py:{line_of(hog)} in" in stall.note
    assert "hold(int(LONG * 1e6))" in stall.note


def test_another_thread_computes_with_the_gil(seen):
    async def main():
        await asyncio.get_running_loop().run_in_executor(None, int)
        await asyncio.get_running_loop().run_in_executor(None, PATTERN.match, LETTERS)

    seen.run(main)
    assert {stall.verdict for stall in seen.blamed} <= {"gil"}


def test_a_thread_that_holds_the_gil_does_not_hide_a_block(seen):
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            sum(range(1000))

    async def main():
        thread = threading.Thread(target=spin)
        thread.start()
        time.sleep(LONG)  # here
        stop.set()
        thread.join()

    assert seen.run_until(lambda: any(stall.verdict == "blocking" for stall in seen.blamed), main), seen.ended
    stall = max(seen.blamed, key=lambda stall: stall.seconds)
    assert stall.verdict == "blocking"
    assert stall.line == line_of(test_a_thread_that_holds_the_gil_does_not_hide_a_block)


def test_a_stopped_process_is_not_to_blame(programs):
    ran = programs.run(
        "--report",
        "found.jsonl",
        text="""
            import asyncio, os, signal, subprocess, sys, time
            from clearloop import watch

            def counted():
                return watch.stats(asyncio.get_running_loop()).stalls.get("descheduled", 0)

            async def main():
                stopper = subprocess.Popen(
                    [sys.executable, "-c", f"import os, time; os.kill({os.getpid()}, 19); time.sleep(1);"
                     f"os.kill({os.getpid()}, 18)"]
                )
                end = time.monotonic() + 30
                while (stopper.poll() is None or not counted()) and time.monotonic() < end:
                    for _ in range(200):
                        await asyncio.sleep(0)
                assert stopper.poll() is not None

            asyncio.run(main())
        """,
        env={"CLEARLOOP_SLOW": "0.2"},
    )
    assert ran.returncode == 0, ran.stderr
    stalls = programs.records(kind="stall")
    assert {one["verdict"] for one in stalls} == {"descheduled"}, stalls
    # the second is counted, although nobody is blamed for it
    assert max(one["seconds"] for one in stalls) > 0.5
    [summary] = programs.records(kind="summary")
    assert summary["stalls"]["descheduled"] == len(stalls)
    assert sum(summary["stalls"].values()) == len(stalls)
    assert "blocked" not in ran.stderr


def test_a_debugger_at_a_breakpoint_is_no_stall(seen, monkeypatch):
    import io
    import pdb

    class Slow(io.StringIO):
        def readline(self):
            time.sleep(LONG)
            return "continue\n"

    async def main():
        debugger = pdb.Pdb(stdin=Slow(), stdout=io.StringIO(), nosigint=True, readrc=False)
        debugger.use_rawinput = False
        debugger.set_trace()
        await asyncio.sleep(0)

    try:
        seen.run(main)
    finally:
        sys.settrace(None)
    assert seen.blamed == []
    assert seen.began == []
