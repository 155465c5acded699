"""Stands where the interpreter tells that a coroutine dies without ever having run.

Compiled, though it runs seldom: a function in Python would be a frame of its own, and Python's RuntimeWarning, which
comes next, would then name this file instead of the program's line.
"""

import cython
from cython.cimports.clearloop.system.capi import PyEval_GetFrame
from cython.cimports.cpython.ref import PyObject

_listener = cython.declare(object, None)
_tell = cython.declare(object, None)


def listen(listener, tell):
    """Call `listener(coroutine, frame)` and then `tell(coroutine)` for each; `frame` is where the coroutine dies."""
    global _listener, _tell
    _listener = listener
    _tell = tell


def unawaited(coroutine):
    """Hear of one; what the listener raises is dropped, since nobody could catch it."""
    current: cython.pointer(PyObject) = PyEval_GetFrame()
    try:
        _listener(coroutine, cython.cast(object, current) if current != cython.NULL else None)
    except BaseException:  # at interpreter exit nothing can be imported any more
        pass
    _tell(coroutine)
