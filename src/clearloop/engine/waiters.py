"""Waiting in line: what every lock, event and queue is made of.

A Line is a doubly linked list of Waiters in the order in which they came, so that leaving from the middle (a waiter
that was cancelled) costs as little as leaving from the front.  A Waiter is a Future that is its own iterator: the
awaiting task gets it from the `await` and is stored in it, and when the task resumes, or an error is thrown in, or the
coroutine is closed, the Waiter itself tells the line how the wait ended, once.  So no `try` and no list of futures
stand in Python code, and no wake-up is lost on any of the three ways out.

When a waiter leaves the line is each primitive's own affair: a lock keeps a woken waiter until it has resumed, since
its presence is what keeps others from jumping the queue; a queue lets go of it when it wakes it.
"""

from asyncio import events, exceptions

import cython
from cython.cimports.clearloop.engine.future import CANCELLED, PENDING, RETURNED, Future
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.capi import this_thread
from cython.cimports.cpython.ref import PyObject

_CancelledError = cython.declare(object, exceptions.CancelledError)
_running_loop = cython.declare(object, events._get_running_loop)


@cython.cclass
class Waiter(Future):
    """One task's place in a Line."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.state == PENDING:
            if self.blocking:
                raise RuntimeError("await wasn't used with future")
            self.blocking = True
            return self
        if self.state == RETURNED:
            self.finish(None)
            raise StopIteration
        error = self.make_cancelled_error() if self.state == CANCELLED else self.value
        self.finish(error)
        raise error

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        if value is None:
            value = kind if isinstance(kind, BaseException) else kind()
        elif not isinstance(value, BaseException):
            value = kind(value)
        self.finish(value)
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        self.finish(GeneratorExit())

    def _waits_in(self):
        """The lock, event or queue, for those who ask what a task waits for."""
        return self.line

    def finish(self, error):
        line: Line = self.line
        if line is None:
            return 0
        self.line = None
        if self.linked:
            line.unlink(self)
        line.ended(self, error)
        return 0


@cython.cclass
class Line:
    """Who waits, in order, bound to the loop of the first wait."""

    def _get_loop(self):
        return self.bind()

    @property
    def _loop(self):
        return self.bound

    @_loop.setter
    def _loop(self, loop):
        self.bound = loop
        self.native = isinstance(loop, Scheduler)

    def bind(self):
        """The running loop, which is the line's loop from now on."""
        if self.native and cython.cast(Scheduler, self.bound).thread_id == this_thread():
            return self.bound  # it runs in this thread, so no other does
        loop = _running_loop()
        if loop is None:
            raise RuntimeError("no running event loop")
        if loop is not self.bound:
            if self.bound is not None:
                raise RuntimeError(f"{self!r} is bound to a different event loop")
            self.bound = loop
            self.native = isinstance(loop, Scheduler)
        return loop

    def join(self):
        """A new waiter at the end of the line, to be awaited at once."""
        loop = self.bind()
        waiter: Waiter = Waiter.__new__(Waiter)
        waiter.loop = loop
        waiter.native = self.native
        waiter.plain = True
        waiter.line = self
        waiter.linked = True
        this: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), waiter)
        if self.head is None:  # not the tail: the garbage collector, which takes lines apart, does not know it
            self.head = waiter
        else:
            waiter.previous = self.tail
            cython.cast(Waiter, self.tail).next = waiter
        self.tail = this
        self.count += 1
        return waiter

    def _join(self):
        return self.join()

    def unlink(self, waiter):
        if self.head is None:
            return 0  # the garbage collector has taken the line apart
        following: Waiter = waiter.next
        if following is None:
            self.tail = waiter.previous
        else:
            following.previous = waiter.previous
        if waiter.previous == cython.NULL:
            self.head = following
        else:
            cython.cast(Waiter, waiter.previous).next = following
        waiter.previous = cython.NULL
        waiter.next = None
        waiter.linked = False
        self.count -= 1
        return 0

    def ended(self, waiter, error):
        """A wait is over: `error` is what it raises, None when it was woken."""
        return 0

    def wake_head(self):
        """Wake the first in line, unless it is about to leave anyway: it passes the turn on when it does."""
        waiter: Waiter = self.head
        if waiter is None or waiter.state != PENDING:
            return False
        waiter.settle(RETURNED, True)
        return True

    def wake_next(self):
        """Wake the first in line that is not done yet."""
        waiter: Waiter = self.head
        while waiter is not None:
            if waiter.state == PENDING:
                waiter.settle(RETURNED, True)
                return True
            waiter = waiter.next
        return False

    def wake_all(self):
        waiter: Waiter = self.head
        while waiter is not None:
            if waiter.state == PENDING:
                waiter.settle(RETURNED, True)
            waiter = waiter.next
        return 0

    def _wake(self, n):
        """Wake the first `n` that are not done yet."""
        waiter: Waiter = self.head
        woken: cython.Py_ssize_t = 0
        while waiter is not None and woken < n:
            if waiter.state == PENDING:
                waiter.settle(RETURNED, True)
                woken += 1
            waiter = waiter.next

    @property
    def _waiting(self):
        return self.count

    def live(self):
        """Whether anybody in line was not cancelled."""
        waiter: Waiter = self.head
        while waiter is not None:
            if waiter.state != CANCELLED:
                return True
            waiter = waiter.next
        return False

    def gone(self, error):
        """Whether the wait ended with its loop: then there is nobody left to pass a turn on to."""
        if isinstance(error, _CancelledError):
            return False
        return self.bound.is_closed()

    def members(self):
        """The waiters, in order."""
        found: list = []
        waiter: Waiter = self.head
        while waiter is not None:
            found.append(waiter)
            waiter = waiter.next
        return found


@cython.cclass
class Done:
    """An awaitable that is over before it began; its result is None.  There is one of it."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        raise StopIteration(None)

    def throw(self, kind, value=None, traceback=None):
        raise kind if value is None else value

    def close(self):
        pass


DONE: Done = Done()
