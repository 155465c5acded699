"""Nothing is missing from the recorder without being said."""

import asyncio
import threading
import time

import pytest

import clearloop
from clearloop.engine import interned
from clearloop.show import records
from recorded import (
    all_counted,
    called,
    end,
    how,
    new_loop,
    numbers,
    of,
    steps_of,
    taken,
)


def test_every_step_is_recorded_or_counted():
    async def work(count):
        for _ in range(count):
            await clearloop.sleep(0)

    async def main():
        await asyncio.gather(*[work(1000) for _ in range(100)])

    with new_loop() as loop:
        loop.run_until_complete(main())
        assert of(records.GAP, taken(loop))
        assert loop._step_count() > 100_000
        assert all_counted(loop)


def test_a_turn_that_is_larger_than_all_credits_is_a_gap_and_what_follows_is_recorded():
    def callback():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(20_000):
            loop.call_soon(callback)
        await clearloop.sleep(0)
        await clearloop.sleep(0.001)

    with new_loop() as loop:
        loop.run_until_complete(main())
        found = taken(loop)
        assert [gap.other for gap in of(records.GAP, found)] == [20_001]  # and the task's step behind them
        assert all_counted(loop)
    assert how(steps_of(numbers(found)["main"], found)[-1]) == records.RETURNED


@pytest.mark.parametrize("eager", [False, True])
def test_a_step_that_creates_more_tasks_than_there_are_credits_stays_within_them(eager):
    async def nothing():
        pass

    async def main():
        for _ in range(40_000):
            asyncio.get_running_loop().create_task(nothing())
        return asyncio.get_running_loop()._recording()[1]

    with new_loop() as loop:
        if eager:
            if not hasattr(asyncio, "eager_task_factory"):
                pytest.skip("this Python has no eager tasks")
            loop.set_task_factory(clearloop.eager_task_factory)
        # a full bucket; credits come back between turns only
        assert 4_000 < loop.run_until_complete(main()) < 4_400


def test_with_all_recorded_there_is_no_gap(everything):
    async def work():
        for _ in range(1000):
            await clearloop.sleep(0)

    async def main():
        await asyncio.gather(*[work() for _ in range(50)])

    with new_loop() as loop:
        loop.run_until_complete(main())
        assert not of(records.GAP, taken(loop))
        assert all_counted(loop)


@pytest.mark.parametrize("crowd", [1, 30_000], ids=["recorded", "gap"])
def test_turns_by_hand_inside_a_callback(crowd):
    def callback():
        pass

    def steps_the_loop():
        loop.call_soon(callback)
        loop._run_once()
        for _ in range(crowd):
            loop.call_soon(callback)
        loop._run_once()
        loop.call_soon(callback)
        loop._run_once()

    with new_loop() as loop:
        loop.call_soon(steps_the_loop)
        loop.call_soon(callback)
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        assert all_counted(loop)
        names = [called(step.code) for step in of(records.STEP, taken(loop))]
    assert sum(name.endswith("steps_the_loop") for name in names) == 1


def test_a_turn_by_hand_that_is_recorded_inside_one_that_is_not():
    def callback():
        pass

    def steps_the_loop():
        while loop._ready_count():
            loop._run_once()
        loop.call_soon(callback)
        loop._run_once()

    with new_loop() as loop:
        for number in range(30_000):
            loop.call_soon(steps_the_loop if number == 10 else callback)
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        assert loop._step_count() > 30_000
        assert all_counted(loop)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("in_task", [False, True], ids=["callback", "task"])
def test_a_step_that_ends_the_loop_is_recorded(error, in_task):
    def raises():
        raise error

    async def task_raises():
        raises()

    with new_loop() as loop:
        if in_task:
            task = loop.create_task(task_raises())
        else:
            loop.call_soon(raises)
        with pytest.raises(error):
            loop.run_forever()
        if in_task:
            task.exception()
        loop.run_until_complete(clearloop.sleep(0))
        assert all_counted(loop)
        assert any(how(step) == records.RAISED for step in of(records.STEP, taken(loop)))


def test_runs_and_waits():
    with new_loop() as loop:
        for _ in range(2):
            loop.run_until_complete(clearloop.sleep(0.005))
        found = taken(loop)
    assert [run.how for run in of(records.RUN, found)] == [records.BEGAN, records.STOPPED] * 2
    waits = of(records.WAIT, found)
    assert len(waits) >= 2
    for wait in waits:
        for step in of(records.STEP, found):
            assert end(step) <= wait.time or end(wait) <= step.time


def test_debug_mode_records_too():
    async def main():
        await clearloop.sleep(0)

    with new_loop() as loop:
        loop.set_debug(True)
        loop.run_until_complete(main())
        found = taken(loop)
        assert all_counted(loop)
    assert [how(step) for step in steps_of(numbers(found)["main"], found)] == [records.YIELDED, records.RETURNED]


def test_reading_while_it_runs_from_another_thread():
    seen = []

    async def main():
        thread = threading.Thread(target=lambda: seen.append(loop._recording()))
        thread.start()
        while thread.is_alive():
            time.sleep(0.001)

    with new_loop() as loop:
        loop.run_until_complete(main())
        actor = numbers(taken(loop))["main"]
    step = seen[0][5]
    assert step[1] == actor


def test_jobs_and_stalls_of_other_rooms():
    def function():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        loop._record_job(0, 7, None, function, dict)
        loop._record_job(1, 7, None, None, None, 99, 1000, 5_000_000_000)
        loop._record_stall(3, asyncio.current_task(), main.__code__, 12, 2000, 77)

    with new_loop() as loop:
        loop.run_until_complete(main())
        found = taken(loop)
    submitted, ran = of(records.JOB, found)
    number = numbers(found)["main"]
    assert (submitted.actor, submitted.other, called(submitted.type)) == (7, number, "dict")
    assert interned.table()[submitted.code] is function.__code__
    assert (ran.how, ran.other, ran.time) == (records.RAN | records.COARSE, 99, 1000)
    assert ran.span == 5_000_000_000 >> records.COARSE_SHIFT
    (stall,) = of(records.STALL, found)
    assert (stall.how, stall.actor, stall.place, stall.time, stall.span) == (3, number, 12, 2000, 77)
    assert interned.table()[stall.code] is main.__code__
