"""stats(loop): numbers that fit what the loop did, from any thread, and per task when somebody asked for them."""

import asyncio
import sys
import threading
import time
import types

import pytest

import clearloop
from clearloop.watch import statistics
from clearloop.watch.statistics import stats, time_tasks


def run(main):
    loop = clearloop.new_event_loop()
    try:
        return loop, loop.run_until_complete(main(loop))
    finally:
        loop.close()


def test_counts():
    async def main(loop):
        before = stats(loop)
        for _ in range(100):
            await asyncio.sleep(0)
        return before, stats()

    _, (before, after) = run(main)
    assert after.steps - before.steps == 100 and after.turns - before.turns == 100
    assert after.running and after.tasks == 1 and after.ready == 0 and after.timers == 0 and after.offloaded == 0


def test_what_is_alive():
    async def main(loop):
        tasks = [asyncio.create_task(asyncio.sleep(10)) for _ in range(5)]
        new = stats(loop)
        await asyncio.sleep(0)
        waiting = stats(loop)
        job = loop.run_in_executor(None, threading.Event().wait, 0.01)
        away = stats(loop)
        await job
        for task in tasks:
            task.cancel()
        return new, waiting, away

    _, (new, waiting, away) = run(main)
    assert (new.tasks, new.ready, new.timers) == (6, 5, 0)
    assert (waiting.tasks, waiting.ready, waiting.timers) == (6, 0, 5)
    assert away.offloaded == 1


def test_a_loop_that_waits_and_one_that_works():
    async def waits(loop):
        await asyncio.sleep(0.2)
        return stats(loop)

    async def works(loop):
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            await asyncio.sleep(0)
        return stats(loop)

    _, idle = run(waits)
    assert idle.utilisation < 0.5 and idle.waiting_seconds > 0.1
    _, busy = run(works)
    assert busy.utilisation > 0.5 and busy.busy_seconds >= 0.05
    for one in (idle, busy):
        assert 0 <= one.utilisation <= 1


def test_before_between_and_after_runs():
    loop = clearloop.new_event_loop()
    new = stats(loop)
    assert (new.running, new.utilisation, new.lag, new.stalls, new.per_task) == (False, None, None, {}, None)
    loop.run_until_complete(asyncio.sleep(0.01))
    first = stats(loop)
    time.sleep(0.05)
    assert stats(loop)[:4] == first[:4]  # no time passes while it does not run
    loop.close()
    assert not stats(loop).running


def test_lag():
    async def main(loop):
        for _ in range(20):
            await asyncio.sleep(0.001)
        punctual = stats(loop)
        loop.call_later(0.01, int)
        time.sleep(0.1)  # the timer comes 90 ms late
        await asyncio.sleep(0.001)
        return punctual, stats(loop)

    _, (punctual, late) = run(main)
    assert list(punctual.lag) == [50, 90, 99, 100]
    assert sorted(punctual.lag.values()) == list(punctual.lag.values())
    assert late.lag[100] >= 0.085 > late.lag[50]


@pytest.mark.parametrize("microseconds", [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 100, 1000, 12345, 10**6, 10**8])
def test_buckets_of_lag_hold_what_falls_into_them(microseconds):
    """The same sum as Scheduler.note_lag does, and its inverse."""

    def bucket_of(value):
        bucket = 0
        while value >= 8:
            value >>= 1
            bucket += 4
        return bucket + value

    bucket = bucket_of(microseconds)
    assert statistics.upper_end(bucket) > microseconds
    assert bucket == 0 or statistics.upper_end(bucket - 1) <= microseconds
    assert statistics.upper_end(bucket) <= max(microseconds * 1.25 + 1, 1)


def test_from_another_thread():
    loop = clearloop.new_event_loop()
    running = threading.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(wait_until(loop, running),))
    thread.start()
    running.wait(30)
    seen = [stats(loop, per_task=True) for _ in range(100)]
    loop.call_soon_threadsafe(loop.released.set)
    thread.join()
    loop.close()
    assert all(one.tasks == 1 and one.per_task[0].name.startswith("Task-") for one in seen)


async def wait_until(loop, running):
    loop.released = asyncio.Event()
    loop.call_soon(running.set)
    await loop.released.wait()


def test_tasks():
    async def child():
        await asyncio.sleep(10)

    async def main(loop):
        task = asyncio.create_task(child(), name="child")
        await asyncio.sleep(0)
        found = stats(per_task=True).per_task
        task.cancel()
        return found

    _, (own, other) = run(main)
    assert other.name == "child" and other.coroutine.endswith("child") and other.waits_at == "await asyncio.sleep(10)"
    assert other.file == __file__ and other.function == "child"
    assert (own.steps, own.busy_seconds, own.waiting_seconds) == (None, None, None)


def test_timed_tasks():
    async def busy():
        for _ in range(10):
            time.sleep(0.005)
            await asyncio.sleep(0)
        done.set()
        await asyncio.sleep(10)

    async def idle():
        await asyncio.sleep(10)

    async def main(loop):
        time_tasks()
        time_tasks(loop)  # a second time changes nothing
        began = time.monotonic()
        tasks = [asyncio.create_task(busy(), name="busy"), asyncio.create_task(idle(), name="idle")]
        await done.wait()
        elapsed = time.monotonic() - began
        found = {task.name: task for task in stats(per_task=True).per_task}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        left = len(loop._task_times.of)
        time_tasks(enabled=False)
        return found, left, stats(per_task=True).per_task, elapsed

    done = asyncio.Event()
    _, (found, left, after, elapsed) = run(main)
    assert found["busy"].steps == 11 and found["busy"].busy_seconds >= 0.05
    # nine of the ten sleeps of the one are in the other's wait, however slow the machine is
    assert found["idle"].steps == 1 and found["idle"].waiting_seconds >= 0.045
    assert found["idle"].busy_seconds <= elapsed - 0.045
    assert left <= 1  # those that are done have left
    assert all(task.steps is None for task in after)


def test_timing_logs_nothing(caplog):
    async def main(loop):
        loop.slow_callback_duration = 0.001
        time_tasks()
        await asyncio.sleep(0)
        time.sleep(0.01)

    run(main)
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_what_is_no_loop():
    with pytest.raises(RuntimeError):
        stats()
    other = asyncio.SelectorEventLoop()
    with pytest.raises(TypeError, match="clearloop"):
        stats(other)
    other.close()


def test_while_the_first_stall_is_on_its_way(monkeypatch):
    """The watchdog's thread is importing what counts stalls: the numbers are there all the same."""

    async def main(loop):
        monkeypatch.setitem(sys.modules, "clearloop.watch.reporting", types.ModuleType("half imported"))
        return stats(loop)

    _, found = run(main)
    assert found.stalls == {}


def test_a_wait_that_goes_on_counts_for_who_asks_from_another_thread():
    loop = clearloop.new_event_loop()
    seen = []

    def ask():
        time.sleep(0.2)  # the loop waits all that time
        seen.append(stats(loop))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=ask)
    try:
        loop.call_soon(thread.start)
        loop.run_forever()
    finally:
        thread.join()
        loop.close()
    assert seen[0].waiting_seconds >= 0.1 and seen[0].utilisation < 0.5
