"""Types of queues.py."""

from asyncio import QueueEmpty as QueueEmpty
from asyncio import QueueFull as QueueFull
from typing import TypeVar

from clearloop.engine.queue_core import QueueCore
from clearloop.engine.queue_core import QueueShutDown as QueueShutDown

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "QueueEmpty", "QueueFull", "QueueShutDown"]

_T = TypeVar("_T")

class Queue(QueueCore[_T]):
    async def put(self, item: _T) -> None: ...
    async def get(self) -> _T: ...
    async def join(self) -> None: ...

class PriorityQueue(Queue[_T]): ...
class LifoQueue(Queue[_T]): ...
