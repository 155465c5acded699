"""shield: cancelling the one who waits does not cancel what is waited for."""

import asyncio

import pytest

import clearloop


async def give(value, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


def test_the_outcome_comes_through(run):
    async def main():
        assert await clearloop.shield(give(1, 2)) == 1

        async def fail():
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            await clearloop.shield(fail())
        task = asyncio.ensure_future(give(1))
        await task
        assert clearloop.shield(task) is task

    run(main())


def test_a_cancelled_wait_leaves_the_inner_task_running(run, turns):
    async def main():
        inner = asyncio.ensure_future(give("done", 5))

        async def wait():
            await clearloop.shield(inner)

        waiting = asyncio.create_task(wait())
        await turns()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not inner.cancelled()
        assert await inner == "done"

    run(main())


def test_a_cancelled_inner_task_cancels_the_wait(run, turns):
    async def main():
        inner = asyncio.ensure_future(give("done", 5))
        outer = clearloop.shield(inner)
        await turns()
        inner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert outer.cancelled()

    run(main())


def test_an_error_after_the_wait_was_cancelled_is_reported_once(run, turns):
    async def main():
        reports = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
        inner = loop.create_future()
        for _ in range(2):
            outer = clearloop.shield(inner)
            outer.cancel()
            await turns(2)
        inner.set_exception(ValueError())
        await turns(2)
        assert reports == ["ValueError exception in shielded future"]

    run(main())


def test_a_future_of_another_make_is_shielded_too(run):
    async def main():
        inner = asyncio.Future()
        asyncio.get_running_loop().call_soon(inner.set_result, 5)
        assert await clearloop.shield(inner) == 5

    run(main())


def test_what_cannot_be_awaited_is_refused(run):
    async def main():
        with pytest.raises(TypeError):
            clearloop.shield(5)

    run(main())
