"""The handle of call_soon_threadsafe: who cancels it from another thread knows what became of the callback.

From Python 3.14 asyncio promises that cancel() and cancelled(), asked from another thread while the callback runs, wait
until it has run.  asyncio holds a lock around each callback for that; here two stores mark the time in which it runs,
and only somebody who comes in that time makes something to wait for.  The GIL orders the stores.
"""

import asyncio
import threading

import cython
from cython.cimports.clearloop.engine.handle import Handle, new_handle
from cython.cimports.clearloop.system.capi import PyContext_CopyCurrent, PyThread_get_thread_ident
from cython.cimports.clearloop.system.slots import install_pool

_CLASS = cython.declare(object, getattr(asyncio.events, "_ThreadSafeHandle", None))
_Event = cython.declare(object, threading.Event)


@cython.cclass
class SharedHandle(Handle):
    """A callback that another thread has scheduled."""

    @property
    def __class__(self):
        return _CLASS

    def run(self):
        if self.dead:
            return 0
        self.runner = PyThread_get_thread_ident()
        try:
            Handle.run(self)
        finally:
            self.runner = 0
            if self.over is not None:
                self.over.set()
                self.over = None
        return 0

    def cancel(self):
        """Cancel the callback; from another thread, wait for its end if it runs."""
        self.wait_while_it_runs()
        Handle.cancel(self)

    def cancelled(self):
        """Return whether the callback was cancelled; from another thread, wait for its end if it runs."""
        self.wait_while_it_runs()
        return bool(self.dead)

    def wait_while_it_runs(self):
        if self.runner == 0 or self.runner == PyThread_get_thread_ident():
            return
        over = _Event()  # Python code: the callback may have ended meanwhile
        if self.runner == 0:
            return
        if self.over is None:
            self.over = over
        else:
            over = self.over
        over.wait()


def new_shared_handle(loop, callback, args, context):
    if _CLASS is None:
        return new_handle(loop, callback, args, context)
    handle: SharedHandle = SharedHandle.__new__(SharedHandle)
    handle.loop = loop
    handle.callback = callback
    handle.args = args
    handle.context = PyContext_CopyCurrent() if context is None else context
    return handle


install_pool(SharedHandle, 32768, False)
