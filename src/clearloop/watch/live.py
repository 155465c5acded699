"""The live view's end in the watched process: a UNIX socket, and a thread that answers on it while the loop is blocked.

The watchdog starts it when a loop has run for half a second (CLEARLOOP_LIVE=1: at once, 0: never).  The thread waits in
poll() without an end, so it costs nothing while nobody asks; what an answer needs is imported when somebody does.  It
takes no signals, since the watchdog, which starts it, takes none.

    fork                    the thread ends before and the watchdog starts it again after; the child has neither
    the program's end       the thread ends, the socket's file is removed
    somebody closes them    daemons close every descriptor: what is not the very socket any more is never touched

Whatever fails here is logged once, as a debug message, and the live view is off.
"""

import _thread
import atexit
import os
import select
import socket
import time

from clearloop.system import watchdog
from clearloop.watch import folders

BACKLOG = 64
_AFTER_FORK = 0.1  # seconds until it answers again: a program that forks all the time is not held up each time
_PAUSE = 0.1  # seconds that a fork waits for a thread that is just answering

_server = None
_hooked = False
_told = False


def start():
    """Begin to answer, if there is a place to listen; called by the watchdog's thread.  Raises nothing."""
    global _server, _hooked
    try:
        if not _hooked:
            _hooked = True
            atexit.register(stop)
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
        if _server is None:
            _server = Server()
        _server.begin()
    except Exception as error:
        say_failure(error)


def stop():
    """End the thread and remove the socket."""
    global _server
    server, _server = _server, None
    if server is not None:
        server.pause(_PAUSE)
        server.close(remove=True)


def path():
    """The socket's path while the process answers, else None."""
    return _server.path if _server is not None else None


class Held:
    """A descriptor of ours, which a program that closes them all may give to another file behind our back."""

    def __init__(self, fd):
        self.fd = fd
        self.identity = _identity(fd)

    def still_there(self):
        return self.identity is not None and _identity(self.fd) == self.identity

    def close(self):
        if self.still_there():
            os.close(self.fd)
        self.identity = None


def _identity(fd):
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mode


class Server:
    """The listening socket, and the thread while there is one."""

    def __init__(self):
        self.pid = os.getpid()
        folder = folders.own()
        folders.make(folder)
        self.path = os.path.join(folder, f"{self.pid}{folders.SUFFIX}")
        self.thread_ended = _thread.allocate_lock()
        self.running = False
        self.ending = False
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_stale(self.path)
            # by another name until it listens: who sees the socket can connect to it
            hidden = self.path + ".new"
            if os.path.lexists(hidden):
                os.unlink(hidden)
            listening.bind(hidden)
            os.chmod(hidden, 0o600)
            listening.setblocking(False)
            listening.listen(BACKLOG)
            os.rename(hidden, self.path)
            bell, knocker = os.pipe()  # no eventfd: all of those have the same identity
        except BaseException:
            listening.close()
            raise
        self.bell = Held(bell)
        self.knocker = Held(knocker)
        self.door = Held(listening.detach())

    def begin(self):
        """Start the thread.  It takes no signals if its starter takes none."""
        if self.running or not self.door.still_there():
            return
        self.ending = False
        self.thread_ended.acquire()
        self.running = True
        try:
            _thread.start_new_thread(self.run, ())
        except BaseException:
            self.running = False
            self.thread_ended.release()
            raise

    def run(self):
        """The thread."""
        self.thread = _thread.get_native_id()
        try:
            _name_thread()
            self.serve()
        except Exception as error:
            say_failure(error)
        finally:
            self.running = False
            self.thread_ended.release()

    def serve(self):
        visitors = None
        poll = select.poll()
        poll.register(self.door.fd, select.POLLIN)
        poll.register(self.bell.fd, select.POLLIN)
        try:
            while not self.ending:
                events = poll.poll(visitors.patience() if visitors is not None else None)
                if self.ending:
                    break
                if not (self.door.still_there() and self.bell.still_there()):
                    return  # the program has closed what it did not open
                if visitors is None:
                    from clearloop.watch.visitors import Visitors

                    visitors = Visitors(poll)
                for fd, what in events:
                    if fd == self.door.fd:
                        self.let_in(visitors)
                    elif fd != self.bell.fd:
                        visitors.ready(fd, what)
                visitors.dismiss_the_slow()
        finally:
            if visitors is not None:
                visitors.dismiss_all()

    def let_in(self, visitors):
        fd = self.door.fd
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
        try:
            door.setblocking(False)  # whatever socket.setdefaulttimeout() says
            guest, _ = door.accept()
        except OSError:  # gone already; or no descriptor is left
            visitors.make_room()
            return
        finally:
            door.detach()
        visitors.welcome(guest)

    def pause(self, seconds):
        """End the thread, unless it takes longer than that; return whether it has ended."""
        if not self.running:
            return True
        self.ending = True
        try:
            if self.knocker.still_there():
                os.write(self.knocker.fd, b"!")
        except OSError:
            pass
        if not self.thread_ended.acquire(timeout=seconds):
            return False
        self.thread_ended.release()
        if self.bell.still_there():
            os.read(self.bell.fd, 1)
        return has_gone(self.thread)

    def close(self, remove):
        for held in (self.door, self.bell, self.knocker):
            held.close()
        if remove and os.getpid() == self.pid:
            try:
                os.unlink(self.path)
            except OSError:
                pass


def _remove_stale(path):
    """Remove what a process of the same number has left; raises OSError when somebody answers there."""
    if not os.path.lexists(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(f"somebody answers at {path} already")


def _name_thread():
    try:
        with open(f"/proc/self/task/{_thread.get_native_id()}/comm", "w") as name:
            name.write("clearloop-live")
    except (OSError, AttributeError):
        pass


def say_failure(error):
    """Once, for who looks for it; never into the program."""
    global _told
    if _told:
        return
    _told = True
    try:
        import logging

        logging.getLogger("clearloop").debug("clearloop: the live view does not work", exc_info=error)
    except Exception:  # a logging handler of the program's: there is nobody left to tell
        return


def has_gone(thread):
    """Wait for the system's part of a thread that has run its last line: fork counts it, too."""
    for _ in range(200):
        if not os.path.exists(f"/proc/self/task/{thread}"):
            return True
        time.sleep(0.0001)
    return False


def _before_fork():
    if _server is not None:
        _server.pause(_PAUSE)


def _after_fork():
    if _server is not None:
        watchdog.want_live(_AFTER_FORK)


def _in_child():
    global _server
    server, _server = _server, None
    if server is not None:
        server.close(remove=False)
