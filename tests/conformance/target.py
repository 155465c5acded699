"""Which runtime is under test: clearloop, or asyncio itself standing in for it.

The stand-in exists to test the harness: on asyncio's own loop every one of CPython's tests has to pass, so one that
fails there is the harness's fault. Its loop is a subclass, not the class itself, so that the guard against loops
that asyncio made behind our back has something to tell apart. Any other module that has ``new_event_loop`` and a loop
class can be named as well, which tells what a test assumes about asyncio's loop from what clearloop gets wrong.
"""

import asyncio
import importlib
import os
from unittest.mock import NonCallableMock

CHOICE = os.environ.get("CLEARLOOP_CONFORMANCE_LOOP", "clearloop")
IS_STAND_IN = CHOICE == "asyncio"

if IS_STAND_IN:

    class EventLoop(asyncio.SelectorEventLoop):
        """asyncio's loop, under a name of its own.

        Several tests take a loop without a selector and put a mock where one would be. On a loop with other private
        parts that means nothing; here the mock has to pass on to the selector whatever the test does not answer for.
        """

        def __setattr__(self, name, value):
            if name == "_selector" and isinstance(value, NonCallableMock):
                value._mock_wraps = self._selector
            super().__setattr__(name, value)

    new_event_loop = EventLoop
    Task, Future = asyncio.Task, asyncio.Future
    names = asyncio
else:
    names = importlib.import_module(CHOICE)
    new_event_loop = names.new_event_loop
    EventLoop = getattr(names, "EventLoop", None) or names.Loop
    Task, Future = getattr(names, "Task", asyncio.Task), getattr(names, "Future", asyncio.Future)

__all__ = ["CHOICE", "IS_STAND_IN", "EventLoop", "Future", "Task", "names", "new_event_loop"]

