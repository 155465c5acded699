"""timeout: cancels what takes too long, and only its own cancellation becomes a TimeoutError."""

import asyncio

import pytest

import clearloop


def test_what_is_in_time_is_left_alone(run):
    async def main():
        async with clearloop.timeout(1000) as limit:
            assert await asyncio.sleep(0, "done") == "done"
            assert limit.when() > asyncio.get_running_loop().time()
        assert not limit.expired()
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_what_takes_too_long_ends_with_timeout_error(run):
    async def main():
        with pytest.raises(TimeoutError) as raised:
            async with clearloop.timeout(0.001) as limit:
                await asyncio.sleep(1000)
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        assert limit.expired()
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.parametrize("delay", [0, -1, -1e9])
def test_no_time_at_all_ends_the_first_wait(run, delay):
    async def main():
        steps = []
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(delay):
                steps.append("inside")
                await asyncio.sleep(1000)
                steps.append("never")
        assert steps == ["inside"]

    run(main())


def test_none_never_ends(run):
    async def main():
        async with clearloop.timeout(None) as limit:
            await asyncio.sleep(0)
            assert limit.when() is None
            assert repr(limit) == "<Timeout [active] when=None>"

    run(main())


def test_timeout_at_takes_the_loops_clock(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with clearloop.timeout_at(loop.time() + 0.001) as limit:
                await asyncio.sleep(1000)
        assert loop.time() >= limit.when()

    run(main())


def test_the_earliest_of_nested_timeouts_ends(run):
    async def main():
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(0.001) as outer:
                async with clearloop.timeout(1000) as inner:
                    await asyncio.sleep(2000)
        assert outer.expired() and not inner.expired()
        async with clearloop.timeout(1000) as outer:
            with pytest.raises(TimeoutError):
                async with clearloop.timeout(0.001) as inner:
                    await asyncio.sleep(2000)
        assert inner.expired() and not outer.expired()

    run(main())


def test_somebody_elses_cancellation_stays_a_cancellation(run, turns):
    async def main():
        async def wait():
            async with clearloop.timeout(1000):
                await asyncio.sleep(2000)

        task = asyncio.create_task(wait())
        await turns()
        task.cancel("from outside")
        with pytest.raises(asyncio.CancelledError, match="from outside"):
            await task
        assert task.cancelling() == 1

    run(main())


def test_a_cancellation_beside_the_timeout_is_not_swallowed(run, turns):
    async def main():
        async def wait():
            async with clearloop.timeout(0):
                await asyncio.sleep(1000)

        task = asyncio.create_task(wait())
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 1

    run(main())


def test_a_timeout_inside_a_cancelled_task_is_a_timeout(run):
    async def main():
        task = asyncio.current_task()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(0):
                await asyncio.sleep(1000)
        assert task.uncancel() == 0

    run(main())


def test_rescheduling_moves_the_deadline(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with clearloop.timeout(0.001) as limit:
            for _ in range(10):
                limit.reschedule(loop.time() + 1000)
            await asyncio.sleep(0.005)
            limit.reschedule(None)
            assert limit.when() is None
        assert not limit.expired()
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(1000) as limit:
                limit.reschedule(loop.time() + 0.001)
                await asyncio.sleep(1000)
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(None) as limit:
                limit.reschedule(0)
                await asyncio.sleep(1000)
        async with clearloop.timeout(0) as limit:
            limit.reschedule(loop.time() + 1000)
            await asyncio.sleep(0.002)

    run(main())


def test_states_that_forbid_a_call(run):
    async def main():
        limit = clearloop.timeout(1000)
        assert repr(limit) == "<Timeout [created]>"
        with pytest.raises(RuntimeError, match="has not been entered"):
            limit.reschedule(1)
        async with limit:
            with pytest.raises(RuntimeError, match="already been entered"):
                async with limit:
                    pass
        with pytest.raises(RuntimeError, match="finished"):
            limit.reschedule(1)
        with pytest.raises(RuntimeError, match="already been entered"):
            async with limit:
                pass

    run(main())


def test_outside_a_task_is_an_error(run):
    with pytest.raises(RuntimeError, match="no running event loop"):
        clearloop.timeout(1)

    async def main():
        refused = asyncio.get_running_loop().create_future()

        def enter():
            coro = clearloop.timeout(1).__aenter__()
            try:
                coro.send(None)
            except BaseException as error:
                refused.set_result(error)

        asyncio.get_running_loop().call_soon(enter)
        assert isinstance(await refused, RuntimeError)

    run(main())


def test_an_error_while_being_cancelled_says_that_time_was_up(run):
    async def main():
        with pytest.raises(ValueError) as raised:
            async with clearloop.timeout(0):
                try:
                    await asyncio.sleep(1000)
                finally:
                    raise ValueError("while leaving")
        assert isinstance(raised.value.__context__, TimeoutError)
        with pytest.raises(ExceptionGroup) as group:
            async with clearloop.timeout(0):
                async with asyncio.TaskGroup() as tasks:

                    async def fail():
                        try:
                            await asyncio.sleep(1000)
                        finally:
                            raise ValueError("in the group")

                    tasks.create_task(fail())
                    await asyncio.sleep(1000)
        assert isinstance(group.value.exceptions[0].__context__, TimeoutError)

    run(main())


def test_a_task_that_ignores_the_cancellation_goes_on(run):
    async def main():
        async with clearloop.timeout(0) as limit:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass
            assert repr(limit) == "<Timeout [expiring]>"
        assert limit.expired()
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_timers_that_never_fired_do_not_pile_up():
    async def main():
        loop = asyncio.get_running_loop()
        async with clearloop.timeout(1000):
            for _ in range(1000):
                async with clearloop.timeout(500) as limit:
                    limit.reschedule(loop.time() + 600)
        return loop._timer_count()

    assert clearloop.run(main()) == 0
