"""Wake-ups in the recorder: who woke whom, and since when a task could have run."""

import asyncio
import contextlib
import threading
import time

import pytest

import clearloop
from clearloop.show import records
from recorded import all_counted, called, end, how, new_loop, numbers, of, recorded, steps_of, taken


def only_wake(actor, found):
    (wake,) = [record for record in of(records.WAKE, found) if record.actor == actor]
    return wake


def test_a_task_that_wakes_another():
    async def waits(event):
        await event.wait()

    async def sets(event):
        event.set()

    async def main():
        event = clearloop.Event()
        await asyncio.wait([clearloop.create_task(waits(event)), clearloop.create_task(sets(event))])

    found = recorded(main)
    number = numbers(found)
    wake = only_wake(number["waits"], found)
    assert (how(wake), wake.other, wake.code) == (records.BY_STEP, number["sets"], 0)
    (step,) = steps_of(number["sets"], found)
    assert step.time <= wake.time <= end(step)


def test_a_callback_that_wakes_a_task():
    def callback(future):
        future.set_result(None)

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(callback, future)
        await future

    found = recorded(main)
    wake = only_wake(numbers(found)["main"], found)
    assert (how(wake), wake.other) == (records.BY_STEP, 0)
    assert called(wake.code).endswith("callback")


def test_who_cancels_wakes():
    async def waits():
        await asyncio.get_running_loop().create_future()

    async def main():
        task = clearloop.create_task(waits())
        await clearloop.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    found = recorded(main)
    number = numbers(found)
    assert only_wake(number["waits"], found).other == number["main"]


@pytest.mark.parametrize("sleep", [clearloop.sleep, asyncio.sleep], ids=["ours", "asyncio"])
def test_a_timer_wakes_at_its_deadline_also_when_the_loop_was_held(sleep):
    async def sleeps():
        nonlocal began
        began = time.monotonic_ns()
        await sleep(0.01)

    async def holds():
        time.sleep(0.05)

    async def main():
        task = clearloop.create_task(sleeps())
        await clearloop.sleep(0)
        await clearloop.create_task(holds())
        await task

    began = 0
    found = recorded(main)
    number = numbers(found)
    wake = only_wake(number["sleeps"], found)
    (held,) = steps_of(number["holds"], found)
    last = steps_of(number["sleeps"], found)[-1]
    assert how(wake) == records.BY_TIMER
    assert wake.time + 256 >= began + 10_000_000  # lateness is kept in units of 256 ns
    assert wake.time < end(held) <= last.time


def test_a_timeout_wakes_at_its_deadline():
    async def main():
        with contextlib.suppress(TimeoutError):
            async with clearloop.timeout(0.005):
                await asyncio.get_running_loop().create_future()

    found = recorded(main)
    wake = only_wake(numbers(found)["main"], found)
    assert how(wake) == records.BY_TIMER
    assert wake.time <= steps_of(wake.actor, found)[-1].time


def test_a_timer_with_a_callback_of_the_program_wakes_when_that_has_run():
    def late(future):
        future.set_result(time.monotonic_ns())

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(0.005, late, future)
        return await future

    with new_loop() as loop:
        ran = loop.run_until_complete(main())
        found = taken(loop)
    wake = only_wake(numbers(found)["main"], found)
    assert how(wake) == records.BY_STEP
    assert wake.time >= ran


def test_a_foreign_future_wakes_a_task_of_ours():
    async def main():
        loop = asyncio.get_running_loop()
        future = asyncio.futures._PyFuture(loop=loop)
        loop.call_soon(future.set_result, None)
        await future

    with new_loop() as loop:
        loop.run_until_complete(main())
        found = taken(loop)
        assert all_counted(loop)
    actor = numbers(found)["main"]
    only_wake(actor, found)
    assert [how(step) for step in steps_of(actor, found)] == [records.SUSPENDED, records.RETURNED]


def test_a_thread_wakes_a_task_once_from_when_it_was_done():
    awaited = threading.Event()

    def job():
        awaited.wait(60)
        return time.monotonic_ns()

    async def main():
        asyncio.get_running_loop().call_soon(awaited.set)  # runs when the task is suspended
        return await clearloop.run_sync(job)

    with new_loop() as loop:
        done = loop.run_until_complete(main())
        found = taken(loop)
    wakes = [wake for wake in of(records.WAKE, found) if wake.actor == numbers(found)["main"]]
    assert [how(wake) for wake in wakes][:1] == [records.BY_THREAD]
    assert len(wakes) == 1
    assert wakes[0].time >= done
