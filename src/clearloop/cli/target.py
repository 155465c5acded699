"""What a process is, as far as the system tells: whether it runs Python, which, and what its main thread waits for.

Nothing of the process is run to find out, and nothing in it is changed, but for `nudge`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import sys

# In the data of every interpreter from 3.13 on: this cookie, and behind it the version as sys.hexversion has it.
_COOKIE = b"xdebugpy"
_NAMED = re.compile(r"(?:^|/)(?:lib)?python(\d)\.(\d+)[^/]*$")
# In these a thread waits for events; Python goes back into them when they are interrupted.
_WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6")


class Target:
    """A process: `version` is its Python's (major, minor), None when it runs none; `exact` with more, or None."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.program = _program(pid)
        self.version: tuple[int, int] | None = None
        self.exact: str | None = None
        self._find_version()

    def _find_version(self) -> None:
        root = f"/proc/{self.pid}/root"
        for path in _mapped(self.pid):
            # the program itself can be read also when its file has been replaced
            opened = f"/proc/{self.pid}/exe" if path == self.program else root + path
            found = _version_in(opened)
            if found:
                self.version = found >> 24, found >> 16 & 0xFF
                self.exact = f"{found >> 24}.{found >> 16 & 0xFF}.{found >> 8 & 0xFF}"
                return
            named = _NAMED.search(path)
            if named and self.version is None:
                self.version = int(named[1]), int(named[2])

    @property
    def version_text(self) -> str:
        return self.exact or ".".join(map(str, self.version or ()))

    def interpreter(self) -> str:
        """A path to its Python, that of its virtual environment if it has one."""
        try:
            with open(f"/proc/{self.pid}/cmdline", "rb") as file:
                first = os.fsdecode(file.read().split(b"\0")[0])
        except OSError:
            first = ""
        if os.path.isabs(first) and os.path.basename(first).startswith("python") and os.access(first, os.X_OK):
            return first
        environment = _environment(self.pid).get("VIRTUAL_ENV")
        if environment and self.program:
            inside = os.path.join(environment, "bin", "python")
            if os.access(inside, os.X_OK) and os.path.realpath(inside) == os.path.realpath(self.program):
                return inside
        return self.program or "python"

    def owner(self) -> tuple[int, int]:
        """(user, group) that the process runs as."""
        with open(f"/proc/{self.pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        return int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1])

    def root(self) -> str:
        """The folder that is `/` for the process: "" when it is ours."""
        path = f"/proc/{self.pid}/root"
        try:
            return "" if os.path.samefile(path, "/") else path
        except OSError:
            return ""

    def ended(self) -> bool:
        """Whether the process is gone, or nothing of it is left but its exit status."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
        except (OSError, IndexError):
            return True

    def waits_in(self) -> str | None:
        """The system call that the main thread is in, or None."""
        from clearloop.watch import syscalls

        try:
            with open(f"/proc/{self.pid}/syscall") as file:
                first = file.read().split()[0]
            return syscalls.name(int(first))
        except (OSError, ValueError, IndexError):
            return None


def nudge(target: Target) -> bool:
    """Interrupt the main thread's wait for events, as a debugger that looks in for a moment does.

    Returns whether that was done.
    The process notices nothing of it: no signal is sent, its parent hears nothing, and Python goes on waiting when it
    has looked whether there is something to do.
    """
    if not sys.platform.startswith("linux") or target.waits_in() not in _WAITS:
        return False
    seize, interrupt, detach, wait_all = 0x4206, 0x4207, 17, 0x40000000
    library = ctypes.CDLL(None, use_errno=True)
    ptrace = library.ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace.restype = ctypes.c_long
    if ptrace(seize, target.pid, None, None) != 0:
        return False  # somebody else traces it, or we may not
    try:
        if ptrace(interrupt, target.pid, None, None) != 0:
            return False
        _, status = os.waitpid(target.pid, wait_all)
        signal = status >> 8 & 0xFF if os.WIFSTOPPED(status) and status >> 16 == 0 else 0
    except ChildProcessError:
        return False
    # a signal that came at this very moment is passed on
    ptrace(detach, target.pid, None, signal or None)
    return True


def _program(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return None


def _mapped(pid: int) -> list[str]:
    """The program and the libraries that may be an interpreter."""
    try:
        with open(f"/proc/{pid}/maps", errors="surrogateescape") as file:
            paths = [line.split(maxsplit=5)[5].rstrip("\n") for line in file if line.count("/")]
    except (OSError, IndexError):
        paths = []
    program = _program(pid)
    libraries = [path for path in dict.fromkeys(paths) if os.path.basename(path).startswith("libpython")]
    return ([program] if program else []) + libraries


def _version_in(path: str) -> int:
    """The version in the data of an interpreter's file; 0: none."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            place = data.find(_COOKIE)
            while place >= 0:
                version = int.from_bytes(data[place + 8 : place + 16], "little")
                if version >> 24 == 3 and version < 1 << 32:
                    return version
                place = data.find(_COOKIE, place + 1)
    except (OSError, ValueError):
        return 0
    return 0


def _environment(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = [os.fsdecode(one).partition("=") for one in file.read().split(b"\0")]
    except OSError:
        return {}
    return {name: value for name, _, value in pairs}
