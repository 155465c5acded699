"""Timeout: cancels its task when the time has come, and turns that cancellation into TimeoutError.

Nearly every timeout is entered once and left long before its time.  So the object is its own timer: it goes into the
loop's timer heap itself, and out again, with no handle and no bound method.  A timer that was discarded may lie dead in
the heap for a while, so a timeout that is rescheduled gets an Alarm for each new time instead.

    CREATED -> ENTERED -> EXITED                left in time
                       -> EXPIRING -> EXPIRED   the task was cancelled by us, and has left
"""

from asyncio import current_task, events, exceptions

import cython
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import Task
from cython.cimports.clearloop.engine.timers import nanoseconds
from cython.cimports.clearloop.engine.waiters import DONE

_CancelledError = cython.declare(object, exceptions.CancelledError)
_running_loop = cython.declare(object, events._get_running_loop)
_current_task = cython.declare(object, current_task)
_STAGES = cython.declare(tuple, ("created", "active", "expiring", "expired", "finished"))


@cython.cclass
class Timeout(Runnable):
    """https://docs.python.org/3/library/asyncio-task.html#asyncio.Timeout"""

    def __init__(self, when):
        self.deadline = when

    def __repr__(self):
        if self.stage != ENTERED:
            return f"<Timeout [{_STAGES[self.stage]}]>"
        when = None if self.deadline is None else round(self.deadline, 3)
        return f"<Timeout [active] when={when}>"

    def when(self):
        """Return the deadline in seconds of `loop.time()`, or None when there is none."""
        return self.deadline

    def expired(self):
        """Return whether the time was up before the context was left."""
        return self.stage == EXPIRING or self.stage == EXPIRED

    def reschedule(self, when):
        """Set a new deadline in seconds of `loop.time()`; None takes it away.

        Raises RuntimeError when the timeout is not active.
        """
        if self.stage == CREATED:
            raise RuntimeError("Timeout has not been entered")
        if self.stage != ENTERED:
            raise RuntimeError(f"Cannot change state of {_STAGES[self.stage]} Timeout")
        self.disarm()
        self.deadline = when
        self.arm()

    def __aenter__(self):
        entering: Entering = Entering.__new__(Entering)
        entering.timeout = self
        return entering

    def __aexit__(self, kind, error, traceback):
        self.leave(error)
        return DONE

    def _enter(self):
        self.enter()

    def _leave(self, error):
        self.leave(error)

    def enter(self):
        if self.stage != CREATED:
            raise RuntimeError("Timeout has already been entered")
        task = None if self.loop is None else _current_task(self.loop)
        if task is None:  # made by timeout_at, or while another loop ran
            self.loop = _running_loop()
            task = None if self.loop is None else _current_task(self.loop)
            if task is None:
                raise RuntimeError("Timeout should be used inside a task")
        self.task = task
        if isinstance(task, Task):
            self.cancelling_before = cython.cast(Task, task).cancel_requests
        else:
            self.cancelling_before = task.cancelling()
        if self.deadline is not None:
            self.arm()
        self.stage = ENTERED
        return 0

    def arm(self):
        """Start the timer; it fires in the next turn when the time is up already."""
        loop: Scheduler
        entry: Runnable
        when = self.deadline
        if when is None:
            return 0
        if not isinstance(self.loop, Scheduler):
            if when <= self.loop.time():
                self.alarm = self.loop.call_soon(self._expire)
            else:
                self.alarm = self.loop.call_at(when, self._expire)
            return 0
        loop = cython.cast(Scheduler, self.loop)
        if self.used:
            alarm: Alarm = Alarm.__new__(Alarm)
            alarm.timeout = self
            self.alarm = entry = alarm
        else:
            self.used = True
            self.armed = True
            entry = self
        seconds: cython.double = when
        if seconds <= loop.seconds():
            ring_push(cython.address(loop.ready), entry)
        else:
            loop.timers.push(nanoseconds(seconds), entry)
        return 0

    def disarm(self):
        if self.armed:
            self.armed = False
            self.dead = True
            cython.cast(Scheduler, self.loop).timers.discard(self)
        elif self.alarm is not None:
            alarm = self.alarm
            self.alarm = None
            if isinstance(alarm, Alarm):
                cython.cast(Runnable, alarm).dead = True
                cython.cast(Scheduler, self.loop).timers.discard(alarm)
            else:
                alarm.cancel()
        return 0

    def run(self):
        if self.armed:
            self.armed = False
            self.expire()
        return 0

    def _expire(self):
        self.expire()

    def expire(self):
        if self.stage != ENTERED:
            return 0
        self.stage = EXPIRING
        self.alarm = None
        try:
            self.task.cancel()
        except Exception as error:
            context = {"message": f"Exception in {self!r}", "exception": error, "task": self.task}
            self.loop.call_exception_handler(context)
        return 0

    def leave(self, error):
        """The context is left with `error` (None: without); raises TimeoutError when it was ours."""
        if self.stage == ENTERED:
            self.stage = EXITED
            if self.armed or self.alarm is not None:
                self.disarm()
            return 0
        if self.stage != EXPIRING:
            raise AssertionError("a Timeout is left once, after it was entered")
        self.stage = EXPIRED
        # uncancel first: whoever else has cancelled the task meanwhile still gets a cancellation
        if self.task.uncancel() <= self.cancelling_before and error is not None:
            if isinstance(error, _CancelledError):
                raise TimeoutError from error
            insert_timeout_error(error)
            if isinstance(error, BaseExceptionGroup):
                for inner in error.exceptions:
                    insert_timeout_error(inner)
        return 0


@cython.freelist(16)
@cython.cclass
class Entering:
    """What `async with timeout(…)` awaits: never suspends."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    @cython.nonecheck(True)  # nobody but a timeout makes one, but anybody can
    def __next__(self):
        self.timeout.enter()
        raise StopIteration(self.timeout)

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        raise kind if value is None else value

    def close(self):
        pass


@cython.cclass
class Alarm(Runnable):
    """The timer of a timeout that was rescheduled."""

    def run(self):
        if not self.dead:
            self.timeout.expire()
        return 0


@cython.cfunc
@cython.exceptval(-1)
def insert_timeout_error(error: object) -> cython.int:
    """An error that came up while our cancellation was handled says in its context that time was up."""
    while error.__context__ is not None:
        if isinstance(error.__context__, _CancelledError):
            late = TimeoutError()
            late.__context__ = late.__cause__ = error.__context__
            error.__context__ = late
            return 0
        error = error.__context__
    return 0


def timeout(delay):
    """Return a context manager that cancels what is awaited inside after `delay` seconds and raises TimeoutError.

    `None` never does.  Raises RuntimeError outside a running loop.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout
    """
    loop = _running_loop()
    if loop is None:
        raise RuntimeError("no running event loop")
    limit: Timeout = Timeout.__new__(Timeout)
    limit.loop = loop
    if delay is not None:
        if isinstance(loop, Scheduler):
            limit.deadline = cython.cast(Scheduler, loop).seconds() + cython.cast(cython.double, delay)
        else:
            limit.deadline = loop.time() + delay
    return limit


def timeout_at(when):
    """Return a context manager like timeout() for an absolute time in seconds of `loop.time()`.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout_at
    """
    limit: Timeout = Timeout.__new__(Timeout)
    limit.deadline = when
    return limit
