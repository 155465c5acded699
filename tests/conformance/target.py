"""Which runtime is under test: clearloop, or asyncio itself standing in for it.

The stand-in exists to test the harness: on asyncio's own loop every one of CPython's tests has to pass, so one that
fails there is the harness's fault. Its loop is a subclass, not the class itself, so that the guard against loops
that asyncio made behind our back has something to tell apart.
"""

import asyncio
import os
from unittest.mock import NonCallableMock

CHOICE = os.environ.get("CLEARLOOP_CONFORMANCE_LOOP", "clearloop")
IS_STAND_IN = CHOICE == "asyncio"

if IS_STAND_IN:

    class EventLoop(asyncio.SelectorEventLoop):
        """asyncio's loop, under a name of its own.

        Several tests take a loop without a selector and put mocks where one would be. On a loop with other private
        parts that changes nothing, so here the mocks stay outside, or pass on to what they replace.
        """

        def __setattr__(self, name, value):
            if isinstance(value, NonCallableMock):
                if name in ("_process_events", "_write_to_self"):
                    return
                if name == "_selector":
                    value._mock_wraps = self._selector
            super().__setattr__(name, value)

    new_event_loop = EventLoop
    Task, Future = asyncio.Task, asyncio.Future
    names = asyncio
elif CHOICE == "clearloop":
    import clearloop as names
    from clearloop import EventLoop, Future, Task, new_event_loop
else:
    raise ValueError(f"CLEARLOOP_CONFORMANCE_LOOP is {CHOICE!r}: clearloop or asyncio")

__all__ = ["CHOICE", "IS_STAND_IN", "EventLoop", "Future", "Task", "names", "new_event_loop"]


def exports(name: str) -> bool:
    """Whether the target has its own thing under this public name of asyncio's."""
    if not hasattr(names, name):
        return False
    return IS_STAND_IN or getattr(names, name) is not getattr(asyncio, name, None)
