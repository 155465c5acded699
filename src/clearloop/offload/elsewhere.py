"""Calls that other executors perform: processes, interpreters, loky's, a cluster's, anybody's.

Those of the standard library that only queue are called on the loop's thread, as run_in_executor does.  Pools that
start processes by other means than a fork would hold the loop meanwhile, and all others may talk to a network when a
job is submitted or cancelled; a helper thread, one for each executor, does that in order.

What comes back is looked at before it is passed on.  A job that was cancelled though nobody here has cancelled it was
dropped, which is an error (JobLost) and no cancellation.  A Dask client is asked once a second, while jobs are away,
whether it is still there: a closed one leaves its futures pending for ever.
"""

import asyncio
import concurrent.futures
import functools
import sys
import threading
import time
import uuid
import weakref

from clearloop.engine import workers
from clearloop.offload import broken
from clearloop.offload.call import Call, send_to, translate
from clearloop.offload.errors import JobLost, NotPicklable, place
from clearloop.offload.executor import crowd_of
from clearloop.offload.parcel import Outcome, PackedOutcome, Parcel, Timed, pack, perform
from clearloop.offload.threads import ThreadPool

LOOK_EVERY = 1.0  # seconds between two looks at a cluster's client

_looks = weakref.WeakKeyDictionary()  # a cluster's executor -> who looks after its jobs
_helpers = weakref.WeakKeyDictionary()  # executor -> the pool of one thread that calls it


def send_elsewhere(loop, executor, func, args, held):
    """Send a call to `executor`; return its future."""
    if type(executor) is ThreadPool:
        return executor.send(loop, func, args, held)
    if type(executor) is concurrent.futures.ThreadPoolExecutor:
        return send_to(executor, crowd_of(executor), loop, func, args, held, False)
    if not hasattr(executor, "submit"):
        raise TypeError(f"executor must be None or a concurrent.futures.Executor, not {executor!r}")
    call = _kind(executor).__new__(_kind(executor))
    call._set_off(loop, func, args, None, held)
    call._begun(type(executor))
    call.begin(executor)
    return call


def _kind(executor):
    modules = {kind.__module__.partition(".")[0] for kind in type(executor).__mro__}
    if "distributed" in modules and hasattr(executor, "_client"):
        return ClusterCall
    if "loky" in modules or "joblib" in modules:
        return LokyCall
    if isinstance(executor, concurrent.futures.ProcessPoolExecutor):
        return ProcessCall
    if type(executor).__name__ == "InterpreterPoolExecutor":
        return InterpreterCall
    return ForeignCall


def _helper(executor):
    try:
        helper = _helpers.get(executor)
        if helper is None:
            helper = _helpers[executor] = ThreadPool(1, "clearloop-helper")
    except TypeError:  # no weak references to it, or no hash
        return ThreadPool(1, "clearloop-helper")
    return helper


class ForeignCall(Call):
    """A call by an executor that nothing is known of."""

    pickler = "pickle"
    parcels = False  # whether the workers can open ours

    def begin(self, executor):
        self.executor = executor
        self.handed = None
        self.by_helper(self.hand_over)

    def by_helper(self, func):
        _helper(self.executor).submit(func)

    def hand_over(self):
        """Submit it; not on the loop's thread, unless that only queues."""
        if self._wants_end:
            self._finish(asyncio.CancelledError(), True)
            return
        try:
            handed = self.submit()
        except BaseException as error:
            self._finish(self.explain(error), True)
            return
        self.handed = handed
        handed.add_done_callback(self.handed_back)
        if self._wants_end:
            handed.cancel()

    def submit(self):
        if self.parcels:
            return self.executor.submit(perform, Parcel(self.pickler, self._func, self._args), self._job != 0)
        return self.executor.submit(self._func, *self._args)

    def cancel(self, msg=None):
        if not super().cancel(msg):
            return False
        broken.cancelled(self)
        if self.handed is not None:
            self.by_helper(self.handed.cancel)
        return True

    def _fell(self, message, error):
        return broken.fell(self, message, error)

    def _ended_late(self):
        broken.ended(self)

    def handed_back(self, handed):
        """In a thread of the executor's."""
        self.handed = None
        try:
            if handed.cancelled():
                self._finish(asyncio.CancelledError() if self._wants_end else self.lost(), True)
                return
            error = handed.exception()
            if error is not None:
                self._finish(self.explain(translate(error)), True)
                return
            result = handed.result()
            if type(result) is Timed:
                self._ran(result.worker, result.began, result.ended)
                workers.note(result.worker, f"process {result.worker}")
                result = result.result
            if type(result) is PackedOutcome or type(result) is Outcome:
                result = result.open()
        except BaseException as error:
            self._finish(error, True)
        else:
            self._finish(result, False)

    def lost(self):
        return JobLost(f"{place(self._func)} was dropped: {type(self.executor).__name__} has cancelled it by itself")

    def explain(self, error):
        """Name what could not be pickled, if that was it."""
        args = self._args
        if args is None or isinstance(error, NotPicklable) or not _tells_of_pickling(error):
            return error
        try:
            pack(self.pickler, self._func, args)
        except NotPicklable as named:
            named.__context__ = error
            return named
        except Exception:
            pass
        return error


class ProcessCall(ForeignCall):
    pickler = "multiprocessing"
    parcels = True

    def by_helper(self, func):
        context = getattr(self.executor, "_mp_context", None)
        if context is None or context.get_start_method() == "fork":
            func()  # it only queues, and forks, if it does, from the thread that the program expects
        else:
            super().by_helper(func)  # it starts processes when jobs come: a fork server takes its 0.1 s, and more

    def lost(self):
        return JobLost(f"{place(self._func)} was still queued when its pool was shut down")

    if sys.version_info < (3, 12):

        def submit(self):
            handed = super().submit()
            if type(handed) is concurrent.futures.Future:
                handed.__class__ = _Handed
            return handed


class _Handed(concurrent.futures.Future):
    """For 3.11: a pool that breaks tells every queued job, and at one that was cancelled its manager died of the error.

    Everything that was still away then waited for ever.  From 3.12 on the manager passes over it.
    """

    def set_exception(self, exception):
        try:
            super().set_exception(exception)
        except concurrent.futures.InvalidStateError:
            if not self.cancelled():
                raise


class InterpreterCall(ProcessCall):
    """The pool shares functions and values in ways of its own, each call by itself: nothing to pack."""

    pickler = "pickle"
    parcels = False

    def submit(self):
        self.submitter, self.submitted, self.overtaken = threading.get_native_id(), time.monotonic_ns(), False
        handed = super().submit()
        if self._job and type(handed) is concurrent.futures.Future:
            handed.__class__ = _Noted
            self.overtaken = handed.running()  # perhaps since before it was one of those
        return handed

    def handed_back(self, handed):
        worker, began = getattr(handed, "worker", None), getattr(handed, "began", None)
        if worker is None and self.overtaken and threading.get_native_id() != self.submitter:
            # A worker had begun with it before submit() returned; its thread is the one that calls
            worker, began = threading.get_native_id(), self.submitted
            workers.note_thread(worker)
        if worker is not None:
            self._ran(worker, began, time.monotonic_ns())
        super().handed_back(handed)

    def explain(self, error):
        named = super().explain(error)
        if named is error and type(error).__name__ == "NotShareableError":
            named = NotPicklable(f"the result of {place(self._func)} cannot be sent to another interpreter: {error}")
            named.__cause__ = error
        return named


class _Noted(concurrent.futures.Future):
    """Knows which thread has begun with it, and when: for the timeline."""

    def set_running_or_notify_cancel(self):
        self.began, self.worker = time.monotonic_ns(), threading.get_native_id()
        workers.note_thread(self.worker)
        return super().set_running_or_notify_cancel()


class LokyCall(ForeignCall):
    pickler = "cloudpickle"
    parcels = True


class ClusterCall(ForeignCall):
    """A call by a Dask client's executor: under a key of its own, so that equal calls are as many jobs."""

    pickler = "cloudpickle"

    def begin(self, executor):
        super().begin(executor)
        _Look.of(executor).note(self)

    def hand_over(self):
        """In the helper's thread.  The client's own future is followed: the executor's loses some under faults."""
        if self._wants_end:
            self._finish(asyncio.CancelledError(), True)
            return
        executor, client = self.executor, self.executor._client
        try:
            if executor._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            key = f"{getattr(self._func, '__name__', 'call')}-{uuid.uuid4().hex}"
            settings = {**executor._kwargs, "key": key, "pure": False}
            job = client.submit(_checked(), place(self._func), self._func, *self._args, **settings)
        except BaseException as error:
            self._finish(self.explain(error), True)
            return
        executor._futures.add(job)  # so that the executor's shutdown reaches it
        self.handed = job
        client.loop.add_callback(self.follow, job)
        if self._wants_end:
            job.cancel()

    async def follow(self, job):
        """In the client's own loop: wait for the job, and fetch its result."""
        try:
            result = await job._result()
        except concurrent.futures.CancelledError:
            self._finish(asyncio.CancelledError() if self._wants_end else self.lost(), True)
        except BaseException as error:
            self._finish(self.explain(translate(error)), True)
        else:
            self._finish(result, False)
        self.handed = None

    def explain(self, error):
        if isinstance(error, TypeError) and str(error).startswith(_OF_RESULT):
            return NotPicklable(str(error))
        return super().explain(error)

    def lost(self):
        status = getattr(self.executor._client, "status", "unknown")
        why = {
            "closed": "its client was closed",
            "closing": "its client was closed",
            "connecting": "the connection to the scheduler was lost",
        }.get(status, "it was cancelled there, or what it needs was lost with a worker")
        return JobLost(f"{place(self._func)} was dropped by the cluster: {why}")


_OF_RESULT = "the result of "

# Performs a job on a cluster's worker.  A result that cannot be pickled would break the message that many results come
# in, and leave all of them waiting: it is tried there.  It travels as text in a function of __main__, which cloudpickle
# sends by value, so that the workers need no clearloop.
_CHECKED = """
def checked(name, func, *args):
    result = func(*args)
    if type(result) not in (type(None), bool, int, float, str, bytes):
        from distributed.protocol.pickle import dumps
        import logging
        logger = logging.getLogger("distributed.protocol.pickle")
        before, logger.disabled = logger.disabled, True
        try:
            dumps(result, buffer_callback=[].append)
        except Exception as error:
            text = f"the result of {name}, a {type(result).__qualname__}, cannot be pickled: "
            raise TypeError(f"{text}{type(error).__name__}: {error}") from None
        finally:
            logger.disabled = before
    return result
"""


@functools.cache
def _checked():
    names = {"__name__": "__main__"}
    exec(_CHECKED, names)
    return names["checked"]


class _Look:
    """Looks after the jobs of one client while any is away."""

    def __init__(self):
        self.away = weakref.WeakSet()
        self.timer = None

    @classmethod
    def of(cls, executor):
        look = _looks.get(executor)
        if look is None:
            look = _looks[executor] = cls()
        return look

    def note(self, call):
        self.away.add(call)
        if self.timer is None:
            loop = call._loop
            self.timer = loop.call_later(LOOK_EVERY, self.look, loop, call.executor)

    def look(self, loop, executor):
        self.timer = None
        away = [call for call in list(self.away) if not call._ended]
        self.away = weakref.WeakSet(away)
        if not away:
            return
        if getattr(executor._client, "status", None) == "closed":
            for call in away:
                call._finish(call.lost(), True)
            return
        self.timer = loop.call_later(LOOK_EVERY, self.look, loop, executor)


def _tells_of_pickling(error):
    text = f"{type(error).__name__} {error}".lower()
    return "pickl" in text or "serializ" in text or "shareable" in text
