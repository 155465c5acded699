"""The state of Queue, PriorityQueue and LifoQueue; their coroutine methods are in clearloop/queues.py.

The queue is itself the line of those who wait for an item (getters); those who wait for room (putters) and for all
work to be done (joiners) have lines that are made when somebody first waits there.  An item is never handed to a
waiter: a put wakes the first getter, which takes an item when it resumes, or passes the wake-up on when it was
cancelled meanwhile.  So an item that nobody came for is still in the queue.
"""

import math
from asyncio import QueueEmpty, QueueFull
from collections import deque
from heapq import heappop, heappush

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED
from cython.cimports.clearloop.engine.waiters import Line, Waiter

try:
    from asyncio import QueueShutDown
except ImportError:

    class QueueShutDown(Exception):
        """Raised by put() and get() when the queue has been shut down."""


_heappush = cython.declare(object, heappush)
_heappop = cython.declare(object, heappop)
_deque = cython.declare(object, deque)
_Shut = cython.declare(object, QueueShutDown)


def wake_and_dismiss(line):
    """Wake the first in line that was not cancelled, and let go of it and of the cancelled ones before it."""
    waiter: Waiter = line.head
    while waiter is not None:
        line.unlink(waiter)
        if waiter.state == PENDING:
            waiter.settle(RETURNED, None)
            return True
        waiter = line.head
    return False


@cython.cclass
class Putters(Line):
    """Those who wait for room."""

    def __repr__(self):
        return repr(self.queue)

    def ended(self, waiter, error):
        if error is not None and waiter.state == RETURNED and not self.queue.is_full() and not self.gone(error):
            wake_and_dismiss(self)
        return 0


@cython.cclass
class QueueCore(Line):
    """Items, a limit, and three lines of tasks."""

    def __init__(self, maxsize=0):
        self.kind = self._kind
        self.custom = self._custom
        self._maxsize = maxsize
        self._init(maxsize)

    # ---- what a subclass may replace -------------------------------------------------------------------------------

    def _init(self, maxsize):
        self._queue = _deque() if self.kind == FIFO else []

    def _put(self, item):
        self.store(item)

    def _get(self):
        return self.fetch()

    # ---- the items -------------------------------------------------------------------------------------------------

    @property
    def _queue(self):
        return self.items

    @_queue.setter
    def _queue(self, items):
        self.items = items
        if type(items) is _deque:
            self.push = items.append
            self.pull = items.popleft
        else:
            self.push = self.pull = None

    def store(self, item):
        if self.push is not None:
            self.push(item)
        elif self.kind == PRIORITY:
            _heappush(self.items, item)
        else:
            self.items.append(item)
        return 0

    def fetch(self):
        if self.pull is not None:
            return self.pull()
        if self.kind == PRIORITY:
            return _heappop(self.items)
        return self.items.pop() if self.kind == LIFO else self.items.popleft()

    def add(self, item):
        if self.custom:
            self._put(item)
        else:
            self.store(item)
        return 0

    def take(self):
        return self._get() if self.custom else self.fetch()

    def size(self):
        return self.qsize() if self.custom else len(self.items)

    def is_empty(self):
        return self.empty() if self.custom else len(self.items) == 0

    def is_full(self):
        if self.custom:
            return self.full()
        return self.limit > 0 and len(self.items) >= self.limit

    def qsize(self):
        """Return how many items are in the queue."""
        return len(self.items)

    def empty(self):
        """Return whether there is no item."""
        return not self.items

    def full(self):
        """Return whether there are `maxsize` items; never true without a limit."""
        return self.limit > 0 and self.size() >= self.limit

    @property
    def maxsize(self):
        """How many items the queue takes; 0 or less: any number."""
        return self.maxsize_

    @property
    def _maxsize(self):
        return self.maxsize_

    @_maxsize.setter
    def _maxsize(self, maxsize):
        self.maxsize_ = maxsize
        if maxsize <= 0 or maxsize == math.inf:
            self.limit = 0
        else:
            self.limit = math.ceil(maxsize)

    # ---- putting and getting ---------------------------------------------------------------------------------------

    def put_nowait(self, item):
        """Add an item; raises QueueFull when there is no room and QueueShutDown after shutdown()."""
        if self.shut:
            raise _Shut
        if self.is_full():
            raise QueueFull
        self.add(item)
        self.unfinished += 1
        self.wake_getter()

    def get_nowait(self):
        """Remove and return an item; raises QueueEmpty when there is none, QueueShutDown when none will come."""
        if self.is_empty():
            if self.shut:
                raise _Shut
            raise QueueEmpty
        item = self.take()
        if self.putters is not None:
            wake_and_dismiss(self.putters)
        return item

    def _offer(self, item):
        """Put the item if there is room, and say whether there was."""
        if self.custom:
            if not self.full():
                self.put_nowait(item)
                return True
            if self.shut:
                raise _Shut
            return False
        if self.shut:
            raise _Shut
        if self.limit > 0 and len(self.items) >= self.limit:
            return False
        self.store(item)
        self.unfinished += 1
        self.wake_getter()
        return True

    def _poll(self):
        """An item, or the Waiter to await before asking again."""
        if self.custom:
            if not self.empty():
                return self.get_nowait()
            if self.shut:
                raise _Shut
            return self.join()
        if len(self.items) == 0:
            if self.shut:
                raise _Shut
            return self.join()
        item = self.fetch()
        if self.putters is not None:
            wake_and_dismiss(self.putters)
        return item

    def _room(self):
        """What a put that found no room awaits."""
        if self.putters is None:
            self.bind()
            self.putters = Putters()
            self.putters.queue = self
        return self.putters.join()

    def wake_getter(self):
        return self.head is not None and wake_and_dismiss(self)

    def ended(self, waiter, error):
        if error is not None and waiter.state == RETURNED and not self.is_empty() and not self.gone(error):
            self.wake_getter()
        return 0

    # ---- work that is done -----------------------------------------------------------------------------------------

    def task_done(self):
        """Say that an item that get() gave has been worked on; raises ValueError when there was none."""
        if self.unfinished <= 0:
            raise ValueError("task_done() called too many times")
        self.unfinished -= 1
        if self.unfinished == 0:
            self.all_done()

    def all_done(self):
        if self.joiners is not None:
            self.joiners.wake_all()
        return 0

    def _all_done(self):
        """What join() awaits."""
        if self.joiners is None:
            self.joiners = Line()
        return self.joiners.join()

    def shutdown(self, immediate=False):
        """Let put() raise QueueShutDown, and get() too once the queue is empty (at once if `immediate`).

        All that wait in put() and get() are woken.  If `immediate`, the items that are left are dropped and count as
        done.  https://docs.python.org/3/library/asyncio-queue.html#asyncio.Queue.shutdown
        """
        self.shut = True
        if immediate:
            while not self.is_empty():
                self.take()
                if self.unfinished > 0:
                    self.unfinished -= 1
            if self.unfinished == 0:
                self.all_done()
        while wake_and_dismiss(self):
            pass
        if self.putters is not None:
            while wake_and_dismiss(self.putters):
                pass

    @property
    def _is_shutdown(self):
        return bool(self.shut)

    @property
    def _unfinished_tasks(self):
        return self.unfinished

    @_unfinished_tasks.setter
    def _unfinished_tasks(self, count):
        self.unfinished = count

    @property
    def _getters(self):
        return self.members()

    @property
    def _putters(self):
        return [] if self.putters is None else self.putters.members()

    def _format(self):
        parts = [f"maxsize={self.maxsize_!r}"]
        if self.items:
            parts.append(f"_queue={list(self.items)!r}")
        if self.head is not None:
            parts.append(f"_getters[{self.count}]")
        if self.putters is not None and self.putters.count:
            parts.append(f"_putters[{self.putters.count}]")
        if self.unfinished:
            parts.append(f"tasks={self.unfinished}")
        if self.shut:
            parts.append("shutdown")
        return " ".join(parts)
