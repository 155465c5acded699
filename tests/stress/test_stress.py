"""Many of everything, and then: the memory is given back, nothing was lost, nothing is left alive."""

import asyncio
import gc
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import clearloop

TESTS = Path(__file__).parent.parent


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def living(*kinds):
    gc.collect()
    return sum(type(candidate) in kinds for candidate in gc.get_objects())


async def nothing(number):
    return number


async def a_switch(number):
    await asyncio.sleep(0)
    return number


def test_a_million_tasks_leave_no_memory_behind():
    async def main(rounds):
        total = 0
        for _round in range(rounds):
            tasks = [asyncio.create_task((nothing, a_switch)[n % 2](n)) for n in range(1000)]
            for task in tasks[::10]:
                task.cancel()
            for outcome in await clearloop.gather(*tasks, return_exceptions=True):
                total += outcome if isinstance(outcome, int) else 0
        return total

    clearloop.run(main(20))
    before = living(clearloop.Task, clearloop.Future)
    size = resident()
    total = clearloop.run(main(1000))
    assert total == 1000 * sum(n for n in range(1000) if n % 10)
    assert living(clearloop.Task, clearloop.Future) <= before
    assert resident() - size < 30_000_000


def test_a_hundred_thousand_timers_with_cancellations_fire_in_order():
    dice = random.Random(5)
    loop = clearloop.new_event_loop()
    now = [1000.0]
    loop.time = lambda: now[0]
    fired = []
    expected = []
    handles = []
    for number in range(100_000):
        when = now[0] + dice.randrange(500) / 8  # many share a deadline
        handles.append(loop.call_at(when, fired.append, (when, number)))
        expected.append((when, number))
    gone = set(dice.sample(range(100_000), 60_000))
    for number in gone:
        handles[number].cancel()
    expected = sorted(entry for entry in expected if entry[1] not in gone)
    del handles
    while len(fired) < len(expected):
        now[0] += 0.5
        already = len(fired)
        loop.call_soon(loop.stop)
        loop.run_forever()
        for when, _number in fired[already:]:
            assert when <= now[0]
            if dice.random() < 0.02:
                loop.call_later(0.25, lambda: None).cancel()
    assert fired == expected
    assert loop._timer_count() == 0
    loop.close()


@pytest.mark.parametrize("how", ["PYTHONMALLOC=debug", "gc.set_threshold(1)"])
def test_the_engine_tests_pass_under(how):
    options = {"PYTHONMALLOC": "debug"} if "MALLOC" in how else {"CLEARLOOP_GC_THRESHOLD": "1"}
    program = (
        "import gc, os, sys, pytest\n"
        "gc.set_threshold(int(os.environ.get('CLEARLOOP_GC_THRESHOLD', 700)))\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, str(TESTS / "engine" / "test_faults.py"),
         str(TESTS / "properties" / "test_programs.py")],
        capture_output=True, text=True, timeout=600, cwd=TESTS.parent,
        env={**os.environ, **options, "CLEARLOOP_EXAMPLES": "5", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
