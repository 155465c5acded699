"""Parcel: a call that goes to another process or interpreter, and what comes back.

Pools pickle in a thread of their own and unpickle where nobody expects an error: an argument that does not come out
again kills the worker, a result that does not, the whole pool, and what could not be pickled is told without a name.
So function, arguments and result travel as bytes that are made and opened here: every failure is that of one call,
and says which part it was.  Nothing is pickled on the loop's thread, and in a pool that shares our memory nothing at
all.

This module runs in the workers.  It imports nothing compiled: subinterpreters could not.
"""

import inspect
import os
import pickle
import time
import traceback

from clearloop.offload.errors import NotPicklable, place

# what pickles for sure, so that it needs no envelope
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def pack(pickler, func, args):
    """`func` and `args` as bytes; raises NotPicklable, which names the part that cannot be pickled."""
    dumps = dumps_by(pickler)
    try:
        return dumps((func, args))
    except Exception:
        for name, part in _parts(func, args):
            try:
                dumps(part)
            except Exception as error:
                raise NotPicklable(f"{name} cannot be pickled: {_short(error)}") from error
        raise


def _parts(func, args):
    yield f"the function {place(func)}", func
    for number, value in enumerate(args, 1):
        yield f"argument {number} of {place(func)}, a {type(value).__qualname__},", value


def dumps_by(pickler):
    """The function that pickles as the pool would: by multiprocessing, or by cloudpickle."""
    if pickler == "cloudpickle":
        from cloudpickle import dumps

        return dumps
    if pickler == "multiprocessing":
        from multiprocessing.reduction import ForkingPickler

        return lambda value: bytes(ForkingPickler.dumps(value))
    return pickle.dumps


class Parcel:
    """A call; pickled it becomes a Packed one."""

    def __init__(self, pickler, func, args):
        self.pickler, self.func, self.args = pickler, func, args

    def __reduce__(self):
        return Packed, (self.pickler, pack(self.pickler, self.func, self.args), place(self.func))

    def open(self):
        return self.func, self.args


class Packed:
    """A call that has travelled."""

    def __init__(self, pickler, data, name):
        self.pickler, self.data, self.name = pickler, data, name

    def __reduce__(self):
        return Packed, (self.pickler, self.data, self.name)

    def open(self):
        try:
            return pickle.loads(self.data)
        except Exception as error:
            raise NotPicklable(
                f"{self.name} or an argument of it cannot be unpickled in the worker: {_short(error)}"
            ) from None


class Outcome:
    """A result; pickled it becomes a PackedOutcome."""

    def __init__(self, pickler, value, name):
        self.pickler, self.value, self.name = pickler, value, name

    def __reduce__(self):
        try:
            data = dumps_by(self.pickler)(self.value)
        except Exception as error:
            text = f"the result of {self.name}, a {type(self.value).__qualname__}, cannot be pickled: {_short(error)}"
            raise NotPicklable(text) from None
        return PackedOutcome, (data, self.name)

    def open(self):
        return self.value


class PackedOutcome:
    """A result that has travelled."""

    def __init__(self, data, name):
        self.data, self.name = data, name

    def __reduce__(self):
        return PackedOutcome, (self.data, self.name)

    def open(self):
        try:
            return pickle.loads(self.data)
        except Exception as error:
            raise NotPicklable(f"the result of {self.name} cannot be unpickled here: {_short(error)}") from error


class Timed:
    """A result, and when which process made it, for the recorder."""

    def __init__(self, result, worker, began, ended):
        self.result, self.worker, self.began, self.ended = result, worker, began, ended

    def __reduce__(self):
        return Timed, (self.result, self.worker, self.began, self.ended)


def perform(parcel, timed=False):
    """In the worker: open the parcel, call the function, pack its result."""
    func, args = parcel.open()
    began = time.monotonic_ns() if timed else 0
    try:
        result = func(*args)
    except BaseException as error:
        if type(parcel) is Packed:
            _check_error(error, parcel.pickler)
        raise
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(f"{place(func)} was called in a worker and returned a coroutine, which only a loop can run")
    ended = time.monotonic_ns() if timed else 0
    if type(result) not in _PLAIN:
        result = Outcome(parcel.pickler, result, place(func))
    return Timed(result, os.getpid(), began, ended) if timed else result


def _check_error(error, pickler):
    """Raise something that travels in place of an error that does not."""
    try:
        pickle.loads(dumps_by(pickler)(error))
    except Exception as why:
        text = "".join(traceback.format_exception(error))
        raise RuntimeError(
            f"{type(error).__qualname__}: {error}\n(the error itself cannot travel: {_short(why)})\n{text}"
        ) from None


def _short(error):
    return f"{type(error).__name__}: {error}"
