"""What goes wrong with work that has left the loop, as errors that say so; and how a function is named in them.

Imported in workers too, also in subinterpreters: nothing compiled may come along.
"""

import functools
import inspect
import types

__all__ = ["JobLost", "NotPicklable", "PoolExhausted"]


class PoolExhausted(RuntimeError):
    """Every thread of a pool waits for work that is queued behind it: nothing would ever move again."""


class JobLost(RuntimeError):
    """A job was dropped by whoever was to do it: a pool that was shut down, a cluster, a worker that was killed."""


class NotPicklable(TypeError):
    """A function, an argument or a result cannot go to another process; the text says which, and why."""


def place(func):
    """A function's name, with the file and line where it is defined if it has one."""
    for _ in range(10):
        if isinstance(func, functools.partial):
            func = func.func
        elif isinstance(func, types.FunctionType) and hasattr(func, "__wrapped__"):
            func = func.__wrapped__
        else:
            break
    name = getattr(func, "__qualname__", None)
    code = getattr(getattr(func, "__func__", func), "__code__", None)
    if not isinstance(name, str):
        return repr(func)
    return f"{name}() ({code.co_filename}:{code.co_firstlineno})" if isinstance(code, types.CodeType) else f"{name}()"


def is_coroutine_function(func):
    """Whether calling `func` gives a coroutine: functions, partials, methods, and objects with an async __call__."""
    if inspect.iscoroutinefunction(func):
        return True
    call = getattr(type(func), "__call__", None)  # noqa: B004
    return call is not None and inspect.iscoroutinefunction(call)
