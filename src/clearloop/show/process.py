"""Asking a running process: the other end of the live view (watch/live.py), for commands, scripts and `top`.

    with Process(pid) as process:
        process.ask("hello")
        process.ask("stats", measure=True)

Everything that can go wrong is one exception, Unreachable, whose text says what it is and what to do.
"""

import errno
import json
import os
import pwd
import socket
import struct
import time

from clearloop.watch import folders, peers

SECONDS = 10.0
LONGEST_ANSWER = 64 << 20
LONGEST_BLOCK = 1 << 20


class Unreachable(Exception):
    """Why a process cannot be asked, in a sentence."""


class Refused(Exception):
    """The process has answered that it cannot do what it was asked for."""


class Process:
    """A connection to one process.  It is made when it is needed, and again when the process has closed it.

    Parameters:
        pid: the process.
        seconds: how long an answer may take.
    """

    def __init__(self, pid, seconds=SECONDS):
        self.pid = pid
        self.seconds = seconds
        self._sock = None
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.close()

    def close(self):
        """Close the connection."""
        sock, self._sock = self._sock, None
        self._rest = b""
        if sock is not None:
            sock.close()

    def ask(self, request, **details):
        """Return the answer, a dict, to a request: "hello", "tasks", "stack", "stats", "cancel"; see docs/live.md.

        Raises Unreachable, or Refused when the process says no.
        """
        again = self._sock is not None
        while True:
            try:
                self._send({"ask": request, **details})
                return self._answer()
            except (ConnectionError, _Closed) as error:
                # an old connection may have been closed since it was idle, or to make room for others
                self.close()
                if not again:
                    raise Unreachable(f"process {self.pid} has closed the connection") from error
                again = False
            except TimeoutError as error:
                self.close()
                raise Unreachable(_silent(self.pid, self.seconds)) from error

    def begin(self, request, **details):
        """Send a request without waiting for its answer, which finish() returns: to ask many processes at once."""
        try:
            self._send({"ask": request, **details})
        except (ConnectionError, TimeoutError) as error:
            self.close()
            raise Unreachable(f"process {self.pid} has closed the connection") from error

    def finish(self):
        """Return the answer to what begin() has sent; raises as ask() does."""
        try:
            return self._answer()
        except (ConnectionError, _Closed) as error:
            self.close()
            raise Unreachable(f"process {self.pid} has closed the connection") from error
        except TimeoutError as error:
            self.close()
            raise Unreachable(_silent(self.pid, self.seconds)) from error

    def dump(self):
        """Give the recorder's dump, in blocks of bytes; raises as ask() does."""
        answer = self.ask("dump")
        if not answer.get("blocks"):
            raise Unreachable(f"process {self.pid} answered something else than a dump")
        try:
            while True:
                (size,) = struct.unpack("<I", self._exactly(4))
                if size == 0:
                    return
                if size > LONGEST_BLOCK:
                    raise Unreachable(f"process {self.pid} answered something else than a dump")
                yield self._exactly(size)
        except (ConnectionError, _Closed, TimeoutError) as error:
            raise Unreachable(f"process {self.pid} has stopped in the middle of the dump") from error
        finally:
            self.close()

    def _send(self, request):
        if self._sock is None:
            self._sock = _connect(self.pid, self.seconds)
        self._sock.settimeout(self.seconds)
        self._sock.sendall(json.dumps(request).encode() + b"\n")

    def _answer(self):
        until = time.monotonic() + self.seconds
        pieces, size = [], 0
        while True:
            data = self._receive(until)
            line, end, self._rest = data.partition(b"\n")
            pieces.append(line)
            size += len(line)
            if end:
                break
            if size > LONGEST_ANSWER:
                raise Unreachable(f"process {self.pid} answered more than {LONGEST_ANSWER >> 20} MiB")
        try:
            answer = json.loads(b"".join(pieces))
            if not isinstance(answer, dict):
                raise ValueError
        except ValueError:
            raise Unreachable(f"process {self.pid} answered something that is no JSON object") from None
        if not answer.get("ok"):
            raise Refused(str(answer.get("error", "the process gives no reason")))
        return answer

    def _receive(self, until):
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        data = self._sock.recv(1 << 20)
        if not data:
            raise _Closed
        return data

    def _exactly(self, size):
        until = time.monotonic() + self.seconds
        pieces = []
        while size > 0:
            data = self._receive(until)
            pieces.append(data[:size])
            self._rest = data[size:]
            size -= len(pieces[-1])
        return b"".join(pieces)


class _Closed(Exception):
    """The other end has closed the connection."""


def processes():
    """The numbers of our user's processes that answer, in order (as root: of all users').

    Sockets whose process has ended without removing them are removed.
    """
    found = set()
    for folder, _ in _folders():
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            pid = name.removesuffix(folders.SUFFIX)
            if name.endswith(folders.SUFFIX) and pid.isascii() and pid.isdecimal():
                if _answers(os.path.join(folder, name), int(pid)):
                    found.add(int(pid))
    return sorted(found)


def _answers(path, pid):
    """Whether the process behind a socket is there; what is left of one that is not is removed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
            return peers.credentials(probe)[0] in (pid, None)
        except BlockingIOError:
            return True  # so many ask it already
        except ConnectionRefusedError:
            if not os.path.exists(f"/proc/{pid}") or not os.path.isdir("/proc/self"):
                try:
                    os.unlink(path)
                except OSError:
                    pass
            return False
        except OSError:
            return False


def _folders():
    """(folder, user) where sockets may lie, those that are safe to use."""
    users = [os.geteuid()]
    if users[0] == 0:
        users += sorted({entry.pw_uid for entry in pwd.getpwall()} - {0})
        for parent, prefix in (("/tmp", "clearloop-"), ("/run/user", "")):
            try:
                names = os.listdir(parent)
            except OSError:
                continue
            numbers = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
            users += [int(number) for number in numbers if number.isascii() and number.isdecimal()]
    for user in dict.fromkeys(users):
        for folder in folders.candidates(user):
            try:
                folders.check(folder, user)
            except OSError:
                continue
            yield folder, user


def _connect(pid, seconds):
    unsafe = None
    for folder, _ in _folders():
        path = os.path.join(folder, f"{pid}{folders.SUFFIX}")
        if not os.path.lexists(path):
            continue
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(seconds)
            _knock(sock, path, seconds)
            if peers.credentials(sock)[0] not in (pid, None):
                raise ConnectionRefusedError
            return sock
        except ConnectionRefusedError:
            sock.close()
        except TimeoutError:
            sock.close()
            raise Unreachable(_silent(pid, seconds)) from None
        except OSError as error:
            sock.close()
            unsafe = f"process {pid} cannot be asked: {os.strerror(error.errno or errno.EIO)}"
    raise Unreachable(unsafe or why_not(pid))


def _knock(sock, path, seconds):
    """Connect; while so many stand at the door that there is no room behind it, again."""
    until = time.monotonic() + seconds
    while True:
        try:
            return sock.connect(path)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError from None
            time.sleep(0.005)


def why_not(pid):
    """Why a process does not answer, as far as can be told from outside."""
    try:
        if pid == 0:  # which would be ourselves, and all that were started with us
            raise ProcessLookupError
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return f"there is no process {pid}"
    except PermissionError:
        return f"process {pid} belongs to {_owner(pid)}: only that user and root may ask it"
    owner = _uid(pid)
    if owner is not None and owner != os.geteuid() and os.geteuid() != 0:
        return f"process {pid} belongs to {_owner(pid)}: only that user and root may ask it"
    kind = _kind(pid)
    if kind is not None:
        return f"process {pid} does not answer: {kind}"
    return (
        f"process {pid} does not answer: either no clearloop loop has run in it for half a second, or it was started "
        "with CLEARLOOP_LIVE=0 or CLEARLOOP_WATCH=0"
    )


def _kind(pid):
    """What a process is instead of a watched one, or None when nothing speaks against it."""
    try:
        with open(f"/proc/{pid}/maps", errors="replace") as maps:
            text = maps.read()
    except OSError:
        return None
    if "clearloop" in text and "/engine/scheduler." in text:
        return None
    if "python" in text:
        return "it is a Python process that does not run on clearloop ('clearloop attach' may watch it)"
    return "it is not a Python process"


def _silent(pid, seconds):
    text = f"process {pid} has not answered for {seconds:g} seconds"
    try:
        with open(f"/proc/{pid}/status") as status:
            state = next((line.split()[1] for line in status if line.startswith("State:")), "")
    except OSError:
        return text
    if state in ("T", "t"):
        return f"{text}: it is stopped"
    return f"{text}: a call that holds the interpreter's lock (the GIL) keeps every thread of it from running"


def _uid(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def _owner(pid):
    uid = _uid(pid)
    if uid is None:
        return "another user"
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"


def find(text):
    """The number of the process that `text` names, by number or by program; raises Unreachable for none or many."""
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return int(text)
    matching = []
    for pid in processes():
        try:
            with Process(pid, 2.0) as process:
                name = process.ask("hello").get("program")
        except (Unreachable, Refused):
            continue
        if isinstance(name, str) and is_named(name, text):
            matching.append(pid)
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise Unreachable(f"no process that answers runs {text!r}; 'clearloop ps' lists them")
    raise Unreachable(f"{len(matching)} processes run {text!r}: say which, {', '.join(map(str, matching))}")


def is_named(program, text):
    """Whether a program goes by that name: its path, the last part of it, the same without .py, its module."""
    module = program.removeprefix("-m ")
    last = os.path.basename(module)
    return text in (program, module, last, last.removesuffix(".py"), module.rpartition(".")[2])
