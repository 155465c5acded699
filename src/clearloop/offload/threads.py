"""The loop's own threads: what run_in_executor(None, …) and run_sync use.

The pool grows by a thread for each job that finds no idle worker, up to its limit, as ThreadPoolExecutor does; more
jobs wait in the queue, in order.  A job is a Call (call.py), or what submit() makes for code that wants a concurrent
future.
"""

import concurrent.futures
import os
import threading
import weakref
from _queue import Empty, SimpleQueue  # what the module queue gives, without the rest of it

import cython
from cython.cimports.clearloop.offload.call import DROPPED, FREE, HELD, Call, new_call, refuse_coroutine_function
from cython.cimports.clearloop.system.capi import PyContext_CopyCurrent

from clearloop.offload.call import note_running
from clearloop.offload.exhaustion import Crowd

_pools = cython.declare(object, weakref.WeakSet())
_ended = cython.declare(cython.bint, False)  # the interpreter ends: a new thread would never be told to


class _ConcurrentJob:
    """What submit() queues: a job whose outcome goes to a concurrent future."""

    __slots__ = ("_args", "_func", "crowd", "future", "kwargs")

    def __init__(self, func, args, kwargs, crowd):
        self._func, self._args, self.kwargs, self.crowd = func, args, kwargs, crowd
        self.future = concurrent.futures.Future()

    def execute(self):
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        thread = threading.get_ident()
        outer = note_running(thread, self)
        try:
            outcome = self._func(*self._args, **self.kwargs)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(outcome)
        finally:
            note_running(thread, outer)

    @property
    def _queued(self):
        return not self.future.running() and not self.future.done()

    def _fail_queued(self, error):
        if self._queued:
            self.future.set_exception(error)


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
        self.idle = self.behind = 0
        self.crowd = Crowd(self.limit)
        # a pool that was dropped without shutdown() still lets its idle workers end
        self.reference = weakref.ref(self, lambda _, jobs=self.jobs: jobs.put(None))

    def run(self, loop, func, args):
        """Call `func(*args)` in a worker; return a future of `loop`: run_in_executor."""
        call: Call = new_call(loop, func, args, None, FREE)
        call.crowd = self.crowd
        call.note_sent(ThreadPool)
        try:
            self.give(call)
        except BaseException:
            call.home()
            call.note(3)  # dropped
            raise
        return call

    def send(self, loop, func, args, held):
        """The same in a copy of the current context, and with cancellation as run_sync has it."""
        call: Call = new_call(loop, func, args, PyContext_CopyCurrent(), HELD if held else DROPPED)
        call.crowd = self.crowd
        call.note_sent(ThreadPool)
        try:
            self.give(call)
        except BaseException:
            call.home()
            call.note(3)  # dropped
            raise
        return call

    def submit(self, func, /, *args, **kwargs):
        """As concurrent.futures.Executor.submit: for code that takes the loop's default executor by itself."""
        job = _ConcurrentJob(func, args, kwargs, self.crowd)
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
            self.threads.add(thread)  # first: it may give us a job of its own before start() has returned
            try:
                thread.start()
            except RuntimeError:
                self.threads.discard(thread)
                if not self.threads:
                    raise  # no thread to be had at all; else the others will come to the job
        else:
            self.behind += 1
            self.crowd.join(job)
        return 0

    def worker_is_idle(self):
        """A worker has ended a job; the next one in line, if there is one, is promised to it."""
        if self.behind > 0:
            self.behind -= 1
        else:
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
                if isinstance(job, Call):
                    job.drop()
                elif job is not None:
                    job.future.cancel()
            self.crowd.disperse()
        self.jobs.put(None)
        if wait:
            for thread in list(self.threads):
                if thread is not threading.current_thread():
                    thread.join()


def start(loop, func, args, held):
    """run_sync's usual way: check the function, and send it to the loop's own threads."""
    refuse_coroutine_function(func)
    pool = loop._default_executor
    if type(pool) is not ThreadPool:
        return None
    return cython.cast(ThreadPool, pool).send(loop, func, args, held)


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
