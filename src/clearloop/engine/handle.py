"""A callback that was scheduled once, as call_soon hands it out.

`isinstance(handle, asyncio.Handle)` holds by way of `__class__`; asyncio's own class is not inherited, since its
slots cost more than the callback.

A handle lets go of its callback when it has run or was cancelled, and when the loop closes.  So no reference cycle
survives through it, and it can do without the garbage collector, which would otherwise look at every queued callback
again and again: its pool is an untracked one.  While no loop runs, what is queued is shown to the collector after all
(Scheduler.show_queues), so that a loop that is dropped can go.  Handles that keep their callback carry a note: those
that run more than once (readers, writers), which their owners let go of, and all in debug mode, which names them after
they have run.

Handles that call_soon makes one after the other, the variables unchanged, have one copy of the context in common until
they run: each then takes a copy of its own.  So a burst of a hundred thousand keeps no hundred thousand contexts, which
the collector would look at again and again.
"""

import asyncio
from asyncio import format_helpers

import cython
from cython.cimports.clearloop.engine.handle import COMMON
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    PyContext_CopyCurrent,
    PyContext_Exit,
    enter_context,
    reraise,
    take_error,
    tuple_items,
    tuple_size,
    vectorcall_raw,
)
from cython.cimports.clearloop.system.slots import install_pool, track
from cython.cimports.cpython.contextvars import PyContext_Copy
from cython.cimports.cpython.ref import PyObject

_HANDLE = cython.declare(object, asyncio.Handle)


def report_callback_error(handle, loop, error, source_traceback):
    """Tell the loop's exception handler that a callback raised."""
    try:
        callback = format_helpers._format_callback_source(handle._callback, handle._args)
    except Exception as failed:  # a __repr__ of the program's; the loop goes on
        callback = f"of {type(handle._callback).__name__}, whose repr raised {type(failed).__name__}"
    context = {"message": f"Exception in callback {callback}", "exception": error, "handle": handle}
    if source_traceback:
        context["source_traceback"] = source_traceback
    loop.call_exception_handler(context)


@cython.cclass
class Handle(Runnable):
    """A scheduled callback: https://docs.python.org/3/library/asyncio-eventloop.html#callback-handles"""

    def __init__(self, callback, args, loop, context=None):
        self.loop = loop
        self.callback = callback
        self.args = tuple(args)
        self.context = PyContext_CopyCurrent() if context is None else context
        if loop.get_debug():
            self.note = [format_helpers.extract_stack(), None]

    @property
    def __class__(self):
        return _HANDLE

    def run(self):
        result: cython.pointer(PyObject)
        if self.dead:
            return 0
        if self.snapshot:
            self.own_context()
        args = self.args
        callback = self.callback  # held: it may cancel this handle, which lets go of it
        if enter_context(self.context) < 0:
            # no context at all, or one that is entered already
            report_callback_error(self, self.loop, take_error(), self._source_traceback)
            self.release()
            return 0
        result = vectorcall_raw(
            cython.cast(cython.pointer(PyObject), callback),
            tuple_items(cython.cast(cython.pointer(PyObject), args), 0),
            tuple_size(args),
            cython.NULL,
        )
        PyContext_Exit(self.context)
        if result != cython.NULL:
            Py_DECREF_raw(result)
            if self.note is None:
                self.callback = None
                self.args = None
            return 0
        error = take_error()
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            reraise(error)
        report_callback_error(self, self.loop, error, self._source_traceback)
        self.release()
        return 0

    def forget(self):
        self.callback = None
        self.args = None
        return 0

    def own_context(self):
        """The context is about to be entered or seen: from now on it is this handle's alone."""
        if self.snapshot == COMMON:
            self.context = PyContext_Copy(self.context)
        self.snapshot = 0
        return 0

    def release(self):
        """The callback will not run again: let go of it, unless a note says to keep it."""
        if self.note is None:
            self.callback = None
            self.args = None
        return 0

    def _run(self):
        self.run()

    def cancel(self):
        """Cancel the callback; has no effect when it has run or was cancelled already."""
        if self.dead:
            return
        if self.note is not None:
            self.note[1] = repr(self)
        self.dead = True
        self.callback = None
        self.args = None

    def cancelled(self):
        """Return whether the callback was cancelled."""
        return bool(self.dead)

    def get_context(self):
        """Return the contextvars.Context that the callback runs in."""
        self.own_context()
        return self.context

    @property
    def _callback(self):
        return self.callback

    @property
    def _args(self):
        return self.args

    @property
    def _context(self):
        self.own_context()
        return self.context

    @property
    def _loop(self):
        return self.loop

    @property
    def _cancelled(self):
        return bool(self.dead)

    @property
    def _source_traceback(self):
        return None if self.note is None else self.note[0]

    @property
    def _repr(self):
        return None if self.note is None else self.note[1]

    def _repr_info(self):
        return _HANDLE._repr_info(self)

    def __repr__(self):
        kept = self._repr
        return kept if kept is not None else f"<{' '.join(self._repr_info())}>"


def new_handle(loop, callback, args, context):
    handle: Handle = Handle.__new__(Handle)
    handle.loop = loop
    handle.callback = callback
    handle.args = args
    handle.context = PyContext_CopyCurrent() if context is None else context
    return handle


def keep(handle):
    """The handle runs more than once."""
    if handle.note is None:
        handle.note = [None, None]
    track(cython.cast(cython.pointer(PyObject), handle))  # what it holds may hold the loop, for as long as it likes
    return 0


install_pool(Handle, 32768, False)
