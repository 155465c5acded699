"""Call: a blocking function on its way to a thread and back.

It is one object all the way: an entry of the pool's queue, executed by a worker, put by that same worker into the
loop's ready queue, and the future that the caller awaits.  No concurrent future with a lock of its own in between, no
handle, no chain of callbacks.

    stage     who may touch it               what cancel() does
    QUEUED    the loop, until a worker has   the future is cancelled, and the worker passes it by
              taken it
    RUNNING   the worker                     by mode: HELD waits for the end; FREE and DROPPED cancel the future now
    ENDED     the loop                       as for RUNNING; the outcome is on its way

Stages change under the GIL with no Python code in between, so a call is either cancelled before it began, or it began.
"""

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import os
import types
from asyncio import format_helpers
from asyncio.log import logger

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, Future
from cython.cimports.clearloop.engine.recorder import Recorder
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.capi import (
    PyContext_CopyCurrent,
    PyContext_Enter,
    PyContext_Exit,
    PyCoro_CheckExact,
    PyThread_get_thread_ident,
    native_thread_id,
)
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.slots import install_pool
from cython.cimports.libc.stdint import int64_t

from clearloop.engine import workers
from clearloop.engine.names import callback_name, thread_name
from clearloop.offload.errors import JobLost, is_coroutine_function, place

_COROUTINE = cython.declare(cython.int, inspect.CO_COROUTINE)
_FUNCTION = cython.declare(object, types.FunctionType)
_CONTEXT = cython.declare(object, contextvars.Context)
_workers = cython.declare(dict, workers.known)
_BUILTIN = cython.declare(object, types.BuiltinFunctionType)
_running: dict = {}  # thread identifier -> the call that it executes
_jobs = cython.declare(cython.uint, 0)  # numbers given to jobs, in this process

# JOB records: how
SUBMITTED = cython.declare(cython.uchar, 0)
RAN = cython.declare(cython.uchar, 1)
DELIVERED = cython.declare(cython.uchar, 2)
DROPPED_JOB = cython.declare(cython.uchar, 3)


@cython.cclass
class Call(Future):
    """The future of a call that runs in another thread (or, in a subclass, elsewhere)."""

    # ---- in the worker's thread ------------------------------------------------------------------------------------

    def execute(self):
        """Call the function, and hand the outcome to the loop."""
        if self.stage != QUEUED or self.state != PENDING:
            return  # cancelled while it waited for a thread
        self.stage = RUNNING
        thread = PyThread_get_thread_ident()
        outer = _running.get(thread)
        _running[thread] = self
        outcome = None
        raised: cython.bint = False
        began: int64_t = monotonic_ns()
        self.since = began
        try:
            outcome = self.perform()
        except BaseException as error:
            outcome = translate(error)
            raised = True
        if outer is None:
            _running.pop(thread, None)
        else:
            _running[thread] = outer
        if self.job:
            self.note_ran(began)
        self.finish(outcome, raised)

    def perform(self):
        if self.context is None:
            return self.func(*self.args)
        context = self.context
        PyContext_Enter(context)
        try:
            outcome = self.func(*self.args)
        finally:
            PyContext_Exit(context)
        if PyCoro_CheckExact(outcome):
            outcome.close()
            raise TypeError(
                f"{place(self.func)} was called in a thread and returned a coroutine, which only a loop can run: "
                "await it, or hand over a function that blocks"
            )
        return outcome

    def finish(self, outcome, raised):
        self.outcome = outcome
        self.raised = raised
        self.args = None
        self.context = None
        self.stage = ENDED
        # Under the GIL from here on: the loop cannot close in between
        if not self.native:
            if self.loop.is_closed():
                self.forget()
            else:
                self.loop.call_soon_threadsafe(self._come_home)
            return 0
        loop: Scheduler = self.loop
        if loop.closed:
            self.forget()
            return 0
        ring_push(cython.address(loop.ready), self)
        if loop.recording and isinstance(self.waiter, Runnable):
            # its task could go on from now, not from when the loop comes to us
            loop.note_woken(self.waiter)
            self.announced = True
        if loop.poller.waiting == 1:
            loop.poller.wake()
        return 0

    def drop(self):
        """In any thread: the job will not be done, its future is cancelled or told so."""
        if self.stage != QUEUED or self.state != PENDING:
            return
        if self.mode != FREE:
            self.stage = ENDED
            self.finish(JobLost(f"{place(self.func)} was still queued when its pool was shut down"), True)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.cancel)

    def ticket_done(self, ticket):
        """In any thread: the executor is done with it; says something new only if it never came to a thread."""
        if self.stage != QUEUED or self.state != PENDING:
            return
        if ticket.cancelled():
            self.drop()
        else:
            self.finish(translate(ticket.exception()), True)

    # ---- in the loop's thread --------------------------------------------------------------------------------------

    def _come_home(self):
        self.run()

    def run(self):
        """Resolve the future."""
        outcome = self.outcome
        self.outcome = None
        self.home()
        if self.announced:
            cython.cast(Scheduler, self.loop).step_due = -1
        if self.job:
            gone: cython.bint = self.state != PENDING or self.cancel_requested or isinstance(outcome, JobLost)
            self.note(DROPPED_JOB if gone else DELIVERED)
        if self.state != PENDING:  # cancelled while the function ran
            if self.raised and self.mode == DROPPED:
                self.report_late(outcome)
        elif self.cancel_requested:
            if self.raised:
                self.report_late(outcome)
            self.cancel_now(self.cancel_message)
        elif not self.raised:
            self.settle(RETURNED, outcome)
        elif self.mode != FREE and isinstance(outcome, asyncio.CancelledError):
            lost = JobLost(f"{place(self.func)} raised CancelledError, though nobody has cancelled the call")
            lost.__cause__ = outcome
            self.fail(lost)
        elif isinstance(outcome, StopIteration):
            wrapped = RuntimeError(f"{place(self.func)} raised StopIteration")
            wrapped.__cause__ = outcome
            self.fail(wrapped)
        else:
            self.fail(outcome)
        if self.cancel_requested:
            self._ended_late()
        self.func = None
        return 0

    def forget(self):
        """The loop closes, or is closed, with the outcome still on its way."""
        if self.raised and self.mode != FREE:
            self.report_late(self.outcome)
        if self.cancel_requested:
            self._ended_late()
        return 0

    def home(self):
        if self.away:
            self.away = False
            cython.cast(Scheduler, self.loop).offloaded -= 1
        return 0

    def cancel(self, msg=None):
        """Cancel the call; what that means while the function runs, the table above says."""
        self.log_traceback = False
        if self.state != PENDING:
            return False
        self.check_initialized()
        if self.back is not None:
            self.back.cancel(msg)
        if self.stage == QUEUED and self._withdraw():
            self.home()
            self.note(DROPPED_JOB)
            self.cancel_now(msg)
            return True
        if self.mode == HELD:
            self.cancel_requested = True
            self.cancel_message = msg
        else:
            self.cancel_requested = True
            self.cancel_now(msg)
        return True

    def _withdraw(self):
        """Take it back before it has begun; return whether that is certain."""
        if self.ticket is not None:
            self.ticket.cancel()
        return True

    def _fail_queued(self, error):
        """It would wait for ever: fail it, unless a worker has come to it meanwhile."""
        if self.stage == QUEUED and self.state == PENDING:
            self.stage = ENDED
            self.home()
            self.note(DROPPED_JOB)
            self.fail(error)

    def report_late(self, error):
        """Nobody awaits the call any more, so its error is told to the loop's exception handler."""
        if isinstance(error, asyncio.CancelledError):
            return 0
        how = "abandoned" if self.mode == DROPPED else "cancelled"
        message = f"{place(self.func)} raised after the call was {how}"
        if not isinstance(error, concurrent.futures.BrokenExecutor) or not self._fell(message, error):
            self._tell_late(message, error)
        return 0

    def _tell_late(self, message, error):
        if self.loop.is_closed():
            logger.error(message, exc_info=(type(error), error, error.__traceback__))
            return
        context = {"message": message, "exception": error, "future": self}
        self.report(context)

    # ---- the recorder ----------------------------------------------------------------------------------------------

    def number(self):
        return self.job

    def note_sent(self, executor):
        """It goes to an executor of this type.  A loop that has no credits for it hears no more of it."""
        global _jobs
        if self.native and cython.cast(Recorder, self.loop).tape.credits > 0:
            _jobs += 1
            self.job = _jobs
            now: int64_t = monotonic_ns()
            if self.since == 0:  # no worker has come to it yet
                self.since = now
            cython.cast(Recorder, self.loop).note_job(SUBMITTED, self.job, self.func, executor, 0, now, 0)
        return 0

    def note_ran(self, began):
        """In the worker's thread: the function has returned or raised."""
        worker: cython.ulong = native_thread_id()
        cython.cast(Recorder, self.loop).note_job(RAN, self.job, None, None, worker, began, monotonic_ns() - began)
        if worker not in _workers:
            workers.note_thread(worker)
        return 0

    def note(self, how):
        if self.job:
            cython.cast(Recorder, self.loop).note_job(how, self.job, None, None, 0, monotonic_ns(), 0)
        return 0

    # ---- for subclasses and for who looks on -----------------------------------------------------------------------

    def _fell(self, message, error):
        """Its pool broke after it was cancelled; whether that is told elsewhere."""
        return False

    def _ended_late(self):
        """It was cancelled, and now it has ended."""

    def _set_off(self, loop, func, args, context, held):
        """Initialize a call of a subclass, which executes it in a way of its own."""
        set_off(self, loop, func, args, context, HELD if held else DROPPED)

    def _begun(self, executor):
        """It is on its way to an executor of this type."""
        self.stage = RUNNING
        self.note_sent(executor)

    def _ran(self, worker, began, ended):
        """Another process tells when it ran the function; its clock is ours, or it is not believed."""
        now: int64_t = monotonic_ns()
        begin: int64_t = began
        end: int64_t = ended
        if self.job and 0 < begin <= end <= now:
            cython.cast(Recorder, self.loop).note_job(RAN, self.job, None, None, worker, begin, end - begin)

    def _finish(self, outcome, raised):
        if self.stage != ENDED:  # whoever is first
            self.finish(outcome, raised)

    def _standing(self):
        """What a task waits for that awaits this: for the live view, from any thread."""
        worker = None
        for ident, call in _running.items():
            if call is self:
                worker = thread_name(ident)
                break
        func = self.func
        if type(func) is functools.partial and type(func.func) is _BUILTIN and type(func.func.__self__) is _CONTEXT:
            func = func.args[0] if func.args else func  # asyncio.to_thread() runs it in the caller's context
        stage = "queued" if self.stage == QUEUED else "running" if self.stage == RUNNING else "ended"
        return {
            "kind": "job",
            "function": callback_name(func),
            "stage": stage,
            "seconds": max(0, monotonic_ns() - self.since) / 1e9 if self.since != 0 else None,
            "worker": worker,
        }

    @property
    def _func(self):
        return self.func

    @property
    def _args(self):
        return self.args

    @property
    def _context(self):
        return self.context

    @property
    def _job(self):
        return self.job

    @property
    def _queued(self):
        """Whether it still waits for a thread."""
        return self.stage == QUEUED and self.state == PENDING

    @property
    def _ended(self):
        return self.stage == ENDED

    @property
    def _wants_end(self):
        """Whether somebody has cancelled it."""
        return bool(self.cancel_requested)

    @property
    def _back(self):
        return self.back

    @_back.setter
    def _back(self, task):
        self.back = task


os.register_at_fork(after_in_child=_running.clear)  # no other thread comes along


def translate(error):
    """A function that waited for a concurrent future may raise that module's errors; here asyncio's are awaited."""
    if type(error) is concurrent.futures.CancelledError:
        return asyncio.CancelledError(*error.args).with_traceback(error.__traceback__)
    if type(error) is concurrent.futures.InvalidStateError:
        return asyncio.InvalidStateError(*error.args).with_traceback(error.__traceback__)
    return error


def set_off(call, loop, func, args, context, mode):
    call.loop = loop
    call.native = isinstance(loop, Scheduler)
    call.plain = True
    call.func = func
    call.args = args
    call.context = context
    call.mode = mode
    if call.native:
        call.away = True
        cython.cast(Scheduler, loop).offloaded += 1
        if cython.cast(Scheduler, loop).debug:
            call.note_origin(format_helpers.extract_stack())
    return 0


def new_call(loop, func, args, context, mode):
    call: Call = Call.__new__(Call)
    set_off(call, loop, func, args, context, mode)
    return call


def send_to(executor, crowd, loop, func, args, held, free):
    """Give a ThreadPoolExecutor a call: its worker executes it as one of our own pool would."""
    mode: Mode = FREE if free else HELD if held else DROPPED
    call: Call = new_call(loop, func, args, None if free else PyContext_CopyCurrent(), mode)
    call.crowd = crowd
    call.note_sent(type(executor))
    try:
        call.ticket = executor.submit(call.execute)
    except BaseException:
        call.home()
        call.note(DROPPED_JOB)
        raise
    if crowd is not None:
        crowd.join(call)
    call.ticket.add_done_callback(call.ticket_done)
    return call


def next_job():
    """The number of a job that is no Call."""
    global _jobs
    _jobs += 1
    return _jobs


def calling():
    """The call that this thread executes, or None."""
    return _running.get(PyThread_get_thread_ident())


def running():
    """All calls that threads execute now: (thread identifier, call)."""
    return list(_running.items())


def note_running(thread, job):
    """Enter a job that is no Call among those that run; return the one that it stands in for."""
    outer = _running.get(thread)
    if job is None:
        _running.pop(thread, None)
    else:
        _running[thread] = job
    return outer


def refuse_coroutine_function(func):
    """Raise TypeError for what only a loop can run, and for what nobody can call."""
    kind = type(func)
    if kind is _BUILTIN:
        return None
    if kind is _FUNCTION:
        if not func.__code__.co_flags & _COROUTINE and getattr(func, "_is_coroutine_marker", None) is None:
            return None
    elif not callable(func):
        raise TypeError(f"a function was expected, got {func!r}")
    elif not is_coroutine_function(func):
        return None
    raise TypeError(
        f"{place(func)} is a coroutine function: await it, or make it a task; threads and processes are for functions "
        "that block"
    )


install_pool(Call, 1024, True)
