"""The state of Lock, Event and Semaphore; their coroutine methods are in clearloop/locks.py.

`async with` needs no coroutine: `__aenter__` gives a small awaitable that takes the lock when it is awaited, ending at
once when the lock is free.  Nothing happens before the await, so handing `lock.__aenter__()` to somebody else who never
awaits it leaves the lock alone.
"""

import cython
from cython.cimports.clearloop.engine.future import RETURNED
from cython.cimports.clearloop.engine.scheduler import acting
from cython.cimports.clearloop.engine.waiters import DONE, Line


@cython.cclass
class LockCore(Line):
    """
    taken   in line                            who may take it
    True    any                                nobody
    False   nobody, or cancelled waiters only  anybody
    False   a woken waiter                     that waiter, when it resumes

    Who has taken it is known by a number, for those who look: it keeps nobody alive, and means nothing once the lock is
    free.
    """

    def grab(self):
        if self.taken or (self.head is not None and self.live()):
            return False
        self.taken = True
        self.taker = acting()
        return True

    def _grab(self):
        return self.grab()

    def locked(self):
        """Return whether the lock is taken."""
        return bool(self.taken)

    def release(self):
        """Give the lock back; the first task in line gets it.  Raises RuntimeError when it is not taken."""
        self.drop()

    def drop(self):
        if not self.taken:
            raise RuntimeError("Lock is not acquired.")
        self.taken = False
        self.wake_head()
        return 0

    def ended(self, waiter, error):
        if error is None:
            self.taken = True
            self.taker = acting()
        elif not self.taken and self.head is not None and not self.gone(error):
            self.wake_head()
        return 0

    def __aenter__(self):
        entry: Entry = Entry.__new__(Entry)
        entry.lock = self
        return entry

    def __aexit__(self, kind, error, traceback):
        self.drop()
        return DONE

    @property
    def _locked(self):
        return bool(self.taken)

    @property
    def _waiters(self):
        return self.members()


@cython.freelist(16)
@cython.cclass
class Entry:
    """What `async with lock` awaits."""

    @cython.nonecheck(True)  # nobody but a lock makes one, but anybody can
    def __await__(self):
        if self.lock.grab():
            return DONE
        return self.lock.join()


@cython.cclass
class EventCore(Line):
    """A flag that tasks wait for."""

    def is_set(self):
        """Return whether the flag is set."""
        return bool(self.flag)

    def set(self):
        """Set the flag and wake everybody who waits for it."""
        if not self.flag:
            self.flag = True
            self.wake_all()

    def clear(self):
        """Reset the flag: whoever calls wait() from now on waits for the next set()."""
        self.flag = False

    @property
    def _value(self):
        return bool(self.flag)

    @property
    def _waiters(self):
        return self.members()


@cython.cclass
class SemaphoreCore(Line):
    """A counter that whoever releases hands on directly: a woken waiter owns its unit before it resumes."""

    def grab(self):
        if self.free_ == 0 or (self.head is not None and self.live()):
            return False
        self.free_ -= 1
        return True

    def _grab(self):
        return self.grab()

    def locked(self):
        """Return whether acquire() would have to wait."""
        return self.free_ == 0 or (self.head is not None and self.live())

    def release(self):
        """Put one unit back; the first task in line gets it."""
        self.drop()

    def drop(self):
        self.free_ += 1
        if self.head is not None:
            self.hand_out()
        return 0

    def hand_out(self):
        if self.wake_next():
            self.free_ -= 1
            return True
        return False

    def ended(self, waiter, error):
        if error is not None and waiter.state == RETURNED:
            self.free_ += 1  # it had a unit already
        if self.head is not None and not (error is not None and self.gone(error)):
            while self.free_ > 0:
                if not self.hand_out():
                    break
        return 0

    def __aenter__(self):
        entry: SemaphoreEntry = SemaphoreEntry.__new__(SemaphoreEntry)
        entry.semaphore = self
        return entry

    def __aexit__(self, kind, error, traceback):
        self.release()  # by name: BoundedSemaphore's checks
        return DONE

    @property
    def _value(self):
        return self.free_

    @_value.setter
    def _value(self, value):
        self.free_ = value

    @property
    def _waiters(self):
        return self.members()


@cython.freelist(16)
@cython.cclass
class SemaphoreEntry:
    """What `async with semaphore` awaits."""

    @cython.nonecheck(True)
    def __await__(self):
        if self.semaphore.grab():
            return DONE
        return self.semaphore.join()
