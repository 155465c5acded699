"""Future: a result that is not there yet, and who waits for it.

    state      value              error_detail                 may wake
    PENDING    None               who awaits it, if noted      whoever is added
    CANCELLED  the message        the CancelledError, if any   nobody any more
    RETURNED   the result         None                         nobody any more
    RAISED     the exception      its traceback                nobody any more

Who awaits it is noted by asyncio's functions that wait for many (awaited_by.py), and forgotten when it is done.

Who waits stands in `waiter`, in a list once there are several, so that the usual single waiter costs no
list.  A waiter is either a Runnable of the same loop (a native Task, a gather), which goes straight to the ready queue
when the future is done, with no handle and no bound method in between; or a (callback, context) pair, which is
scheduled as asyncio would.  Both keep one order.
"""

import asyncio
import sys
import warnings
from asyncio import base_futures, events, exceptions, format_helpers
from types import GenericAlias, TracebackType

import cython
from cython.cimports.clearloop.engine.handle import new_handle
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.capi import (
    PYGEN_ERROR,
    PYGEN_NEXT,
    PYGEN_RETURN,
    Py_DECREF_raw,
    Py_INCREF_raw,
    PyContext_CopyCurrent,
    exiting,
    install_send,
    set_error,
    set_traceback,
    type_of,
)
from cython.cimports.clearloop.system.slots import (
    PyObject_GenericGetDict,
    install_attributes,
    install_extra,
    install_guard,
    install_pool,
)
from cython.cimports.cpython.ref import PyObject

from clearloop.engine import call_graph

_FUTURE = cython.declare(object, asyncio.Future)
_InvalidStateError = cython.declare(object, exceptions.InvalidStateError)
_CancelledError = cython.declare(object, exceptions.CancelledError)
_NAMES = cython.declare(tuple, ("PENDING", "CANCELLED", "FINISHED", "FINISHED"))
_THROW_DEPRECATED = cython.declare(cython.bint, sys.version_info >= (3, 12))
_INITIALIZED_ONCE = cython.declare(cython.bint, sys.version_info >= (3, 15))


def asyncio_wraps_stop_iteration():
    """Whether asyncio makes a RuntimeError of it, or raises TypeError: which one changed in patch releases."""

    class Loop:
        def get_debug(self):
            return False

    future = asyncio.Future(loop=Loop())
    try:
        future.set_exception(StopIteration())
    except TypeError:
        return False
    future.exception()  # fetched
    return True


_STOP_ITERATION_WRAPPED = cython.declare(cython.bint, asyncio_wraps_stop_iteration())


@cython.cclass
class Future(Runnable):
    """https://docs.python.org/3/library/asyncio-future.html#asyncio.Future"""

    __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, *, loop=None):
        if _INITIALIZED_ONCE and self.loop is not None:
            raise RuntimeError(f"{type(self).__name__} object is already initialized")
        if loop is None:
            loop = events.get_event_loop()
        self.loop = loop
        self.native = isinstance(loop, Scheduler)
        self.plain = type(self) is Future
        self.state = PENDING
        # nothing of a life before, if it is initialised a second time
        self.value = self.error_detail = self.waiter = None
        self.log_traceback = False
        if loop.get_debug():
            self.note_origin(format_helpers.extract_stack())

    def note_origin(self, frames):
        """Debug mode: where the future was made.  Kept among the attributes, so that it costs nothing otherwise."""
        attributes: dict = PyObject_GenericGetDict(self, cython.NULL)
        attributes["_source_traceback"] = frames
        return 0

    @property
    def __class__(self):
        # So that isinstance(future, asyncio.Future) and asyncio.isfuture(future) hold
        return _FUTURE

    def __repr__(self):
        return f"<{type(self).__name__} {' '.join(base_futures._future_repr_info(self))}>"

    @property
    def __dict__(self):
        return PyObject_GenericGetDict(self, cython.NULL)

    def __del__(self):
        if self.log_traceback:
            self.report_unfetched()

    def report_unfetched(self):
        context = {
            "message": f"{type(self).__name__} exception was never retrieved",
            "exception": self.value,
            "future": self,
        }
        self.report(context)

    def report(self, context):
        """Tell the loop's exception handler of an end that nobody saw."""
        if self._source_traceback:
            context["source_traceback"] = self._source_traceback
        try:
            self.loop.call_exception_handler(context)
        except BaseException:
            if not exiting():
                raise
        return 0

    # ---- asking ----------------------------------------------------------------------------------------------------

    def get_loop(self):
        """Return the loop that the future is bound to."""
        self.check_initialized()
        return self.loop

    def done(self):
        """Return whether the future has a result, an exception or was cancelled."""
        return self.state != PENDING

    def cancelled(self):
        """Return whether the future was cancelled."""
        return self.state == CANCELLED

    def result(self):
        """Return the result or raise the exception.

        Raises CancelledError when it was cancelled and InvalidStateError when it is not done yet.
        """
        if self.state == RETURNED:
            return self.value
        return self.outcome()

    def outcome(self):
        if self.state == RETURNED:
            return self.value
        if self.state == RAISED:
            self.log_traceback = False
            raise self.value.with_traceback(self.error_detail)
        if self.state == CANCELLED:
            raise self.make_cancelled_error()
        raise _InvalidStateError("Result is not ready.")

    def exception(self):
        """Return the exception, or None when there is a result.

        Raises CancelledError when it was cancelled and InvalidStateError when it is not done yet.
        """
        if self.state == CANCELLED:
            raise self.make_cancelled_error()
        if self.state == PENDING:
            raise _InvalidStateError("Exception is not set.")
        self.log_traceback = False
        return self.value if self.state == RAISED else None

    def _make_cancelled_error(self):
        return self.make_cancelled_error()

    def make_cancelled_error(self):
        if self.state == CANCELLED and self.error_detail is not None:
            error = self.error_detail
            self.error_detail = None  # used once, so that tracebacks do not pile up on it
            return error
        message = self.last_message()
        return _CancelledError() if message is None else _CancelledError(message)

    def last_message(self):
        """The message of the last cancel(), whatever came of it."""
        return self.value if self.state <= CANCELLED else None

    # ---- waiting ---------------------------------------------------------------------------------------------------

    def add_done_callback(self, fn, *, context=None):
        """Schedule `fn(future)` for when the future is done; right away when it is done already."""
        self.check_initialized()
        if context is None:
            context = PyContext_CopyCurrent()
        if self.state != PENDING:
            self.loop.call_soon(fn, self, context=context)
        else:
            self.add_waiter((fn, context))

    def remove_done_callback(self, fn):
        """Remove every callback that equals `fn`; return how many there were."""
        self.check_initialized()
        removed: dict = {}
        for waiter in self.waiters():
            if type(waiter) is tuple and (waiter[0] is fn or waiter[0] == fn):
                removed[id(waiter)] = waiter
        if removed:
            # from those who wait now: the comparisons may have added some, or settled the future
            self.waiter = [waiter for waiter in self.waiters() if id(waiter) not in removed] or None
        return len(removed)

    def waiters(self):
        if self.waiter is None:
            return []
        return list(self.waiter) if type(self.waiter) is list else [self.waiter]

    def add_waiter(self, waiter):
        if self.waiter is None:
            self.waiter = waiter
        elif type(self.waiter) is list:
            cython.cast(list, self.waiter).append(waiter)
        else:
            self.waiter = [self.waiter, waiter]
        return 0

    def discard_waiter(self, waiter):
        """Take out a native waiter that does not want to be woken any more."""
        if self.waiter is waiter:
            self.waiter = None
        elif type(self.waiter) is list:
            # by identity: what equality does is up to the callbacks
            self.waiter = [other for other in cython.cast(list, self.waiter) if other is not waiter] or None
        return 0

    def __await__(self):
        if self.loop is None:
            self.check_initialized()
        iterator: FutureIterator = FutureIterator.__new__(FutureIterator)
        iterator.future = self
        return iterator

    def __iter__(self):
        iterator: FutureIterator = FutureIterator.__new__(FutureIterator)
        iterator.future = self
        return iterator

    # ---- settling --------------------------------------------------------------------------------------------------

    def set_result(self, result, /):
        """Make the future done with `result`; raises InvalidStateError when it is done already."""
        if self.state != PENDING or self.loop is None:
            self.refuse()
        self.settle(RETURNED, result)

    def set_exception(self, exception, /):
        """Make the future done with `exception` (an instance or a class); InvalidStateError when it is done already."""
        if self.state != PENDING or self.loop is None:
            self.refuse()
        self.fail(exception)

    def fail(self, error):
        if isinstance(error, type):
            error = error()
        if isinstance(error, StopIteration):
            if not _STOP_ITERATION_WRAPPED:
                raise TypeError("StopIteration interacts badly with generators and cannot be raised into a Future")
            wrapped = RuntimeError("StopIteration interacts badly with generators and cannot be raised into a Future")
            wrapped.__cause__ = error
            wrapped.__context__ = error
            error = wrapped
        if not isinstance(error, BaseException):
            raise TypeError(f"invalid exception object: an exception was expected, got {error!r}")
        self.settle(RAISED, error)
        self.error_detail = error.__traceback__
        self.log_traceback = True
        return 0

    def cancel(self, msg=None):
        """Cancel the future; return False when it is done already."""
        self.log_traceback = False
        if self.state != PENDING:
            return False
        self.check_initialized()
        self.cancel_now(msg)
        return True

    def cancel_now(self, message):
        """Cancel a pending future, past what a subclass makes of cancel()."""
        self.settle(CANCELLED, message)
        return 0

    def refuse(self):
        self.check_initialized()
        raise _InvalidStateError("invalid state")

    def check_initialized(self):
        if self.loop is None:
            raise RuntimeError("Future object is not initialized.")
        return 0

    def settle(self, state, value):
        self.value = value
        self.state = state
        if self.error_detail is not None:
            self.error_detail = None  # who awaited it
        if self.waiter is not None:
            self.wake()
        return 0

    def wake(self):
        waiter = self.waiter
        self.waiter = None
        if self.native:
            if cython.cast(Scheduler, self.loop).closed:
                cython.cast(Scheduler, self.loop).check_closed()
            if cython.cast(Scheduler, self.loop).debug:
                cython.cast(Scheduler, self.loop).check_thread()
        if type(waiter) is list:
            for one in cython.cast(list, waiter):
                self.wake_one(one)
        else:
            self.wake_one(waiter)
        return 0

    def wake_one(self, waiter):
        if type(waiter) is not tuple:
            # native waiters wait on native loops only
            ring_push(cython.address(cython.cast(Scheduler, self.loop).ready), waiter)
            if cython.cast(Scheduler, self.loop).recording:
                cython.cast(Scheduler, self.loop).note_woken(waiter)
            return 0
        pair: tuple = cython.cast(tuple, waiter)
        if (
            self.native
            and not cython.cast(Scheduler, self.loop).call_soon_replaced
            and cython.cast(Scheduler, self.loop).thread_id != 0  # else the collector has to see the handle
        ):
            ring_push(
                cython.address(cython.cast(Scheduler, self.loop).ready),
                new_handle(self.loop, pair[0], (self,), pair[1]),
            )
            if cython.cast(Scheduler, self.loop).recording:
                cython.cast(Scheduler, self.loop).note_called(pair[0])
        else:
            self.loop.call_soon(pair[0], self, context=pair[1])
        return 0

    def number(self):
        """How the recorder tells it from others: tasks and calls have a number of their own."""
        return 0

    def run(self):
        """A timer resolves it (clearloop.sleep); a future that is done already stays as it is."""
        if self.state == PENDING:
            self.settle(RETURNED, None)
        return 0

    # ---- what asyncio's own modules and libraries read -------------------------------------------------------------

    @property
    def _asyncio_future_blocking(self):
        return bool(self.blocking)

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, value):
        self.blocking = bool(value)

    @_asyncio_future_blocking.deleter
    def _asyncio_future_blocking(self):
        raise AttributeError("_asyncio_future_blocking cannot be deleted")

    @property
    def _state(self):
        return _NAMES[self.state]

    @property
    def _result(self):
        return self.value if self.state == RETURNED else None

    @property
    def _exception(self):
        return self.value if self.state == RAISED else None

    @property
    def _callbacks(self):
        waiters = self.waiters()
        if not waiters:
            return None
        # of a task, its method: its repr names this future again
        return [
            waiter if type(waiter) is tuple else (getattr(waiter, "_wakeup", waiter), None) for waiter in waiters
        ]

    @property
    def _asyncio_awaited_by(self):
        if self.waiter is None and (self.state != PENDING or self.error_detail is None):
            return None
        return call_graph.awaited_by(self, self.waiters())

    @property
    def _loop(self):
        return self.loop

    @property
    def _cancel_message(self):
        return self.last_message()

    @_cancel_message.setter
    def _cancel_message(self, message):
        if self.state <= CANCELLED:
            self.value = message

    @_cancel_message.deleter
    def _cancel_message(self):
        raise AttributeError("_cancel_message cannot be deleted")

    @property
    def _cancelled_exc(self):
        return self.error_detail if self.state == CANCELLED else None

    @property
    def _source_traceback(self):
        attributes: cython.pointer(PyObject) = self.attributes
        return None if attributes == cython.NULL else cython.cast(dict, attributes).get("_source_traceback")

    @property
    def _log_traceback(self):
        return bool(self.log_traceback)

    @_log_traceback.setter
    def _log_traceback(self, value):
        if value:
            raise ValueError("_log_traceback can only be set to False")
        self.log_traceback = False

    @_log_traceback.deleter
    def _log_traceback(self):
        raise AttributeError("_log_traceback cannot be deleted")


@cython.freelist(256)
@cython.cclass
class FutureIterator:
    """What `await future` drives: yields the future once while it is pending, then ends with its outcome."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise SystemError("replaced by send_to_future")

    def send(self, value):
        return next(self)

    def throw(self, kind, value=None, traceback=None):
        if _THROW_DEPRECATED and (value is not None or traceback is not None):
            warnings.warn(
                "the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.",
                DeprecationWarning,
                stacklevel=2,
            )
        if traceback is not None and not isinstance(traceback, TracebackType):
            raise TypeError("throw() third argument must be a traceback")
        if isinstance(kind, BaseException):
            if value is not None:
                raise TypeError("instance exception may not have a separate value")
            value = kind
        elif isinstance(kind, type) and issubclass(kind, BaseException):
            if value is None:
                value = kind()
            elif not isinstance(value, kind):
                value = kind(value)
        else:
            raise TypeError(f"exceptions must be classes deriving BaseException or instances of such, not {kind!r}")
        self.future = None
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        self.future = None


def send_to_future(iterator, value, result):
    """The iterator's am_send slot: what `await` calls on the hot path, with no StopIteration in between."""
    future: Future = cython.cast(FutureIterator, iterator).future
    error: object
    if future is None:
        result[0] = cython.cast(cython.pointer(PyObject), None)
        Py_INCREF_raw(result[0])
        return PYGEN_RETURN
    if future.state == PENDING:
        if future.blocking:
            result[0] = cython.NULL
            error = RuntimeError("await wasn't used with future")
            set_error(
                type_of(cython.cast(cython.pointer(PyObject), error)), cython.cast(cython.pointer(PyObject), error)
            )
            return PYGEN_ERROR
        future.blocking = BY_ITERATOR
        result[0] = cython.cast(cython.pointer(PyObject), future)
        Py_INCREF_raw(result[0])
        return PYGEN_NEXT
    if future.state == RETURNED:
        result[0] = cython.cast(cython.pointer(PyObject), future.value)
        Py_INCREF_raw(result[0])
        return PYGEN_RETURN
    result[0] = cython.NULL
    if future.state == RAISED:
        future.log_traceback = False
        error = future.value
        set_traceback(
            cython.cast(cython.pointer(PyObject), error), cython.cast(cython.pointer(PyObject), future.error_detail)
        )
    else:
        error = future.make_cancelled_error()
    set_error(type_of(cython.cast(cython.pointer(PyObject), error)), cython.cast(cython.pointer(PyObject), error))
    return PYGEN_ERROR


def new_future(loop):
    future: Future = Future.__new__(Future)
    future.loop = loop
    future.native = True
    future.plain = True
    if loop.debug:
        future.note_origin(format_helpers.extract_stack())
    return future


def future_may_die_silently(future):
    """Whether a dying future has nothing to report; lets go of its attributes.

    Its reference count is zero: a variable that held it would end it a second time.
    """
    if cython.cast(Future, future).log_traceback:
        return 0
    clear_attributes(future)
    return 1


def visit_attributes(future, visit, argument):
    attributes: cython.pointer(PyObject) = cython.cast(Future, future).attributes
    return visit(attributes, argument) if attributes != cython.NULL else 0


def clear_attributes(future):
    attributes: cython.pointer(PyObject) = cython.cast(Future, future).attributes
    if attributes != cython.NULL:
        cython.cast(Future, future).attributes = cython.NULL
        Py_DECREF_raw(attributes)
    return 0


def offset_of_attributes():
    sample: Future = Future.__new__(Future)
    return cython.cast(cython.p_char, cython.address(sample.attributes)) - cython.cast(
        cython.p_char, cython.cast(cython.p_void, sample)
    )


install_attributes(Future, offset_of_attributes())
install_extra(Future, visit_attributes, clear_attributes)
install_guard(Future, future_may_die_silently)
install_pool(Future, 4096, True)
install_send(FutureIterator, send_to_future)
