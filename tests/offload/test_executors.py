"""Processes, interpreters, loky's workers, anybody's executor: what goes wrong there comes back by name."""

import asyncio
import concurrent.futures
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import jobs
import pytest

import clearloop


def _processes():
    return ProcessPoolExecutor(2, get_context("forkserver"))


def _loky():
    return pytest.importorskip("loky").ProcessPoolExecutor(2)


def _interpreters():
    if sys.version_info < (3, 14):
        pytest.skip("from Python 3.14")
    here = os.path.dirname(__file__)
    return concurrent.futures.InterpreterPoolExecutor(2, initializer=_find_jobs_in, initargs=(here,))


def _find_jobs_in(folder):
    import sys

    sys.path.insert(0, folder)


@pytest.fixture(params=[_processes, _loky, _interpreters], ids=["processes", "loky", "interpreters"])
def pool(request):
    with request.param() as pool:
        yield pool


@pytest.fixture
def processes(pool, request):
    if "interpreters" in request.node.name:
        pytest.skip("of processes")
    return pool


def test_results_and_errors(run, pool):
    async def main():
        assert await clearloop.run_sync(jobs.double, 4, executor=pool) == 8
        assert await clearloop.run_sync(jobs.double, [1], executor=pool) == [1, 1]
        with pytest.raises(LookupError, match="in the worker"):
            await clearloop.run_sync(jobs.raises, executor=pool)
        assert await clearloop.amap(jobs.double, range(50), limit=8, executor=pool) == [2 * n for n in range(50)]

    run(main())


def test_it_is_another_process(run, processes):
    async def main():
        assert await clearloop.run_sync(jobs.process_id, executor=processes) != os.getpid()

    run(main())


def test_an_argument_that_cannot_be_pickled_is_named(run, pool):
    async def main():
        with pytest.raises(clearloop.NotPicklable, match=r"argument 1 of take\(\) \(.*jobs.py:\d+\), a lock, cannot"):
            await clearloop.run_sync(jobs.take, threading.Lock(), executor=pool)
        assert await clearloop.run_sync(jobs.double, 1, executor=pool) == 2

    run(main())


def test_a_function_that_cannot_be_pickled_is_named(run):
    async def main():
        with _processes() as pool:
            with pytest.raises(clearloop.NotPicklable, match=r"the function .*<lambda>\(\) \(.*\) cannot be pickled"):
                await clearloop.run_sync(lambda: 1, executor=pool)

    run(main())


def test_a_result_that_cannot_be_pickled_is_named(run, pool):
    async def main():
        with pytest.raises(clearloop.NotPicklable, match=r"the result of a_lock\(\)"):
            await clearloop.run_sync(jobs.a_lock, executor=pool)
        assert await clearloop.run_sync(jobs.double, 1, executor=pool) == 2

    run(main())


def test_what_cannot_be_unpickled_breaks_one_call_and_not_the_pool(run, processes):
    async def main():
        with pytest.raises(clearloop.NotPicklable, match=r"take\(\) .* cannot be unpickled in the worker: LookupError"):
            await clearloop.run_sync(jobs.take, jobs.OpensNowhere(), executor=processes)
        with pytest.raises(clearloop.NotPicklable, match=r"the result of opens_nowhere\(\) .*cannot be unpickled here"):
            await clearloop.run_sync(jobs.opens_nowhere, executor=processes)
        with pytest.raises(RuntimeError, match="Odd: 1 and 2"):
            await clearloop.run_sync(jobs.raises_odd, executor=processes)
        assert await clearloop.run_sync(jobs.double, 1, executor=processes) == 2

    run(main())


def test_coroutines_are_refused(run, processes):
    async def main():
        with pytest.raises(TypeError, match="is a coroutine function"):
            await clearloop.run_sync(jobs.coroutine_function, executor=processes)
        with pytest.raises(TypeError, match="returned a coroutine"):
            await clearloop.run_sync(jobs.returns_coroutine, executor=processes)

    run(main())


async def _exists(path, task=None):
    while not path.exists():
        assert task is None or not task.done(), task
        await asyncio.sleep(0.002)


def test_a_cancellation_waits_for_the_end(run, pool, tmp_path):
    begun, go = tmp_path / "begun", tmp_path / "go"

    async def main():
        call = clearloop.run_sync(jobs.touch_and_wait, str(begun), str(go), executor=pool)
        task = asyncio.ensure_future(call)
        await _exists(begun, task)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        go.touch()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_what_is_queued_is_taken_back(run, tmp_path):
    begun, go, never = tmp_path / "begun", tmp_path / "go", tmp_path / "never"

    async def main():
        with ProcessPoolExecutor(1, get_context("forkserver")) as pool:
            first = asyncio.ensure_future(
                clearloop.run_sync(jobs.touch_and_wait, str(begun), str(go), executor=pool)
            )
            await _exists(begun)
            others = [
                asyncio.ensure_future(clearloop.run_sync(jobs.touch_and_wait, str(never), str(go), executor=pool))
                for _ in range(5)  # the pool hands out one or two ahead: those cannot be taken back
            ]
            await asyncio.sleep(0)
            others[-1].cancel()
            with pytest.raises(asyncio.CancelledError):
                await others[-1]
            assert not first.done()
            go.touch()
            assert await first == "ended" and await asyncio.gather(*others[:-1]) == ["ended"] * 4

    run(main())


def test_an_abandoned_call_is_reported(run, processes, tmp_path):
    run.expect(1)
    begun = tmp_path / "begun"

    async def main():
        call = clearloop.run_sync(_begin_and_fail, str(begun), executor=processes, abandon_on_cancel=True)
        task = asyncio.ensure_future(call)
        await _exists(begun)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not run.reported:
            await asyncio.sleep(0.002)

    run(main())
    assert "after the call was abandoned" in run.reported[0]["message"]


def _begin_and_fail(path):
    import time

    with open(path, "w"):
        pass
    time.sleep(0.1)
    raise LookupError("late")


def test_a_killed_process_is_an_error_that_says_so(run, processes):
    async def main():
        with pytest.raises(Exception, match=r"terminated|abruptly"):
            await clearloop.run_sync(jobs.kill_own_process, executor=processes)

    run(main())


def test_a_pool_that_is_shut_down_loses_no_job_silently(run, tmp_path):
    begun, go = tmp_path / "begun", tmp_path / "go"

    async def main():
        pool = ProcessPoolExecutor(1, get_context("forkserver"))
        calls = [
            asyncio.ensure_future(clearloop.run_sync(jobs.touch_and_wait, str(begun), str(go), executor=pool))
            for _ in range(6)
        ]
        await _exists(begun)
        pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.wait(calls[-2:])
        go.touch()
        results = await asyncio.gather(*calls, return_exceptions=True)
        lost = [result for result in results if isinstance(result, clearloop.JobLost)]
        assert len(lost) + results.count("ended") == 6 and len(lost) >= 2

    run(main())


# ---- executors that nobody knows ---------------------------------------------------------------------------------


class Strange(concurrent.futures.Executor):
    """Like a cluster's: submit and cancel may block, and a job may be cancelled by others."""

    def __init__(self):
        self.futures, self.threads = [], []

    def submit(self, func, /, *args, **kwargs):
        self.threads.append(threading.get_ident())
        future = concurrent.futures.Future()
        self.futures.append((future, func, args))
        return future


async def _submitted(executor, count=1):
    while len(executor.futures) < count:
        await asyncio.sleep(0.001)


def test_others_are_not_called_on_the_loops_thread(run):
    async def main():
        executor = Strange()
        task = asyncio.ensure_future(clearloop.run_sync(jobs.double, 2, executor=executor))
        await _submitted(executor)
        future, func, args = executor.futures[0]
        future.set_result(func(*args))
        assert await task == 4
        assert threading.get_ident() not in executor.threads

        cancelled_in = []
        task = asyncio.ensure_future(clearloop.run_sync(jobs.double, 2, executor=executor))
        await _submitted(executor, 2)
        future = executor.futures[1][0]
        cancel = future.cancel
        future.cancel = lambda: (cancelled_in.append(threading.get_ident()), cancel())[1]
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled_in and threading.get_ident() not in cancelled_in

    run(main())


def test_a_job_that_is_cancelled_by_others_is_an_error(run):
    async def main():
        executor = Strange()
        task = asyncio.ensure_future(clearloop.run_sync(jobs.double, 2, executor=executor))
        await _submitted(executor)
        executor.futures[0][0].cancel()
        executor.futures[0][0].set_running_or_notify_cancel()
        with pytest.raises(clearloop.JobLost, match="Strange has cancelled it by itself"):
            await task

    run(main())


def test_a_submission_that_fails_is_the_calls_error(run):
    class Refuses(concurrent.futures.Executor):
        def submit(self, *args):
            raise LookupError("no licence")

    async def main():
        with pytest.raises(LookupError, match="no licence"):
            await clearloop.run_sync(jobs.double, 2, executor=Refuses())
        with pytest.raises(TypeError, match="executor must be"):
            await clearloop.run_sync(jobs.double, 2, executor=3)

    run(main())


@clearloop.unblocked(executor=lambda: decorated_pool)
def decorated(value):
    return 3 * value, os.getpid()


def test_unblocked_functions_go_to_processes_by_their_name(run):
    global decorated_pool
    with ProcessPoolExecutor(1, get_context("forkserver")) as decorated_pool:
        value, pid = run(decorated(2))
    assert value == 6 and pid != os.getpid()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_are_started_on_the_loops_thread_only_where_they_are_forked(run, method):
    """A fork belongs to the thread that the program expects; all else would hold the loop while it begins."""
    threads = []

    class Seen(ProcessPoolExecutor):
        def submit(self, *args):
            threads.append(threading.get_ident())
            return super().submit(*args)

    async def main():
        with Seen(1, get_context("forkserver")) as pool:
            pool._mp_context = Named(method)
            return await clearloop.run_sync(jobs.double, 4, executor=pool)

    class Named:
        def __init__(self, method):
            self.method = method

        def get_start_method(self, allow_none=False):
            return self.method

        def __getattr__(self, name):
            return getattr(get_context("forkserver"), name)

    assert run(main()) == 8
    assert [thread == threading.get_ident() for thread in threads] == [method == "fork"]
