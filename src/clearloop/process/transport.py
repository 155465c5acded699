"""The transport of a child: https://docs.python.org/3/library/asyncio-protocol.html#asyncio.SubprocessTransport

What is promised about order: connection_made() comes first, connection_lost() last, when the child has ended and all
its pipes are closed; in between the pipes' calls and process_exited() come as the system reports them.

A child is waited for even when nobody holds the transport any more.  close() kills it if it still runs, and closes its
pipes.
"""

import asyncio
import os
import signal
import subprocess
import threading
import warnings
from asyncio.log import logger

import cython
from cython.cimports.clearloop.engine.future import Future, new_future
from cython.cimports.clearloop.engine.handle import new_handle
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.process.launch import Child, launch
from cython.cimports.clearloop.system.attributes import attributes_later
from cython.cimports.clearloop.system.capi import PyContext_CopyCurrent, exiting

from clearloop.net.pipe_transport import adopt_read, adopt_write
from clearloop.process.child_pipes import ChildInput, ChildOutput, FedOutput, HeldOutput
from clearloop.process.exit import Exit
from clearloop.process.exit_by_thread import ExitByThread
from clearloop.process.launch import leave_behind

MANY_WAITERS = cython.declare(cython.Py_ssize_t, 16)
_SUBPROCESS_TRANSPORT = cython.declare(object, asyncio.SubprocessTransport)


@cython.cclass
class ChildTransport:
    """One child and its pipes."""

    def __cinit__(self):
        self.closed = True  # nothing to close yet
        attributes_later(self)

    def __init__(
        self, loop, protocol, args, shell: cython.bint, stdin, stdout, stderr, bufsize, by_thread: cython.bint, extra,
        options: dict,
    ):  # fmt: skip
        self.loop = loop
        self.protocol = protocol
        self.context = PyContext_CopyCurrent()
        self.args = args
        self.extra = {} if extra is None else extra
        self.ends = self.pipes = {}
        self.waiters = []
        self.pending = []
        self.elastic = options.get("pipesize", -1) == -1
        child: Child = launch(args, shell, stdin, stdout, stderr, bufsize, options)
        self.closed = False
        self.pid = child.pid
        self.popen = child.popen
        self.ends = child.ends
        self.pipes = dict.fromkeys(child.ends)
        try:
            self.watch(child, by_thread)
        except BaseException:
            self.closed = True
            self.kill_unwatched(child)
            raise
        if self.loop.debug:
            logger.debug("process %r created: pid %s", args if isinstance(args, (str, bytes)) else args[0], self.pid)

    @property
    def __class__(self):
        return _SUBPROCESS_TRANSPORT

    def watch(self, child, by_thread):
        if child.pidfd < 0 or by_thread:
            if child.pidfd >= 0:
                os.close(child.pidfd)
                child.pidfd = -1
            self.exit = ExitByThread(self.loop, child.pid, self._exited)
        else:
            self.exit = Exit(self.loop, child.pidfd, self._exited)
        return 0

    def kill_unwatched(self, child):
        """Its end could not be watched: the child goes, as if it had not been started."""
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        if child.pidfd >= 0:
            os.close(child.pidfd)
        if child.popen is not None:
            child.popen.returncode = -signal.SIGKILL
        self.close_ends()
        return 0

    def close_ends(self):
        ends = self.ends
        self.ends = {}
        for end in ends.values():
            os.close(end) if isinstance(end, int) else end.close()
        return 0

    def _connect(self):
        """Open the transports of the pipes, and schedule connection_made(); what is returned is awaited behind it."""
        if self.ends:
            if self.popen is not None or _replaced(self.loop):
                return self._connect_by_loop()
            self.connect_ends()
        else:
            self.call(self._call_connection_made, ())
        return self._scheduled()

    def connect_ends(self):
        ends = self.ends
        self.ends = {}
        begin: list = []
        for number, fd in ends.items():
            protocol = (ChildOutput if number else ChildInput)(self, number)
            pipe = (adopt_read if number else adopt_write)(self.loop, fd, self.context, self.elastic)
            protocol.pipe = pipe
            self.pipes[number] = protocol
            begin.append((pipe, protocol))
        self.call(self._call_connection_made, ())
        for pipe, protocol in begin:
            # connection_made() may have put another protocol in its place: it begins behind that
            pipe._begin(protocol)
        return 0

    async def _connect_by_loop(self):
        """By the methods that the program has put in place of ours, or with the files that Popen has made."""
        for number in list(self.ends):
            protocol = (HeldOutput if number else ChildInput)(self, number)
            end = self.ends.pop(number)
            if isinstance(end, int):
                end = open(end, "rb" if number else "wb", 0)
            connect = self.loop.connect_read_pipe if number else self.loop.connect_write_pipe
            _, self.pipes[number] = await connect(lambda protocol=protocol: protocol, end)
        self.call(self._call_connection_made, ())
        await self._scheduled()

    def _scheduled(self):
        """connection_made() is: schedule what has happened meanwhile, and return a future that is done behind it."""
        self.made = True
        for callback, arguments in self.pending:
            self.call(callback, arguments)
        self.pending.clear()
        made: Future = new_future(self.loop)
        self.call(_settle, (made, None))
        return made

    def _call_connection_made(self):
        for protocol in self.pipes.values():
            if type(protocol) is HeldOutput:
                protocol.let_go()  # what it then reads comes in a later step
        self.told = True
        self.protocol.connection_made(self)

    def _feed(self, number, reader):
        """From connection_made() on: what the child writes to `number` goes straight to `reader`, a ReaderCore."""
        output = self.pipes[number]
        if type(output) in (ChildOutput, HeldOutput) and hasattr(output.pipe, "_collect"):
            output.pipe.set_protocol(FedOutput(output, reader, self.loop))

    # ---- what happens to the child ---------------------------------------------------------------------------------

    def call(self, callback, arguments):
        ring_push(cython.address(self.loop.ready), new_handle(self.loop, callback, arguments, self.context))
        return 0

    def follow(self, callback, arguments):
        """Call it, but never before connection_made()."""
        if self.made:
            self.call(callback, arguments)
        else:
            self.pending.append((callback, arguments))
        return 0

    def _exited(self, code):
        if code is None:
            code = None if self.popen is None else self.popen.returncode
            if code is None:
                code = 255
                logger.warning("child process pid %d exit status already read: will report returncode 255", self.pid)
        if self.loop.debug:
            logger.info("%r exited with return code %r", self, code)
        self.returncode = code
        if self.popen is not None and self.popen.returncode is None:
            self.popen.returncode = code
        waiters = self.waiters
        self.waiters = None
        for waiter in waiters:
            _settle(waiter, code)
        self.follow(self.protocol.process_exited, ())
        self.try_finish()

    def _pipe_connection_lost(self, number, error):
        if not self.told:  # the pipe was quicker
            self.follow(self._pipe_connection_lost, (number, error))
            return
        try:
            self.protocol.pipe_connection_lost(number, error)
        finally:
            self.try_finish()

    def try_finish(self):
        if self.returncode is None or self.finished:
            return 0
        for pipe in self.pipes.values():
            if pipe is None or not pipe.disconnected:
                return 0
        self.finished = True
        return self.follow(self._call_connection_lost, ())

    def _call_connection_lost(self):
        try:
            self.protocol.connection_lost(None)
        finally:
            self.protocol = None
            self.exit = None

    def _wait(self):
        """A future of the exit code."""
        waiter: Future = new_future(self.loop)
        if self.returncode is not None:
            waiter.set_result(self.returncode)
            return waiter
        if len(self.waiters) >= MANY_WAITERS:  # most of them may have been cancelled by timeouts
            self.waiters = [other for other in self.waiters if not other.done()]
        self.waiters.append(waiter)
        return waiter

    def _awaited(self):
        """The future that the child's end will settle first, or None."""
        for waiter in self.waiters or ():
            if not waiter.done():
                return waiter
        return None

    # ---- what is asked for -----------------------------------------------------------------------------------------

    def get_pid(self):
        """Return the child's process id."""
        return self.pid

    def get_returncode(self):
        """Return the exit code, negative for the signal that it died of; None while it runs."""
        return self.returncode

    def get_pipe_transport(self, fd):
        """Return the transport of the child's descriptor `fd` (0, 1 or 2); None when that is no pipe."""
        pipe = self.pipes.get(fd)
        return None if pipe is None else pipe.pipe

    def get_protocol(self):
        """Return the protocol."""
        return self.protocol

    def set_protocol(self, protocol):
        """Hand everything from now on to `protocol`."""
        self.protocol = protocol

    def is_closing(self):
        """Return whether the transport was closed."""
        return self.closed

    def get_extra_info(self, name, default=None):
        """Return 'subprocess', a subprocess.Popen of the child, or what the transport was made with; else `default`.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.get_extra_info
        """
        if name == "subprocess" and name not in self.extra:
            self.extra[name] = self.as_popen()
        return self.extra.get(name, default)

    def as_popen(self):
        """A Popen of the child, for those who ask for one; it is asked for its exit code as well from now on."""
        if self.popen is None:
            popen = subprocess.Popen.__new__(subprocess.Popen)
            popen._waitpid_lock = threading.Lock()
            popen._sigint_wait_secs = 0.25
            popen._input = None
            popen._communication_started = False
            popen._closed_child_pipe_fds = True
            popen._child_created = True
            popen.args = self.args
            popen.pid = self.pid
            popen.returncode = self.returncode
            popen.encoding = popen.errors = None
            popen.text_mode = False
            popen.pipesize = -1
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                pipe = self.get_pipe_transport(number)
                setattr(popen, name, None if pipe is None else pipe.get_extra_info("pipe"))
            self.popen = popen
        return self.popen

    @property
    def _proc(self):
        return None if self.protocol is None else self.get_extra_info("subprocess")

    # ---- signals and the end ---------------------------------------------------------------------------------------

    def send_signal(self, signal):
        """Send `signal` to the child; nothing happens when it has just ended.

        Raises ProcessLookupError when connection_lost() was called.
        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.SubprocessTransport.send_signal
        """
        if self.exit is None:
            raise ProcessLookupError()
        if self.returncode is None:
            self.exit.signal(signal)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def close(self):
        """Close the pipes, and kill the child if it still runs.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.SubprocessTransport.close
        """
        if self.closed:
            return
        self.closed = True
        abandoned: cython.bint = self.loop.closed
        for pipe in self.pipes.values():
            if pipe is not None and pipe.pipe is not None:
                pipe.pipe.abandon() if abandoned else pipe.pipe.close()
        self.close_ends()
        if self.returncode is not None or self.exit is None:
            return
        if self.popen is None or self.popen.poll() is None:
            if self.loop.debug:
                logger.warning("Close running child process: kill %r", self)
            try:
                self.exit.signal(signal.SIGKILL) if self.popen is None else self.popen.kill()
            except (ProcessLookupError, PermissionError):
                pass  # it has ended, or runs as another user
        if abandoned and not self.exit.abandon():
            leave_behind(self.pid)

    def __del__(self):
        if self.closed:
            return
        if self.finished:
            self.closed = True
            return
        try:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self, stacklevel=1)
        except BaseException:
            if not exiting():
                raise
        finally:
            self.close()

    def __repr__(self):
        info: list = ["ChildTransport"]
        if self.closed:
            info.append("closed")
        if self.pid is not None:
            info.append(f"pid={self.pid}")
        if self.returncode is not None:
            info.append(f"returncode={self.returncode}")
        else:
            info.append("not started" if self.pid is None else "running")
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            pipe = self.get_pipe_transport(number)
            if pipe is not None:
                info.append(f"{name}={pipe!r}")
        return f"<{' '.join(info)}>"


def _settle(waiter, result):
    if not waiter.done():
        waiter.set_result(result)


def _replaced(loop):
    """Whether the program has put a method of its own in place of those that connect pipes."""
    return (
        getattr(loop.connect_read_pipe, "__module__", None) != "clearloop.loop"
        or getattr(loop.connect_write_pipe, "__module__", None) != "clearloop.loop"
    )
