"""asyncio's idea of the current task, kept true at the lowest price.

`asyncio.current_task()` is C code that reads one place: up to 3.13 the dict `asyncio.tasks._current_tasks`, from 3.14
a field of the thread that only `_asyncio._swap_current_task` can write.  A native task writes it when its step begins
and leaves it there: the next task overwrites it, and the turn clears it before anything that is not a task runs.  Two
tasks in a row so cost two writes instead of four.
"""

import asyncio
import sys

import cython
from cython.cimports.clearloop.system.capi import Py_DECREF_raw, propagate, vectorcall_raw
from cython.cimports.cpython.ref import PyObject

_USE_DICT = cython.declare(cython.bint, sys.version_info < (3, 14))
_tasks = cython.declare(dict, asyncio.tasks._current_tasks if sys.version_info < (3, 14) else {})
_swap = cython.declare(object, getattr(asyncio.tasks, "_swap_current_task", None))


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def write(loop: object, task: object) -> cython.int:
    arguments: cython.pointer(PyObject)[2]
    arguments[0] = cython.cast(cython.pointer(PyObject), loop)
    arguments[1] = cython.cast(cython.pointer(PyObject), task)
    previous: cython.pointer(PyObject) = vectorcall_raw(
        cython.cast(cython.pointer(PyObject), _swap), arguments, 2, cython.NULL
    )
    if previous == cython.NULL:
        propagate()
    Py_DECREF_raw(previous)
    return 0


def set_current(loop, task):
    """A native task's step begins."""
    if _USE_DICT:
        _tasks[loop] = task
    else:
        write(loop, task)
    return 0


def clear_current(loop):
    """Something that is not a task runs next."""
    if _USE_DICT:
        _tasks.pop(loop, None)
    else:
        write(loop, None)
    return 0


def swap_current(loop, task):
    """Set the current task (None: none) and return the one before: for a task that starts inside another's step."""
    if not _USE_DICT or _swap is not None:
        return _swap(loop, task)
    previous = _tasks.pop(loop, None)
    if task is not None:
        _tasks[loop] = task
    return previous
