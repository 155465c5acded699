"""run_async: from a thread that run_sync uses, back into the loop that sent it."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import clearloop

number = contextvars.ContextVar("number", default=0)


@pytest.fixture(params=["own threads", "ThreadPoolExecutor"])
def executor(request):
    if request.param == "own threads":
        yield None
    else:
        with ThreadPoolExecutor(2) as pool:
            yield pool


async def double(value):
    await asyncio.sleep(0.001)
    return 2 * value, threading.get_ident(), asyncio.get_running_loop(), number.get()


def test_it_runs_in_the_loop_that_sent_the_call(run, executor):
    def work():
        number.set(5)
        return clearloop.run_async(double, 4)

    async def main():
        loop = asyncio.get_running_loop()
        assert await clearloop.run_sync(work, executor=executor) == (8, threading.get_ident(), loop, 5)

    run(main())


def test_errors_come_to_the_thread(run, executor):
    async def fails():
        raise LookupError("there")

    def work():
        with pytest.raises(LookupError, match="there"):
            clearloop.run_async(fails)
        with pytest.raises(TypeError, match="not a coroutine"):
            clearloop.run_async(int)
        return "caught"

    async def main():
        assert await clearloop.run_sync(work, executor=executor) == "caught"

    run(main())


def test_it_refuses_elsewhere(run, executor):
    with pytest.raises(RuntimeError, match="this one is not"):
        clearloop.run_async(double, 1)

    def work():
        failed = []

        def of_its_own():
            try:
                clearloop.run_async(double, 1)
            except RuntimeError as error:
                failed.append(error)

        thread = threading.Thread(target=of_its_own)
        thread.start()
        thread.join()
        return failed

    async def main():
        with pytest.raises(RuntimeError):
            clearloop.run_async(double, 1)
        assert len(await clearloop.run_sync(work, executor=executor)) == 1
        assert len(await asyncio.get_running_loop().run_in_executor(None, work)) == 1

    run(main())


def test_it_refuses_to_hold_a_loop_of_the_thread_itself(run):
    async def inner():
        clearloop.run_async(double, 1)

    def work():
        with pytest.raises(RuntimeError, match="would hold the loop"):
            clearloop.run(inner())
        return "refused"

    async def main():
        assert await clearloop.run_sync(work) == "refused"

    run(main())


def test_cancelling_the_call_cancels_the_coroutine(run, executor):
    seen = []

    async def forever():
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    def work():
        try:
            clearloop.run_async(forever)
        except asyncio.CancelledError:
            seen.append("thread told")
        with pytest.raises(asyncio.CancelledError):
            clearloop.run_async(forever)
        seen.append("no second time")

    async def main():
        task = asyncio.ensure_future(clearloop.run_sync(work, executor=executor))
        while not seen:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == ["begun", "cancelled", "thread told", "no second time"]


def test_a_thread_does_not_wait_for_a_loop_that_was_closed():
    told = []
    begun = threading.Event()
    ended = threading.Event()

    async def forever():
        begun.set()
        await asyncio.Event().wait()

    def work():
        try:
            clearloop.run_async(forever)
        except BaseException as error:
            told.append(error)
        ended.set()

    loop = clearloop.new_event_loop()

    async def main():
        task = asyncio.ensure_future(clearloop.run_sync(work))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        return task

    task = loop.run_until_complete(main())
    task._log_destroy_pending = False
    loop.set_exception_handler(lambda loop, context: None)
    loop.close()
    del task
    import gc

    gc.collect()
    assert ended.wait(30)
    assert len(told) == 1 and isinstance(told[0], RuntimeError | asyncio.CancelledError)
