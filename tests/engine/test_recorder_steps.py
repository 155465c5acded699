"""Steps in the recorder: how each ended, what a suspended task waits for, what a callback is."""

import asyncio
import itertools
import os

import clearloop
from clearloop.show import records
from recorded import WITHIN, called, end, how, new_loop, numbers, of, recorded, steps_of, taken


def test_how_a_step_ended():
    async def returns():
        await clearloop.sleep(0)

    async def raises():
        raise KeyError

    async def is_cancelled():
        await asyncio.get_running_loop().create_future()

    async def main():
        tasks = [clearloop.create_task(coro()) for coro in (returns, raises, is_cancelled)]
        await clearloop.sleep(0)
        await clearloop.sleep(0)
        tasks[2].cancel()
        await asyncio.wait(tasks)
        tasks[1].exception()

    found = recorded(main)
    number = numbers(found)
    assert [how(step) for step in steps_of(number["returns"], found)] == [records.YIELDED, records.RETURNED]
    assert [how(step) for step in steps_of(number["raises"], found)] == [records.RAISED]
    assert [how(step) for step in steps_of(number["is_cancelled"], found)] == [records.SUSPENDED, records.CANCELLED]
    assert how(steps_of(number["main"], found)[-1]) == records.RETURNED


def test_steps_do_not_overlap_and_follow_each_other():
    async def work():
        for _ in range(5):
            await clearloop.sleep(0)

    async def main():
        await asyncio.gather(*[work() for _ in range(4)])

    steps = of(records.STEP, recorded(main))
    assert len(steps) >= 24
    for one, next_one in itertools.pairwise(steps):
        assert end(one) <= next_one.time


def test_what_a_suspended_task_waits_for():
    async def waited_for():
        await clearloop.sleep(0)

    async def main():
        await clearloop.create_task(waited_for())
        await clearloop.sleep(0.001)

    found = recorded(main)
    number = numbers(found)
    first, second, *_ = steps_of(number["main"], found)
    assert (called(first.type), first.other) == ("Task", number["waited_for"])
    assert called(second.type) == "SleepFuture"
    assert second.how & WITHIN
    assert called(second.other) == "sleep"


def test_a_task_that_awaits_what_is_done_already_has_yielded():
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        await Yields(future)

    class Yields:
        """Waits for a future even though it is done."""

        def __init__(self, future):
            self.future = future

        def __await__(self):
            self.future._asyncio_future_blocking = True
            yield self.future

    found = recorded(main)
    assert how(steps_of(numbers(found)["main"], found)[0]) == records.YIELDED


def test_a_callback_has_its_function_and_a_descriptor_its_callback():
    def callback():
        pass

    def readable():
        loop.remove_reader(reader)
        done.set_result(None)

    with new_loop() as loop:
        done = loop.create_future()
        reader, writer = os.pipe()
        try:
            loop.call_soon(callback)
            loop.add_reader(reader, readable)
            os.write(writer, b"x")
            loop.run_until_complete(done)
            steps = [step for step in of(records.STEP, taken(loop)) if step.actor == 0]
        finally:
            os.close(reader)
            os.close(writer)
    names = {called(step.code).rpartition(".")[2]: (how(step), called(step.type)) for step in steps}
    assert names["callback"] == (records.CALLBACK, "Handle")
    assert names["readable"] == (records.DESCRIPTOR, "Descriptor")
