"""Queue, PriorityQueue and LifoQueue, as asyncio's newest release documents them, shutdown() included.

The state is compiled (engine/queue_core.py); put, get and join are plain `async def` and suspend only when they must.
"""

from asyncio import QueueEmpty, QueueFull
from types import GenericAlias

from clearloop.engine.queue_core import QueueCore, QueueShutDown
from clearloop.engine.waiters import Waiter
from clearloop.through import fallback

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "QueueEmpty", "QueueFull", "QueueShutDown"]

__getattr__ = fallback(__name__)

# The numbers of engine/queue_core.pxd, Kind
_FIFO, _LIFO, _PRIORITY = range(3)

# A subclass that replaces one of these gets all of them called, as asyncio calls them
_REPLACEABLE = ("_init", "_put", "_get", "qsize", "empty", "full", "put_nowait", "get_nowait")


def _definer(cls, name):
    return next(base for base in cls.__mro__ if name in vars(base))


class Queue(QueueCore):
    """A queue between tasks, first in, first out.

    With a `maxsize` above 0, put() waits while that many items are in the queue.
    https://docs.python.org/3/library/asyncio-queue.html#asyncio.Queue
    """

    _kind = _FIFO
    _custom = False
    __class_getitem__ = classmethod(GenericAlias)

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if any(_definer(cls, name) is not QueueCore for name in _REPLACEABLE):
            cls._custom = True

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    def __str__(self):
        return f"<{type(self).__name__} {self._format()}>"

    async def put(self, item):
        """Add an item, waiting for room while the queue is full; raises QueueShutDown after shutdown()."""
        while not self._offer(item):
            await self._room()

    async def get(self):
        """Remove and return an item, waiting for one while there is none.

        Raises QueueShutDown when the queue was shut down and no item is left.
        """
        while type(item := self._poll()) is Waiter:
            await item
        return item

    async def join(self):
        """Wait until task_done() was called for every item that was put."""
        if self._unfinished_tasks > 0:
            await self._all_done()


class PriorityQueue(Queue):
    """A Queue that gives the smallest item first: https://docs.python.org/3/library/asyncio-queue.html#priority-queue"""

    _kind = _PRIORITY


class LifoQueue(Queue):
    """A Queue that gives the newest item first: https://docs.python.org/3/library/asyncio-queue.html#lifo-queue"""

    _kind = _LIFO
