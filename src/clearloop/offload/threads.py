"""The loop's own threads: what run_in_executor(None, …) uses.

A job is one object all the way: submitted as an entry of the pool's queue, executed by a worker, then put by that same
worker into the loop's ready queue, where it resolves its future.  No concurrent future with a lock of its own in
between, no handle, no chain of callbacks.  The pool grows by a thread for each job that finds no idle worker, up to its
limit, as ThreadPoolExecutor does; more jobs wait in the queue, in order.
"""

import asyncio
import concurrent.futures
import os
import threading
import weakref
from _queue import Empty, SimpleQueue  # what the module queue gives, without the rest of it

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, new_future
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler

_pools = cython.declare(object, weakref.WeakSet())
_ended = cython.declare(cython.bint, False)  # the interpreter ends: a new thread would never be told to


@cython.cclass
class Job(Runnable):
    """A blocking call on its way to a thread and back."""

    def execute(self):
        """In the worker's thread: call the function, and hand the outcome to the loop."""
        if self.future.state != PENDING:
            return  # cancelled while it waited for a thread
        try:
            self.outcome = self.func(*self.args)
        except BaseException as error:
            self.outcome = translate(error)
            self.raised = True
        self.func = None
        self.args = None
        # Under the GIL from here on: the loop cannot close in between
        if self.loop.closed:
            return
        ring_push(cython.address(self.loop.ready), self)
        if self.loop.poller.waiting == 1:
            self.loop.poller.wake()

    def drop(self):
        """In any thread: the job will not be done, its future is cancelled."""
        if not self.loop.closed:
            self.loop.call_soon_threadsafe(self.future.cancel)

    def run(self):
        """In the loop's thread: resolve the future."""
        outcome = self.outcome
        self.outcome = None
        if self.future.state != PENDING:
            return 0  # cancelled while the function ran: nobody asks any more
        if self.raised:
            self.future.fail(outcome)
        else:
            self.future.settle(RETURNED, outcome)
        return 0


def translate(error):
    """A function that waited for a concurrent future may raise that module's errors; here asyncio's are awaited."""
    if type(error) is concurrent.futures.CancelledError:
        return asyncio.CancelledError(*error.args).with_traceback(error.__traceback__)
    if type(error) is concurrent.futures.InvalidStateError:
        return asyncio.InvalidStateError(*error.args).with_traceback(error.__traceback__)
    return error


class _ConcurrentJob:
    """What submit() queues: a job whose outcome goes to a concurrent future."""

    __slots__ = ("args", "func", "future", "kwargs")

    def __init__(self, func, args, kwargs):
        self.func, self.args, self.kwargs = func, args, kwargs
        self.future = concurrent.futures.Future()

    def execute(self):
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            outcome = self.func(*self.args, **self.kwargs)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(outcome)


@cython.cclass
class ThreadPool:
    """A bounded pool of threads; `limit` is ThreadPoolExecutor's default: the usable CPUs plus 4, at most 32."""

    def __init__(self, limit=None, name="asyncio"):
        if limit is None:
            cpus = getattr(os, "process_cpu_count", os.cpu_count)() or 1
            limit = min(32, cpus + 4)
        self.limit = limit
        self.name = name
        self._start_over()
        _pools.add(self)

    def _start_over(self):
        """No threads and no jobs; also in a child process, to which no thread comes along."""
        self.jobs = SimpleQueue()
        self.threads = set()
        self.idle = 0
        # a pool that was dropped without shutdown() still lets its idle workers end
        self.reference = weakref.ref(self, lambda _, jobs=self.jobs: jobs.put(None))

    def run(self, loop: Scheduler, func, args):
        """Call `func(*args)` in a worker; return a future of `loop`."""
        job: Job = Job.__new__(Job)
        job.loop = loop
        job.future = new_future(loop)
        job.func = func
        job.args = args
        self.give(job)
        return job.future

    def submit(self, func, /, *args, **kwargs):
        """As concurrent.futures.Executor.submit: for code that takes the loop's default executor by itself."""
        job = _ConcurrentJob(func, args, kwargs)
        self.give(job)
        return job.future

    def give(self, job):
        # No other thread comes in between the question and the put: a job behind the last None would never be done
        if self.down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _ended:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self.jobs.put(job)
        if self.idle > 0:
            self.idle -= 1
        elif len(self.threads) < self.limit:
            self.started += 1
            thread = threading.Thread(
                target=_work, args=(self.jobs, self.reference), name=f"{self.name}_{self.started - 1}"
            )
            try:
                thread.start()
            except RuntimeError:
                if not self.threads:
                    raise  # no thread to be had at all; else the others will come to the job
            else:
                self.threads.add(thread)
        return 0

    def worker_is_idle(self):
        """A worker has ended a job."""
        self.idle += 1

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Take no more jobs, and let the workers end when the queue is empty; `wait` for them to have ended."""
        self.down = True
        if cancel_futures:
            while True:
                try:
                    job = self.jobs.get_nowait()
                except Empty:
                    break
                if isinstance(job, Job):
                    cython.cast(Job, job).drop()
                elif job is not None:
                    job.future.cancel()
        self.jobs.put(None)
        if wait:
            for thread in list(self.threads):
                if thread is not threading.current_thread():
                    thread.join()


def _work(jobs, pool_reference):
    """A worker's life.  It holds the pool only between jobs, so that a pool nobody wants any more can go."""
    while True:
        job = jobs.get()
        if job is None:
            jobs.put(None)  # for the next worker
            return
        job.execute()
        del job
        pool = pool_reference()
        if pool is not None:  # else what is still queued comes first, and then the None that the pool has left
            pool.worker_is_idle()
        del pool


def _end_all():
    """At interpreter exit: let the workers end, after the jobs that are queued; threading then joins them."""
    global _ended
    _ended = True
    pools: list = list(_pools)
    for pool in pools:
        pool.shutdown(wait=False)
    for pool in pools:
        pool.shutdown(wait=True)


def _forget_threads():
    """In a forked child: the parent's jobs are the parent's to do."""
    for pool in list(_pools):
        pool._start_over()


os.register_at_fork(after_in_child=_forget_threads)

# The hook that concurrent.futures uses too: atexit itself comes after the non-daemon threads have been joined.
try:
    threading._register_atexit(_end_all)
except RuntimeError:  # imported while the interpreter ends: no thread can be started any more
    _ended = True
