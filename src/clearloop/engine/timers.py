"""Timers: a heap of (deadline, entry) with four children per node, in C memory.

Deadlines are whole nanoseconds, so that a timer never fires before its time; equal deadlines fire in the order in which
they were asked for.  A node is 16 bytes, and the four children of a node share one cache line: with 100 000 timers a
pop touches eight lines instead of the seventeen of a binary heap.

Cancelling is O(1): the entry is marked dead and counted.  Most timers are timeouts that never fire, and the newest of
them usually stands last in the heap, where it can be taken out at once; the others are swept when they are more than
half of the heap, which is O(1) per cancellation in the long run.
"""

import asyncio

import cython
from cython.cimports.clearloop.engine.handle import Handle
from cython.cimports.clearloop.engine.ring import prefetch, ring_push_owned
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.system.capi import Py_DECREF_raw, Py_INCREF_raw, PyContext_CopyCurrent
from cython.cimports.clearloop.system.slots import install_pool
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import INT64_MAX, int64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy

_TIMER_HANDLE = cython.declare(object, asyncio.TimerHandle)
CACHE_LINE = cython.declare(cython.size_t, 64)
SWEEP_FROM = cython.declare(cython.Py_ssize_t, 128)  # below this, dead timers cost less than looking for them
LATEST = cython.declare(int64_t, 0xFFFF_FFFF)
NEVER = cython.declare(cython.double, 9.2e9)  # seconds; past this a deadline does not fit, and nobody waits 292 years


def nanoseconds(seconds):
    """The first nanosecond that is not before `seconds`."""
    if seconds != seconds:
        raise ValueError("a timer's time must be a number of seconds, not NaN")
    if seconds >= NEVER:
        return INT64_MAX
    if seconds <= 0:
        return 0
    exact: int64_t = cython.cast(int64_t, seconds * 1e9)
    while cython.cast(cython.double, exact) / 1e9 < seconds:
        exact += 1
    return exact


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def before(one: cython.pointer(Timer), other: cython.pointer(Timer)) -> cython.bint:
    if one.deadline != other.deadline:
        return one.deadline < other.deadline
    # by difference, since the count may wrap around
    return (
        cython.cast(cython.int, cython.cast(Runnable, one.entry).order - cython.cast(Runnable, other.entry).order) < 0
    )


@cython.cclass
class Timers:
    """The timer heap of one loop."""

    def __dealloc__(self):
        place: cython.Py_ssize_t
        for place in range(self.size):
            Py_DECREF_raw(self.heap[place].entry)
        free(self.memory)

    def __len__(self):
        return self.size - self.dead

    def push(self, deadline, entry):
        if self.size == self.capacity:
            self.grow()
        slot: cython.pointer(Timer) = self.heap + self.size
        entry.order = self.created
        slot.deadline = deadline
        slot.entry = cython.cast(cython.pointer(PyObject), entry)
        Py_INCREF_raw(slot.entry)
        self.created += 1
        self.size += 1
        entry.scheduled = True
        self.sift_up(self.size - 1)
        return 0

    def grow(self):
        """Double the room, keeping node 1, the first of the first four siblings, at the start of a cache line."""
        capacity: cython.Py_ssize_t = 2 * self.capacity if self.capacity else 61
        memory: cython.p_void = malloc(capacity * cython.sizeof(Timer) + 2 * CACHE_LINE)
        if memory == cython.NULL:
            raise MemoryError()
        first: cython.size_t = cython.cast(cython.size_t, memory)
        first += CACHE_LINE - first % CACHE_LINE + CACHE_LINE - cython.sizeof(Timer)
        memcpy(cython.cast(cython.p_void, first), self.heap, self.size * cython.sizeof(Timer))
        free(self.memory)
        self.memory = memory
        self.heap = cython.cast(cython.pointer(Timer), first)
        self.capacity = capacity
        return 0

    def discard(self, entry):
        """The entry was cancelled: take it out now if that is cheap, else leave it to a sweep."""
        if not entry.scheduled:
            return 0
        entry.dead = True
        self.dead += 1
        if self.heap[self.size - 1].entry == cython.cast(cython.pointer(PyObject), entry):
            self.drop_last_dead()
        elif self.dead > SWEEP_FROM and 2 * self.dead > self.size:
            self.sweep()
        return 0

    def first(self):
        """The earliest live deadline, or -1 when there is none."""
        while self.size and cython.cast(Runnable, self.heap[0].entry).dead:
            self.drop_first()
        return self.heap[0].deadline if self.size else -1

    def pop_due(self, now, ready):
        """Move every entry that is due at `now` to the ready queue, in order; `order` then says how late each is."""
        entry: cython.pointer(PyObject)
        child: cython.Py_ssize_t
        late: int64_t
        while self.size and self.heap[0].deadline <= now:
            entry = self.heap[0].entry
            if cython.cast(Runnable, entry).dead:
                self.drop_first()
                continue
            ring_push_owned(ready, entry)
            cython.cast(Runnable, entry).scheduled = False
            late = (now - self.heap[0].deadline) >> LATE_SHIFT
            cython.cast(Runnable, entry).order = cython.cast(cython.uint, late if late < LATEST else LATEST)
            self.size -= 1
            self.heap[0] = self.heap[self.size]
            self.sift_down(0)
            # the next first is likely one of these, and was made long ago
            for child in range(1, 5):
                if child < self.size:
                    prefetch(self.heap[child].entry)
        return 0

    def drop_first(self):
        entry: cython.pointer(PyObject) = self.heap[0].entry
        self.size -= 1
        self.dead -= 1
        self.heap[0] = self.heap[self.size]
        self.sift_down(0)
        cython.cast(Runnable, entry).scheduled = False
        Py_DECREF_raw(entry)
        return 0

    def drop_last_dead(self):
        entry: cython.pointer(PyObject)
        while self.size and cython.cast(Runnable, self.heap[self.size - 1].entry).dead:
            self.size -= 1
            self.dead -= 1
            entry = self.heap[self.size].entry
            cython.cast(Runnable, entry).scheduled = False
            Py_DECREF_raw(entry)
        return 0

    def sweep(self):
        """Take all dead entries out and order what is left anew."""
        place: cython.Py_ssize_t
        kept: cython.Py_ssize_t = 0
        gone: list = []  # a decref may run code that comes back here: not before the heap is whole again
        for place in range(self.size):
            entry = self.heap[place].entry
            if cython.cast(Runnable, entry).dead:
                cython.cast(Runnable, entry).scheduled = False
                gone.append(cython.cast(object, entry))
                Py_DECREF_raw(entry)
            else:
                self.heap[kept] = self.heap[place]
                kept += 1
        self.size = kept
        self.dead = 0
        place = (kept + 2) // 4  # the nodes that have children
        while place > 0:
            place -= 1
            self.sift_down(place)
        return 0

    def sift_up(self, place):
        moving: Timer = self.heap[place]
        while place > 0:
            parent: cython.Py_ssize_t = (place - 1) >> 2
            if not before(cython.address(moving), self.heap + parent):
                break
            self.heap[place] = self.heap[parent]
            place = parent
        self.heap[place] = moving

    def sift_down(self, place):
        if place >= self.size:
            return
        moving: Timer = self.heap[place]
        while True:
            child: cython.Py_ssize_t = 4 * place + 1
            if child >= self.size:
                break
            least: cython.Py_ssize_t = child
            last: cython.Py_ssize_t = child + 4 if child + 4 < self.size else self.size
            child += 1
            while child < last:
                if before(self.heap + child, self.heap + least):
                    least = child
                child += 1
            if not before(self.heap + least, cython.address(moving)):
                break
            self.heap[place] = self.heap[least]
            place = least
        self.heap[place] = moving

    def clear(self):
        gone: list = []
        while self.size:
            self.size -= 1
            entry: cython.pointer(PyObject) = self.heap[self.size].entry
            cython.cast(Runnable, entry).scheduled = False
            cython.cast(Runnable, entry).forget()
            gone.append(cython.cast(object, entry))
            Py_DECREF_raw(entry)
        self.dead = 0
        return 0


@cython.cclass
class TimerHandle(Handle):
    """A callback scheduled for a time: https://docs.python.org/3/library/asyncio-eventloop.html#callback-handles"""

    def __init__(self, when, callback, args, loop, context=None):
        Handle.__init__(self, callback, args, loop, context)
        self.when_ = when

    @property
    def __class__(self):
        return _TIMER_HANDLE

    def cancel(self):
        """Cancel the callback; has no effect when it has run or was cancelled already."""
        if self.dead:
            return
        Handle.cancel(self)
        if self.timers is not None:
            self.timers.discard(self)

    def when(self):
        """Return the time that the callback is scheduled for, in seconds of `loop.time()`."""
        return self.when_

    @property
    def _when(self):
        return self.when_

    @property
    def _scheduled(self):
        return bool(self.scheduled)

    def _repr_info(self):
        return _TIMER_HANDLE._repr_info(self)

    def __hash__(self):
        return hash(self.when_)

    def __eq__(self, other):
        if not isinstance(other, TimerHandle):
            return NotImplemented
        mine: tuple = (self.when_, self.callback, self.args, self._cancelled)
        return mine == (other._when, other._callback, other._args, other._cancelled)

    def __lt__(self, other):
        return self.when_ < other._when if isinstance(other, TimerHandle) else NotImplemented

    def __le__(self, other):
        return self.when_ <= other._when if isinstance(other, TimerHandle) else NotImplemented

    def __gt__(self, other):
        return self.when_ > other._when if isinstance(other, TimerHandle) else NotImplemented

    def __ge__(self, other):
        return self.when_ >= other._when if isinstance(other, TimerHandle) else NotImplemented


def new_timer_handle(loop, timers, when, callback, args, context):
    handle: TimerHandle = TimerHandle.__new__(TimerHandle)
    handle.loop = loop
    handle.timers = timers
    handle.when_ = when
    handle.callback = callback
    handle.args = args
    handle.context = PyContext_CopyCurrent() if context is None else context
    return handle


install_pool(TimerHandle, 4096, False)
