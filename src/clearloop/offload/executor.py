"""run_in_executor: a blocking function goes to a thread and comes back as a future of the loop."""

import asyncio
import concurrent.futures
import functools
import threading
import warnings
import weakref

from clearloop.offload.call import next_job, send_to
from clearloop.offload.exhaustion import Crowd
from clearloop.offload.threads import ThreadPool

SUBMITTED, DELIVERED, DROPPED = 0, 2, 3  # what a job's record tells

_pools = weakref.WeakKeyDictionary()  # loops of another make -> the pool that run_sync uses there
_crowds = weakref.WeakKeyDictionary()  # ThreadPoolExecutors -> who stands in line there


def default_executor(loop):
    """The loop's own pool of threads, made when it is first needed."""
    if not hasattr(loop, "_executor_down"):
        return _pool_elsewhere(loop)
    if loop._executor_down:
        raise RuntimeError("Executor shutdown has been called")
    if loop._default_executor is None:
        loop._default_executor = ThreadPool()
    return loop._default_executor


def _pool_elsewhere(loop):
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = ThreadPool()
    return pool


def crowd_of(executor):
    """Who stands in line for the threads of a ThreadPoolExecutor."""
    crowd = _crowds.get(executor)
    if crowd is None:
        crowd = _crowds[executor] = Crowd(executor._max_workers)
    return crowd


def submit(loop, executor, func, args):
    """Submit `func(*args)` and return a future of `loop`; see EventLoop.run_in_executor."""
    if executor is None:
        executor = default_executor(loop)
    if type(executor) is ThreadPool:
        return executor.run(loop, func, args)
    if type(executor) is concurrent.futures.ThreadPoolExecutor:
        return send_to(executor, None, loop, func, args, False, True)
    return _submit_elsewhere(loop, executor, func, args)


def _submit_elsewhere(loop, executor, func, args):
    """To an executor that nothing is known of; the recorder hears when the job leaves and when it is done."""
    number = next_job()
    loop._record_job(SUBMITTED, number, None, func, type(executor))
    try:
        job = executor.submit(func, *args)
    except BaseException:
        loop._record_job(DROPPED, number)
        raise
    if hasattr(job, "add_done_callback"):
        job.add_done_callback(functools.partial(_note_end, loop, number))
    return asyncio.wrap_future(job, loop=loop)


def _note_end(loop, number, job):
    loop._record_job(DROPPED if job.cancelled() else DELIVERED, number)


async def shutdown_default_executor(loop, timeout):
    """Wait for the default executor's threads to end; see EventLoop.shutdown_default_executor."""
    loop._executor_down = True
    executor = loop._default_executor
    if executor is None:
        return
    future = loop.create_future()

    def wait_for_threads():
        try:
            executor.shutdown(wait=True)
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, future, None)
        except Exception as error:
            if not loop.is_closed() and not future.cancelled():
                loop.call_soon_threadsafe(_settle, future, error)

    thread = threading.Thread(target=wait_for_threads)
    thread.start()
    try:
        async with asyncio.timeout(timeout):
            await future
    except TimeoutError:
        warnings.warn(
            f"The executor did not finishing joining its threads within {timeout} seconds.",
            RuntimeWarning,
            stacklevel=2,
        )
        executor.shutdown(wait=False)
    else:
        thread.join()


def _settle(future, error):
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
