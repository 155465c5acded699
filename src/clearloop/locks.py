"""Lock, Event, Condition, Semaphore, BoundedSemaphore and Barrier, as asyncio's newest release documents them.

Their state and their waiting is compiled (engine/lock_core.py, engine/waiters.py).  The coroutine methods stay plain
`async def`, so that they are what inspect.iscoroutinefunction and every mock of them expects; one that need not wait
does not suspend.
"""

import enum
from asyncio import BrokenBarrierError, CancelledError

from clearloop.engine.lock_core import EventCore, LockCore, SemaphoreCore
from clearloop.engine.waiters import Line
from clearloop.through import fallback

__all__ = ["Barrier", "BoundedSemaphore", "BrokenBarrierError", "Condition", "Event", "Lock", "Semaphore"]

__getattr__ = fallback(__name__)


class _EnteredByAcquire:
    """`async with` for a subclass that brings its own acquire() or release()."""

    async def __aenter__(self):
        await self.acquire()

    async def __aexit__(self, kind, error, traceback):
        self.release()


def _obey_overrides(cls, own):
    """Let `async with` go by way of acquire() and release() where a subclass has replaced them."""
    if cls.acquire is not own.acquire or cls.release is not own.release:
        for name in ("__aenter__", "__aexit__"):
            if getattr(cls, name) is getattr(own, name):
                setattr(cls, name, getattr(_EnteredByAcquire, name))


def _described(primitive, state, waiting):
    inside = object.__repr__(primitive)[1:-1]
    return f"<{inside} [{state}, waiters:{waiting}]>" if waiting else f"<{inside} [{state}]>"


class Lock(LockCore):
    """A mutex for tasks; the longest waiting task is next.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Lock
    """

    def __init__(self):
        pass  # the compiled base would take, and ignore, any argument

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        _obey_overrides(cls, Lock)

    def __repr__(self):
        return _described(self, "locked" if self.locked() else "unlocked", self._waiting)

    async def acquire(self):
        """Wait until the lock is free, take it and return True."""
        if not self._grab():
            await self._join()
        return True


class Event(EventCore):
    """A flag; tasks wait until it is set.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Event
    """

    def __init__(self):
        pass  # as for Lock

    def __repr__(self):
        return _described(self, "set" if self.is_set() else "unset", self._waiting)

    async def wait(self):
        """Wait until the flag is set and return True."""
        if not self._value:
            await self._join()
        return True


class Semaphore(SemaphoreCore):
    """A counter of free units: acquire() takes one or waits for one, release() puts one back.

    Raises ValueError for an initial `value` below 0.
    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Semaphore
    """

    def __init__(self, value=1):
        if value < 0:
            raise ValueError("Semaphore initial value must be >= 0")
        self._value = value

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if cls.acquire is not Semaphore.acquire:
            _obey_overrides(cls, Semaphore)

    def __repr__(self):
        state = "locked" if self.locked() else f"unlocked, value:{self._value}"
        return _described(self, state, self._waiting)

    async def acquire(self):
        """Take one unit, waiting until there is one, and return True."""
        if not self._grab():
            await self._join()
        return True


class BoundedSemaphore(Semaphore):
    """A Semaphore whose release() raises ValueError when it would exceed the initial value.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.BoundedSemaphore
    """

    def __init__(self, value=1):
        self._bound_value = value
        super().__init__(value)

    def release(self):
        """Put one unit back; raises ValueError when all are there already."""
        if self._value >= self._bound_value:
            raise ValueError("BoundedSemaphore released too many times")
        super().release()


class Condition(Line):
    """A lock with a line of tasks that wait to be notified.

    `lock` is the lock to use, a new one when it is None.
    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Condition
    """

    def __init__(self, lock=None):
        self._lock = lock = Lock() if lock is None else lock
        self.locked = lock.locked
        self.acquire = lock.acquire
        self.release = lock.release

    def __repr__(self):
        return _described(self, "locked" if self.locked() else "unlocked", self._waiting)

    @property
    def _waiters(self):
        return self.members()

    def __aenter__(self):
        lock = self._lock
        return lock.__aenter__() if isinstance(lock, LockCore) else _EnteredByAcquire.__aenter__(self)

    async def __aexit__(self, kind, error, traceback):
        self.release()

    async def wait(self):
        """Release the lock, wait to be notified, take the lock again and return True.

        Raises RuntimeError when the lock is not taken.  It may return without a notification: check the condition.
        """
        if not self.locked():
            raise RuntimeError("cannot wait on un-acquired lock")
        self._get_loop()  # the wrong loop is told so before the lock is let go
        self.release()
        try:
            try:
                await self._join()
            finally:
                await self._take_back()
        except BaseException:
            # a notification may have come to us in vain: somebody else shall have it
            self._wake(1)
            raise
        return True

    async def _take_back(self):
        """Acquire the lock, whatever happens meanwhile; a cancellation is raised when it is ours again."""
        cancelled = None
        while True:
            try:
                await self.acquire()
                break
            except CancelledError as error:
                cancelled = error
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                cancelled = None  # the frame stands in the error's traceback

    async def wait_for(self, predicate):
        """Wait until `predicate()` is true, asked now and after each notification, and return what it gave."""
        result = predicate()
        while not result:
            await self.wait()
            result = predicate()
        return result

    def notify(self, n=1):
        """Wake up to `n` of the tasks that wait; raises RuntimeError when the lock is not taken."""
        if not self.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        self._wake(n)

    def notify_all(self):
        """Wake all tasks that wait; raises RuntimeError when the lock is not taken."""
        self.notify(self._waiting)


class _BarrierState(enum.Enum):
    FILLING = "filling"
    DRAINING = "draining"
    RESETTING = "resetting"
    BROKEN = "broken"


class Barrier:
    """A point that `parties` tasks pass together.

    Raises ValueError when `parties` is below 1.
    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Barrier
    """

    def __init__(self, parties):
        if parties < 1:
            raise ValueError("parties must be >= 1")
        self._cond = Condition()  # notified whenever the state changes
        self._parties = parties
        self._state = _BarrierState.FILLING
        self._count = 0  # tasks inside: waiting, or on their way out

    def __repr__(self):
        state = self._state.value
        if not self.broken:
            state += f", waiters:{self.n_waiting}/{self.parties}"
        return f"<{object.__repr__(self)[1:-1]} [{state}]>"

    async def __aenter__(self):
        return await self.wait()

    async def __aexit__(self, kind, error, traceback):
        pass

    async def wait(self):
        """Wait until `parties` tasks wait here; return this task's number among them, from 0.

        Raises BrokenBarrierError when the barrier is broken, or is reset or broken meanwhile.
        """
        async with self._cond:
            await self._cond.wait_for(self._may_enter)
            if self._state is _BarrierState.BROKEN:
                raise BrokenBarrierError("Barrier aborted")
            index = self._count
            self._count += 1
            try:
                if self._count == self._parties:
                    self._state = _BarrierState.DRAINING
                    self._cond.notify_all()
                else:
                    await self._cond.wait_for(self._is_full)
                    if self._state is not _BarrierState.DRAINING:
                        raise BrokenBarrierError("Abort or reset of barrier")
                return index
            finally:
                self._count -= 1
                self._last_out()

    def _may_enter(self):
        return self._state in (_BarrierState.FILLING, _BarrierState.BROKEN)

    def _is_full(self):
        return self._state is not _BarrierState.FILLING

    def _last_out(self):
        if self._count == 0:
            if self._state in (_BarrierState.RESETTING, _BarrierState.DRAINING):
                self._state = _BarrierState.FILLING
            self._cond.notify_all()

    async def reset(self):
        """Make the barrier empty again: tasks that wait get BrokenBarrierError."""
        async with self._cond:
            self._state = _BarrierState.RESETTING if self._count > 0 else _BarrierState.FILLING
            self._cond.notify_all()

    async def abort(self):
        """Break the barrier: tasks that wait, now and later, get BrokenBarrierError."""
        async with self._cond:
            self._state = _BarrierState.BROKEN
            self._cond.notify_all()

    @property
    def parties(self):
        """How many tasks it takes to pass."""
        return self._parties

    @property
    def n_waiting(self):
        """How many tasks wait now."""
        return self._count if self._state is _BarrierState.FILLING else 0

    @property
    def broken(self):
        """Whether the barrier is broken."""
        return self._state is _BarrierState.BROKEN
