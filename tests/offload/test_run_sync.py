"""run_sync and unblocked: results, errors, contexts and cancellations of a blocking function come back intact."""

import asyncio
import contextvars
import functools
import inspect
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
        with ThreadPoolExecutor(4) as pool:
            yield pool


class Gate:
    """A blocking function that tells when it has begun and ends when it is let go."""

    def __init__(self, error=None):
        self.begun, self.go, self.error = threading.Event(), threading.Event(), error
        self.ended = False

    def __call__(self):
        self.begun.set()
        assert self.go.wait(30)
        self.ended = True
        if self.error is not None:
            raise self.error
        return "done"

    async def has_begun(self):
        while not self.begun.is_set():
            await asyncio.sleep(0.001)


async def let_turns_pass(count=20):
    for _ in range(count):
        await asyncio.sleep(0.001)


def test_results_and_arguments(run, executor):
    async def main():
        assert await clearloop.run_sync(divmod, 17, 5, executor=executor) == (3, 2)
        assert await clearloop.run_sync(threading.get_ident, executor=executor) != threading.get_ident()

    run(main())


def test_errors_keep_their_traceback(run, executor):
    def fails():
        raise LookupError("nothing there")

    async def main():
        with pytest.raises(LookupError, match="nothing there") as raised:
            await clearloop.run_sync(fails, executor=executor)
        assert any(entry.name == "fails" for entry in raised.traceback)

    run(main())


@pytest.mark.parametrize("error", [StopIteration(1), StopAsyncIteration()])
def test_stop_iteration_is_an_error_and_no_hang(run, executor, error):
    def stops():
        raise error

    async def main():
        with pytest.raises((RuntimeError, StopAsyncIteration)):
            await clearloop.run_sync(stops, executor=executor)

    run(main())


def test_context_goes_along_and_does_not_come_back(run, executor):
    def change():
        seen = number.get()
        number.set(99)
        return seen

    async def main():
        number.set(7)
        assert await clearloop.run_sync(change, executor=executor) == 7
        assert number.get() == 7

    run(main())


class Caller:
    async def __call__(self):
        pass

    async def method(self):
        pass


async def coroutine_function():
    pass


@pytest.mark.parametrize(
    "func", [coroutine_function, Caller(), Caller().method, functools.partial(coroutine_function)], ids=repr
)
def test_coroutine_functions_are_refused_before_they_run(run, executor, func):
    async def main():
        with pytest.raises(TypeError, match="is a coroutine function: await it"):
            await clearloop.run_sync(func, executor=executor)

    run(main())


def test_a_function_that_returns_a_coroutine_is_refused(run, executor):
    async def main():
        with pytest.raises(TypeError, match=r"<lambda>\(\) \(.*test_run_sync.py:\d+\) .* returned a coroutine"):
            await clearloop.run_sync(lambda: coroutine_function(), executor=executor)

    run(main())


def test_what_cannot_be_called_is_refused(run, executor):
    async def main():
        with pytest.raises(TypeError, match="a function was expected, got 3"):
            await clearloop.run_sync(3, executor=executor)

    run(main())


# ---- cancellation ------------------------------------------------------------------------------------------------


def test_a_cancellation_waits_for_the_function_to_end(run, executor):
    async def main():
        gate = Gate()
        task = asyncio.ensure_future(clearloop.run_sync(gate, executor=executor))
        await gate.has_begun()
        task.cancel("first")
        task.cancel("second")
        await let_turns_pass()
        assert not task.done()
        gate.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gate.ended

    run(main())


def test_a_timeout_waits_for_the_function_to_end(run, executor):
    async def main():
        gate = Gate()
        asyncio.get_running_loop().call_later(0.05, gate.go.set)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await clearloop.run_sync(gate, executor=executor)
        assert gate.ended

    run(main())


def test_an_error_of_a_cancelled_call_is_reported(run, executor):
    run.expect(1)

    async def main():
        gate = Gate(LookupError("late"))
        task = asyncio.ensure_future(clearloop.run_sync(gate, executor=executor))
        await gate.has_begun()
        task.cancel()
        gate.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert "after the call was cancelled" in run.reported[0]["message"]
    assert str(run.reported[0]["exception"]) == "late"


def test_an_abandoned_call_ends_by_itself_and_its_error_is_reported(run, executor):
    run.expect(1)

    async def main():
        gate = Gate(LookupError("late"))
        task = asyncio.ensure_future(clearloop.run_sync(gate, executor=executor, abandon_on_cancel=True))
        await gate.has_begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not gate.ended
        gate.go.set()
        while not run.reported:
            await asyncio.sleep(0.001)

    run(main())
    assert "after the call was abandoned" in run.reported[0]["message"] and "Gate" in run.reported[0]["message"]
    assert str(run.reported[0]["exception"]) == "late"


def test_an_abandoned_call_holds_its_thread_until_it_ends(run):
    async def main():
        with ThreadPoolExecutor(1) as pool:
            gate = Gate()
            first = asyncio.ensure_future(clearloop.run_sync(gate, executor=pool, abandon_on_cancel=True))
            await gate.has_begun()
            first.cancel()
            second = asyncio.ensure_future(clearloop.run_sync(lambda: gate.ended, executor=pool))
            await let_turns_pass()
            assert first.cancelled() and not second.done()
            gate.go.set()
            assert await second is True

    run(main())


def test_the_own_threads_are_bounded_and_an_abandoned_one_counts(run):
    async def main():
        gates = [Gate() for _ in range(100)]
        tasks = [asyncio.ensure_future(clearloop.run_sync(gate, abandon_on_cancel=True)) for gate in gates]
        await let_turns_pass(50)
        begun = [gate for gate in gates if gate.begun.is_set()]
        assert 1 <= len(begun) <= 32
        assert begun == gates[: len(begun)]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        last = asyncio.ensure_future(clearloop.run_sync(int))
        await let_turns_pass()
        assert not last.done(), "all threads are held"
        begun[0].go.set()
        assert await last == 0
        for gate in gates:
            gate.go.set()
        await let_turns_pass(50)
        assert [gate for gate in gates if gate.begun.is_set()] == begun, "what was cancelled in the queue never ran"

    run(main())


def test_a_call_that_has_not_begun_is_taken_back_at_once(run):
    async def main():
        with ThreadPoolExecutor(1) as pool:
            gate = Gate()
            first = asyncio.ensure_future(clearloop.run_sync(gate, executor=pool))
            await gate.has_begun()
            ran = []
            second = asyncio.ensure_future(clearloop.run_sync(ran.append, 1, executor=pool))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.go.set()
            assert await first == "done"
        assert ran == []

    run(main())


def test_cancelled_while_the_outcome_is_on_its_way(run, executor):
    async def main():
        for _ in range(200):
            task = asyncio.ensure_future(clearloop.run_sync(int, executor=executor))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


def test_a_job_that_a_shut_down_pool_drops_is_an_error_and_no_cancellation(run):
    async def main():
        pool = ThreadPoolExecutor(1)
        gate = Gate()
        first = asyncio.ensure_future(clearloop.run_sync(gate, executor=pool))
        await gate.has_begun()
        second = asyncio.ensure_future(clearloop.run_sync(int, executor=pool))
        await asyncio.sleep(0)
        pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(clearloop.JobLost, match="shut down"):
            await second
        gate.go.set()
        await first
        with pytest.raises(RuntimeError, match="after shutdown"):
            await clearloop.run_sync(int, executor=pool)

    run(main())


def test_a_pool_whose_threads_fail_to_start_work_says_so(run):
    def initializer():
        raise LookupError("no licence")

    async def main():
        from concurrent.futures.thread import BrokenThreadPool

        with ThreadPoolExecutor(1, initializer=initializer) as pool:
            with pytest.raises(BrokenThreadPool):
                await clearloop.run_sync(int, executor=pool)

    import logging

    logging.getLogger("concurrent.futures").disabled = True
    try:
        run(main())
    finally:
        logging.getLogger("concurrent.futures").disabled = False


# ---- unblocked ---------------------------------------------------------------------------------------------------


@clearloop.unblocked
def plain(a, b=2):
    """Adds."""
    return a + b, threading.get_ident()


class Account:
    def __init__(self):
        self.sum = 0

    @clearloop.unblocked(abandon_on_cancel=True)
    def add(self, amount, *, twice=False):
        self.sum += 2 * amount if twice else amount
        return self.sum


def test_unblocked_functions_and_methods(run):
    async def main():
        total, thread = await plain(1, b=4)
        assert total == 5 and thread != threading.get_ident()
        account = Account()
        assert await account.add(3) == 3
        assert await account.add(3, twice=True) == 9

    run(main())
    assert inspect.iscoroutinefunction(plain) and plain.__doc__ == "Adds." and plain.__name__ == "plain"
    assert plain.__wrapped__(1)[0] == 3


def test_unblocked_takes_an_executor_or_a_function_that_gives_it(run):
    async def main():
        with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
            for executor in (pool, lambda: pool):

                @clearloop.unblocked(executor=executor)
                def name():
                    return threading.current_thread().name

                assert (await name()).startswith("mine")

    run(main())


def test_unblocked_refuses_a_coroutine_function():
    with pytest.raises(TypeError, match="is a coroutine function"):
        clearloop.unblocked(coroutine_function)
