"""The process in which cost_counts.py counts: one row of the benchmarks on clearloop, for a known number of operations.

Prints JSON lines.  A row that works by itself does so and tells what it took; a server takes commands as lines on its
standard input (`begin`, `end N`; under callgrind first `instrument` and `pace`), which its loop reads.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import catalog
import loops
import worker

LONGEST_LIFE = 500
ALL_CREDITS = 20_000  # more than a loop can have saved


class Stretch:
    """What is measured: from begin() to end()."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        library = os.environ.get("COUNTING_LIBRARY")
        self.clock = ctypes.CDLL(library) if library else None
        if self.clock is not None:
            self.clock.counting_scale.argtypes = [ctypes.c_double]
            self.clock.counting_reads.restype = ctypes.c_uint64
        self.counted = self.clock is not None and bool(self.clock.counting_possible())

    def instrument(self) -> None:
        if self.counted:
            self.clock.counting_instrument()

    def pace(self) -> None:
        """From now on it is seen how slow the process is under callgrind."""
        self.used_ns = time.process_time_ns()

    def begin(self, native_ns: float = 0) -> None:
        """From the steady state: what a loop saves up while it does nothing is spent first.

        What was done since pace() would have taken `native_ns`.
        """
        self.scale = 1.0
        if self.counted and native_ns:
            self.scale = max((time.process_time_ns() - self.used_ns) / native_ns, 1.0)
            self.clock.counting_scale(self.scale)
            self.clock.counting_prepare()
        for _ in range(ALL_CREDITS):
            self.loop._record_job(2, 0)
        gc.collect()
        gc.freeze()  # what collections look at is what the row makes
        self.records = self._records()
        self.woken = woken()
        self.used = resource.getrusage(resource.RUSAGE_SELF)
        self.turns, self.steps = self.loop._turn_count(), self.loop._step_count()
        self.began = time.monotonic_ns()
        os.getpgid(os.getpid())  # what a trace of system calls begins and ends with
        if self.counted:
            self.clock.counting_begin()

    def end(self, operations: int) -> dict[str, Any]:
        if self.counted:
            self.clock.counting_end()
        os.getpgid(os.getpid())
        seconds = (time.monotonic_ns() - self.began) / 1e9
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "operations": operations,
            "scale": self.scale,
            "seconds": seconds,
            "user": used.ru_utime - self.used.ru_utime,
            "system": used.ru_stime - self.used.ru_stime,
            "woken": woken() - self.woken,
            "looks": woken(),
            "records": self._records() - self.records,
            "turns": self.loop._turn_count() - self.turns,
            "steps": self.loop._step_count() - self.steps,
            "clock_reads": self.clock.counting_reads(0) if self.clock is not None else 0,
            "coarse_reads": self.clock.counting_reads(1) if self.clock is not None else 0,
        }

    def _records(self) -> int:
        recorded = self.loop._recording()
        return recorded[1] if recorded is not None else 0


def woken() -> int:
    """How often the watchdog's thread has given up its processor by itself: once per wait."""
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().strip() == "clearloop-watch":
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    return int(line.split()[1])
    return 0


async def alone(bench: worker.Bench, scenario: catalog.Scenario, stretch: Stretch, order: dict[str, Any]) -> None:
    """A row that works by itself: a batch to warm up, under callgrind one to see how slow it is there, then `n`."""
    n = order["n"]
    some = max(n // 5, 1)
    await scenario.body(bench, some)
    if stretch.counted:
        stretch.instrument()
        await scenario.body(bench, some)  # callgrind translates what it meets for the first time
        stretch.pace()
        await scenario.body(bench, some)
    stretch.begin(order["ns"] * some)
    await scenario.body(bench, n)
    worker.say(**stretch.end(n))


async def served(bench: worker.Bench, scenario: catalog.Scenario, stretch: Stretch) -> None:
    """A server: it says where, and then does as it is told."""
    ended = bench.loop.create_future()

    def command() -> None:
        for line in os.read(0, 4096).decode().splitlines() or ["quit"]:
            word, *rest = line.split()
            if word == "instrument":
                stretch.instrument()
                worker.say(ready=True)
            elif word == "pace":
                stretch.pace()
                worker.say(ready=True)
            elif word == "begin":
                stretch.begin(*map(float, rest))
                worker.say(ready=True)
            elif word == "end":
                worker.say(**stretch.end(int(rest[0])))
            elif not ended.done():
                ended.set_result(None)

    bench.loop.add_reader(0, command)
    server = await scenario.body(bench)
    worker.say(port=worker.listening(server))
    await ended


async def idle(seconds: float) -> None:
    """A loop that waits, with a connection and a timer far away: does the watchdog sleep?"""
    before = after = -1
    far = asyncio.get_running_loop().call_later(3600, print)
    await asyncio.sleep(1.0)  # until it has seen that nothing happens
    ended = asyncio.get_running_loop().create_future()

    def look() -> None:  # from another thread, while the loop sleeps
        nonlocal before, after
        time.sleep(1.0)
        before = woken()
        time.sleep(seconds)
        after = woken()
        ended.get_loop().call_soon_threadsafe(ended.set_result, None)

    thread = threading.Thread(target=look)
    thread.start()
    await ended
    thread.join()
    far.cancel()
    worker.say(watched=before > 0, woken=after - before, seconds=seconds)


def main() -> None:
    order = json.loads(sys.argv[1])
    signal.alarm(LONGEST_LIFE)
    loop = loops.make(loops.OURS)
    asyncio.set_event_loop(loop)
    stretch = Stretch(loop)
    if "idle" in order:
        loop.run_until_complete(idle(order["idle"]))
    else:
        scenario = next(s for s in catalog.every_scenario() if s.name == order["scenario"])
        api = importlib.import_module(loops.OURS) if scenario.api == "own" else asyncio
        bench = worker.Bench(loop, api, False, order["n"], path=order.get("path", ""), port=order.get("port", 0))
        if scenario.eager:
            loop.set_task_factory(bench.api.eager_task_factory)
        if scenario.kind == catalog.SERVER:
            loop.run_until_complete(served(bench, scenario, stretch))
        else:
            loop.run_until_complete(alone(bench, scenario, stretch, order))
    sys.stdout.flush()
    os._exit(0)  # nothing of what ends an interpreter is of interest here


if __name__ == "__main__":
    main()
