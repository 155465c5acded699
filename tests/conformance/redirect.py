"""For the length of one test, whoever asks asyncio for a loop gets the target's.

CPython's tests get their loops from ``asyncio.new_event_loop``, from ``asyncio.run`` and IsolatedAsyncioTestCase
(which ask the default policy), and from the class names ``asyncio.SelectorEventLoop``, ``EventLoop`` and
``BaseEventLoop``. The default policy's factory and those three names are enough to reach all of them on 3.11-3.15.
The names stay usable with ``isinstance`` and as a base class, since tests do both.

A test that slipped past would pass on asyncio's loop and prove nothing, so for the same time asyncio's own
``run_forever`` refuses to run; loops are counted, too, and `derive` fails a class that never made one.
"""

import asyncio
import contextlib
import logging
import unittest.mock
from asyncio import base_events, unix_events

from . import target

LOOP_NAMES = ("SelectorEventLoop", "EventLoop", "BaseEventLoop")
# modules of asyncio whose ``logger`` tests replace to see what is logged
LOGGING_MODULES = ("base_events", "selector_events", "unix_events", "events", "futures", "tasks", "sslproto", "streams")


class LoopName:
    """Stands for one of asyncio's loop classes: calling it makes a loop of the target's."""

    __slots__ = ()
    made = 0

    def __call__(self):
        return target.new_event_loop()

    def __instancecheck__(self, instance):
        return isinstance(instance, target.EventLoop)

    def __subclasscheck__(self, subclass):
        return issubclass(subclass, target.EventLoop)

    def __mro_entries__(self, bases):
        return (target.EventLoop,)

    # mock.patch replaces methods by way of the class's name, and looks into the dictionary to put them back
    __dict__ = property(lambda self: target.EventLoop.__dict__)

    def __getattr__(self, name):
        return getattr(target.EventLoop, name)

    def __setattr__(self, name, value):
        setattr(target.EventLoop, name, value)

    def __delattr__(self, name):
        delattr(target.EventLoop, name)


def _refuse_to_run(self, *, run=base_events.BaseEventLoop.run_forever):
    if isinstance(self, target.EventLoop):
        return run(self)
    raise AssertionError(f"{type(self).__qualname__}, a loop of asyncio's own, was about to run, not the target's")


def _counted(init):
    def __init__(self, *args, **kwargs):
        LoopName.made += 1
        init(self, *args, **kwargs)

    return __init__


def _logged_where_the_test_looks(name):
    """A logger method that goes to the logger mock a test put into a module of asyncio, if there is one.

    The messages are public, and so is the logger named "asyncio"; the module through which it is reached is not.
    """

    def log(*args, **kwargs):
        for module in LOGGING_MODULES:
            logger = getattr(getattr(asyncio, module), "logger", None)
            if isinstance(logger, unittest.mock.NonCallableMock):
                return getattr(logger, name)(*args, **kwargs)
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        return getattr(type(logging.getLogger("asyncio")), name)(logging.getLogger("asyncio"), *args, **kwargs)

    return log


@contextlib.contextmanager
def redirected():
    """Until the block ends, asyncio makes the target's loops, and only they run."""
    loop_name = LoopName()
    policy = unix_events._UnixDefaultEventLoopPolicy
    with contextlib.ExitStack() as stack:
        def replace(owner, name, value):
            stack.enter_context(unittest.mock.patch.object(owner, name, value))

        replace(target.EventLoop, "__init__", _counted(target.EventLoop.__init__))
        replace(policy, "_loop_factory", loop_name)
        for name in LOOP_NAMES:
            if hasattr(asyncio, name):
                replace(asyncio, name, loop_name)
        replace(base_events.BaseEventLoop, "run_forever", _refuse_to_run)
        replace(base_events, "BaseEventLoop", loop_name)
        if not target.IS_STAND_IN:
            for name in ("debug", "info", "warning", "error", "critical", "exception"):
                replace(logging.getLogger("asyncio"), name, _logged_where_the_test_looks(name))
        yield
