"""wait, wait_for, as_completed."""

import asyncio
import inspect

import pytest

import clearloop


async def give(value, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fail(error):
    raise error


# ---- wait ------------------------------------------------------------------------------------------------------------


def test_wait_takes_coroutines_and_starts_them_in_the_order_given(run):
    async def main():
        started = []

        async def note(number):
            started.append(number)
            return number

        done, pending = await clearloop.wait([note(number) for number in range(9)])
        assert started == list(range(9))
        assert sorted(task.result() for task in done) == list(range(9))
        assert pending == set()

    run(main())


def test_wait_ends_with_the_first(run):
    async def main():
        quick, slow = asyncio.ensure_future(give(1)), asyncio.ensure_future(give(2, 99))
        done, pending = await clearloop.wait({quick, slow}, return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({quick}, {slow})
        assert slow.cancel()

    run(main())


def test_wait_ends_with_the_first_error(run, turns):
    async def main():
        good, bad = asyncio.ensure_future(give(1)), asyncio.ensure_future(fail(ValueError()))
        slow, gone = asyncio.ensure_future(give(2, 99)), asyncio.ensure_future(give(2, 99))
        gone.cancel()
        done, pending = await clearloop.wait([good, gone, slow, bad], return_when=asyncio.FIRST_EXCEPTION)
        assert pending == {slow} and done == {good, gone, bad}
        slow.cancel()

    run(main())


def test_wait_ends_when_time_is_up_and_cancels_nothing(run, turns):
    async def main():
        slow, foreign = asyncio.ensure_future(asyncio.sleep(1000)), asyncio.Future()
        for timeout in (0, 0.001):
            assert await clearloop.wait([slow, foreign, slow], timeout=timeout) == (set(), {slow, foreign})
        assert not slow.cancelled() and not foreign._callbacks
        slow.cancel()

    run(main())


def test_a_cancelled_wait_leaves_the_futures_alone(run, turns):
    async def main():
        future = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(clearloop.wait([future], timeout=1000))
        await turns()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not future.done() and not future._callbacks

    run(main())


def test_wait_refuses_what_it_cannot_wait_for(run):
    async def main():
        for wrong, error in (([], ValueError), ([5], TypeError), (asyncio.Future(), TypeError)):
            with pytest.raises(error):
                await clearloop.wait(wrong)
        with pytest.raises(ValueError, match="return_when"):
            await clearloop.wait([asyncio.Future()], return_when="some day")
        with pytest.raises(ValueError):
            await clearloop.wait(iter([]))

    run(main())


# ---- wait_for --------------------------------------------------------------------------------------------------------


def test_wait_for_gives_the_result(run):
    async def main():
        for timeout in (None, 1000):
            assert await clearloop.wait_for(give(1, 2), timeout) == 1
            assert await clearloop.wait_for(asyncio.ensure_future(give(1, 2)), timeout) == 1
            with pytest.raises(ValueError):
                await clearloop.wait_for(fail(ValueError()), timeout)
        assert inspect.iscoroutinefunction(clearloop.wait_for)

    run(main())


def test_wait_for_cancels_what_takes_too_long(run):
    async def main():
        task = asyncio.ensure_future(asyncio.sleep(1000))
        with pytest.raises(TimeoutError) as raised:
            await clearloop.wait_for(task, 0.001)
        assert task.cancelled()
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.parametrize("timeout", [0, -1])
def test_wait_for_without_time_takes_only_what_is_done(run, timeout):
    async def main():
        started = []

        async def start():
            started.append("started")

        with pytest.raises(TimeoutError):
            await clearloop.wait_for(start(), timeout)
        assert started == []
        done = asyncio.get_running_loop().create_future()
        done.set_result(5)
        assert await clearloop.wait_for(done, timeout) == 5

    run(main())


def test_wait_for_gives_what_a_stubborn_task_returns(run):
    async def main():
        async def stubborn():
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                return "anyway"

        assert await clearloop.wait_for(stubborn(), 0.001) == "anyway"

    run(main())


def test_a_cancelled_wait_for_cancels_what_it_waits_for(run, turns):
    async def main():
        task = asyncio.ensure_future(asyncio.sleep(1000))
        for timeout in (None, 1000):
            task = asyncio.ensure_future(asyncio.sleep(1000))
            waiting = asyncio.create_task(clearloop.wait_for(task, timeout))
            await turns(2)
            waiting.cancel("stop")
            with pytest.raises(asyncio.CancelledError, match="stop"):
                await waiting
            assert task.cancelled()

    run(main())


# ---- as_completed ----------------------------------------------------------------------------------------------------


def test_results_come_as_they_are_ready(run):
    async def main():
        awaitables = [give("slow", 5), give("quick", 1), give("middle", 3)]
        assert [await result for result in clearloop.as_completed(awaitables)] == ["quick", "middle", "slow"]

    run(main())


def test_async_iteration_gives_the_futures_themselves(run):
    async def main():
        slow, quick = asyncio.ensure_future(give("slow", 5)), asyncio.ensure_future(give("quick"))
        assert [future async for future in clearloop.as_completed([slow, quick, slow])] == [quick, slow]
        assert [future async for future in clearloop.as_completed([])] == []

    run(main())


def test_errors_come_with_their_result(run):
    async def main():
        outcomes = []
        for result in clearloop.as_completed([fail(ValueError("bad")), give("good", 3)]):
            try:
                outcomes.append(await result)
            except ValueError as error:
                outcomes.append(str(error))
        assert outcomes == ["bad", "good"]

    run(main())


def test_as_completed_ends_when_time_is_up(run):
    async def main():
        never = asyncio.get_running_loop().create_future()
        outcomes = []
        for result in clearloop.as_completed([give("quick"), never], timeout=0.001):
            try:
                outcomes.append(await result)
            except TimeoutError:
                outcomes.append("time is up")
        assert outcomes == ["quick", "time is up"]
        assert not never.done() and not never._callbacks
        with pytest.raises(TimeoutError):
            async for _ in clearloop.as_completed([never], timeout=0):
                pass

    run(main())


def test_as_completed_refuses_a_future_of_another_loop(run):
    other = clearloop.new_event_loop()

    async def main():
        with pytest.raises(ValueError, match="different loop"):
            clearloop.as_completed([other.create_future()])

    run(main())
    other.close()


def test_as_completed_refuses_a_single_awaitable(run):
    async def main():
        with pytest.raises(TypeError):
            clearloop.as_completed(asyncio.Future())
        coro = give(1)
        with pytest.raises(TypeError):
            clearloop.as_completed(coro)
        coro.close()

    run(main())
