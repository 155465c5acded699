"""gather: results in order, errors once, cancellation to all."""

import asyncio
import gc
import weakref

import pytest

import clearloop


async def give(value, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fail(error, turns=0):
    await give(None, turns)
    raise error


def test_results_come_in_the_order_given(run):
    async def main():
        assert await clearloop.gather(*[give(number, 5 - number) for number in range(5)]) == list(range(5))
        assert await clearloop.gather() == []
        assert await clearloop.gather(clearloop.gather(give(1), give(2)), give(3)) == [[1, 2], 3]

    run(main())


def test_one_awaitable_given_twice_runs_once(run):
    async def main():
        runs = []

        async def note():
            runs.append("run")
            return len(runs)

        coro, future = note(), asyncio.ensure_future(give("x"))
        assert await clearloop.gather(coro, future, coro, future) == [1, "x", 1, "x"]
        assert runs == ["run"]

    run(main())


def test_any_awaitable_will_do(run):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaitable"

    async def main():
        loop = asyncio.get_running_loop()
        future, foreign = loop.create_future(), asyncio.Future()
        loop.call_soon(future.set_result, "future")
        loop.call_soon(foreign.set_result, "foreign")
        expected = ["awaitable", "future", "foreign", "thread"]
        assert await clearloop.gather(Awaitable(), future, foreign, asyncio.to_thread(lambda: "thread")) == expected
        with pytest.raises(TypeError):
            clearloop.gather(5)

    run(main())


def test_the_first_error_is_raised_and_the_others_run_on(run, turns):
    async def main():
        slow = asyncio.ensure_future(give("slow", 5))
        with pytest.raises(ValueError, match="first"):
            await clearloop.gather(slow, fail(ValueError("first"), 1), fail(KeyError("second"), 2))
        assert not slow.done()
        assert await slow == "slow"

    run(main())


def test_errors_stand_among_the_results_when_asked_for(run):
    async def main():
        error = ValueError("mine")
        task = asyncio.ensure_future(give(1, 9))
        asyncio.get_running_loop().call_soon(task.cancel)
        results = await clearloop.gather(give(1), fail(error), task, return_exceptions=True)
        assert results[:2] == [1, error]
        assert isinstance(results[2], asyncio.CancelledError)

    run(main())


@pytest.mark.parametrize("kept", [True, False])
def test_cancelling_the_outer_future_cancels_all_children(run, turns, kept):
    async def main():
        tasks = [asyncio.ensure_future(give(number, 99)) for number in range(3)]
        outer = clearloop.gather(*tasks, return_exceptions=kept)
        await turns()
        assert outer.cancel("all of you")
        assert not outer.done()
        with pytest.raises(asyncio.CancelledError, match="all of you"):
            await outer
        assert all(task.cancelled() for task in tasks)
        assert not outer.cancel()

    run(main())


def test_a_cancelled_child_is_an_error_and_does_not_cancel_the_others(run, turns):
    async def main():
        tasks = [asyncio.ensure_future(give(number, 5)) for number in range(2)]
        outer = clearloop.gather(*tasks)
        await turns()
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert not outer.cancelled()
        assert await tasks[1] == 1

    run(main())


def test_the_outer_future_is_done_one_turn_after_its_last_child(run, turns):
    async def main():
        futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
        outer = clearloop.gather(*futures)
        futures[0].set_result("a")
        await turns(3)
        futures[1].set_result("b")
        assert not outer.done()
        await turns()
        assert outer.result() == ["a", "b"]
        assert clearloop.gather(*futures).result() == ["a", "b"]  # done already: no turn at all

    run(main())


def test_an_error_that_nobody_fetches_is_reported_once(run, turns):
    async def main():
        reports = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
        outer = clearloop.gather(fail(ValueError()), fail(KeyError(), 1), give(1))
        await turns(6)
        assert outer.done()
        del outer
        gc.collect()
        assert reports == ["_GatheringFuture exception was never retrieved"]

    run(main())


def test_futures_of_two_loops_are_refused(run):
    other = clearloop.new_event_loop()

    async def main():
        with pytest.raises(ValueError, match="different loop"):
            clearloop.gather(asyncio.get_running_loop().create_future(), other.create_future())

    run(main())
    other.close()


def test_children_that_were_started_before_a_refusal_end_quietly(run, turns):
    async def main():
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        with pytest.raises(TypeError):
            clearloop.gather(fail(ValueError()), 5)
        await turns(3)
        gc.collect()
        assert reports == []

    run(main())


def test_the_loops_task_factory_is_obeyed(run):
    async def main():
        made = []
        loop = asyncio.get_running_loop()

        def factory(loop, coro, **options):
            made.append(coro)
            return asyncio.Task(coro, loop=loop, **options)

        loop.set_task_factory(factory)
        assert await clearloop.gather(give(1), give(2)) == [1, 2]
        assert len(made) == 2
        loop.set_task_factory(None)
        original = loop.create_task
        loop.create_task = lambda coro, **options: made.append(coro) or original(coro, **options)
        assert await clearloop.gather(give(1), give(2)) == [1, 2]
        assert len(made) == 4

    run(main())


def test_eager_children_are_done_before_gather_returns():
    async def main():
        asyncio.get_running_loop().set_task_factory(clearloop.eager_task_factory)
        assert clearloop.gather(give(1), give(2)).result() == [1, 2]

    clearloop.run(main())


def test_a_gather_before_the_loop_runs():
    loop = clearloop.new_event_loop()
    futures = [loop.create_future() for _ in range(2)]
    outer = clearloop.gather(*futures)
    for future in futures:
        future.set_result("early")
    assert loop.run_until_complete(outer) == ["early", "early"]
    loop.close()


def test_an_abandoned_gather_is_collected():
    async def main():
        future = asyncio.get_running_loop().create_future()
        outer = weakref.ref(clearloop.gather(future, future))
        del future
        await asyncio.sleep(0)
        gc.collect()
        return outer()

    assert clearloop.run(main()) is None
