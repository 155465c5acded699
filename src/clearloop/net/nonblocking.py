"""O_NONBLOCK on descriptors that the program has lent us, and back again.

The flag belongs to the open file, not to the descriptor: stdin, stdout and stderr of a program in a terminal are one
open file, which the shell has as well.  Left non-blocking, it would break whoever uses it next; made blocking while
another transport still uses it, it would block the loop.  So the transports that share an open file share a Mark, and
the last of them restores the flag.
"""

import contextlib
import fcntl
import os
import threading

_lock = threading.Lock()
_marks: dict[tuple[int, int], list["Mark"]] = {}  # by (device, inode)


class Mark:
    """An open file that was blocking before, and the descriptors of the transports that use it."""

    __slots__ = ("fds", "key")

    def __init__(self, key, fd):
        self.key = key
        self.fds = [fd]

    def shares(self, fd):
        """Whether `fd`, which is non-blocking, is the same open file: then it changes together with ours."""
        try:
            os.set_blocking(fd, True)
            return os.get_blocking(self.fds[0])
        except OSError:
            return False  # ours was closed by somebody else
        finally:
            os.set_blocking(fd, False)

    def release(self, fd, alive):
        """A transport lets go of its descriptor, which is still the same file if `alive`."""
        with _lock:
            self.fds.remove(fd)
            if self.fds:
                return
            _marks[self.key].remove(self)
            if not _marks[self.key]:
                del _marks[self.key]
            if alive:
                with contextlib.suppress(OSError):  # closed by somebody else
                    os.set_blocking(fd, True)


def make_nonblocking(fd, status):
    """Make `fd`, whose os.fstat() is `status`, non-blocking; return its Mark, or None when there is nothing to restore.

    Raises OSError.
    """
    key = (status.st_dev, status.st_ino)
    with _lock:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        if not flags & os.O_NONBLOCK:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            mark = Mark(key, fd)
            _marks.setdefault(key, []).append(mark)
            return mark
        for mark in _marks.get(key, ()):
            if mark.shares(fd):
                mark.fds.append(fd)
                return mark
    return None
