"""Types of loop.py: EventLoop has the methods of asyncio's loops, with their types."""

from selectors import BaseSelector

from clearloop.engine.core import Engine

__all__ = ["EventLoop", "new_event_loop"]

class EventLoop(Engine):
    def __init__(self, *, poller: str | BaseSelector | None = None) -> None: ...

def new_event_loop(*, poller: str | BaseSelector | None = None) -> EventLoop: ...
