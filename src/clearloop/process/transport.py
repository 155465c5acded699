"""The transport of a child: https://docs.python.org/3/library/asyncio-protocol.html#asyncio.SubprocessTransport

What is promised about order: connection_made() comes first, connection_lost() last, when the child has ended and all
its pipes are closed; in between the pipes' calls and process_exited() come as the system reports them.

A child is waited for even when nobody holds the transport any more.  close() kills it if it still runs, and closes its
pipes.
"""

import asyncio
import contextvars
import signal
import subprocess
import threading
import warnings
from asyncio.log import logger

from clearloop.net.pipe_transport import adopt_read, adopt_write
from clearloop.process import launch
from clearloop.process.child_pipes import ChildInput, ChildOutput, FedOutput, HeldOutput
from clearloop.process.exit import Exit
from clearloop.process.exit_by_thread import ExitByThread


class ChildTransport(asyncio.SubprocessTransport):
    """One child and its pipes."""

    def __init__(self, loop, protocol, args, shell, stdin, stdout, stderr, bufsize, by_thread, extra, options):
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._context = contextvars.copy_context()
        self._args = args
        self._pid = None
        self._returncode = None
        self._popen = None
        self._exit = None
        self._pipes = {}
        self._exit_waiters = set()
        self._made = False  # connection_made() is scheduled: what follows may be, too
        self._told = False  # it was called
        self._pending = []
        self._finished = False
        self._closed = True  # nothing to close yet
        self._elastic = options.get("pipesize", -1) == -1
        child = launch.launch(args, shell, stdin, stdout, stderr, bufsize, options)
        self._closed = False
        self._pid = child.pid
        self._popen = child.popen
        self._ends = child.ends
        for number in child.ends:
            self._pipes[number] = None
        try:
            self._watch(child, by_thread)
        except BaseException:
            self._closed = True
            self._kill_unwatched(child)
            raise
        if loop.get_debug():
            logger.debug("process %r created: pid %s", args if isinstance(args, (str, bytes)) else args[0], self._pid)

    def _watch(self, child, by_thread):
        if child.pidfd < 0 or by_thread:
            if child.pidfd >= 0:
                launch.os.close(child.pidfd)
                child.pidfd = -1
            self._exit = ExitByThread(self._loop, child.pid, self._exited)
        else:
            self._exit = Exit(self._loop, child.pidfd, self._exited)

    def _kill_unwatched(self, child):
        """Its end could not be watched: the child goes, as if it had not been started."""
        launch.os.kill(child.pid, signal.SIGKILL)
        launch.os.waitpid(child.pid, 0)
        if child.pidfd >= 0:
            launch.os.close(child.pidfd)
        if child.popen is not None:
            child.popen.returncode = -signal.SIGKILL
        self._close_ends()

    def _close_ends(self):
        ends, self._ends = self._ends, {}
        for end in ends.values():
            launch.os.close(end) if isinstance(end, int) else end.close()

    async def _connect(self):
        """Open the transports of the pipes, and schedule connection_made()."""
        loop = self._loop
        if self._popen is None and not _replaced(loop):
            ends, self._ends = self._ends, {}
            begin = []
            for number, fd in ends.items():
                protocol = (ChildOutput if number else ChildInput)(self, number)
                pipe = (adopt_read if number else adopt_write)(loop, fd, self._context, self._elastic)
                protocol.pipe = pipe
                self._pipes[number] = protocol
                begin.append((pipe, protocol))
            loop.call_soon(self._call_connection_made, context=self._context)
            for pipe, protocol in begin:
                # connection_made() may have put another protocol in its place: it begins behind that
                pipe._begin(protocol)
        else:
            for number in list(self._ends):
                protocol = (HeldOutput if number else ChildInput)(self, number)
                end = self._ends.pop(number)
                if isinstance(end, int):
                    end = open(end, "rb" if number else "wb", 0)
                connect = loop.connect_read_pipe if number else loop.connect_write_pipe
                _, self._pipes[number] = await connect(lambda protocol=protocol: protocol, end)
            loop.call_soon(self._call_connection_made, context=self._context)
        self._made = True
        for callback, arguments in self._pending:
            loop.call_soon(callback, *arguments, context=self._context)
        self._pending.clear()
        made = loop.create_future()
        loop.call_soon(_settle, made)
        await made

    def _call_connection_made(self):
        for protocol in self._pipes.values():
            if type(protocol) is HeldOutput:
                protocol.let_go()  # what it then reads comes in a later step
        self._told = True
        self._protocol.connection_made(self)

    def _feed(self, number, reader):
        """From connection_made() on: what the child writes to `number` goes straight to `reader`, a ReaderCore."""
        output = self._pipes[number]
        if type(output) in (ChildOutput, HeldOutput) and hasattr(output.pipe, "_collect"):
            output.pipe.set_protocol(FedOutput(output, reader, self._loop))

    # ---- what happens to the child ---------------------------------------------------------------------------------

    def _call(self, callback, *arguments):
        if self._made:
            self._loop.call_soon(callback, *arguments, context=self._context)
        else:
            self._pending.append((callback, arguments))

    def _exited(self, code):
        if code is None:
            code = None if self._popen is None else self._popen.returncode
            if code is None:
                code = 255
                logger.warning(
                    "child process pid %d exit status already read: will report returncode 255", self._pid
                )
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, code)
        self._returncode = code
        if self._popen is not None and self._popen.returncode is None:
            self._popen.returncode = code
        waiters, self._exit_waiters = self._exit_waiters, None
        for waiter in waiters:
            _settle(waiter, code)
        self._call(self._protocol.process_exited)
        self._try_finish()

    def _pipe_connection_lost(self, number, error):
        if not self._told:  # the pipe was quicker
            self._call(self._pipe_connection_lost, number, error)
            return
        try:
            self._protocol.pipe_connection_lost(number, error)
        finally:
            self._try_finish()

    def _try_finish(self):
        if self._returncode is None or self._finished:
            return
        if all(pipe is not None and pipe.disconnected for pipe in self._pipes.values()):
            self._finished = True
            self._call(self._call_connection_lost)

    def _call_connection_lost(self):
        try:
            self._protocol.connection_lost(None)
        finally:
            self._protocol = None
            self._exit = None

    async def _wait(self):
        """The exit code, once there is one."""
        if self._returncode is not None:
            return self._returncode
        waiter = self._loop.create_future()
        self._exit_waiters.add(waiter)
        try:
            return await waiter
        finally:
            if self._exit_waiters is not None:
                self._exit_waiters.discard(waiter)

    def _awaited(self):
        """The future that the child's end will settle first, or None."""
        return next(iter(self._exit_waiters), None) if self._exit_waiters else None

    # ---- what is asked for -----------------------------------------------------------------------------------------

    def get_pid(self):
        """Return the child's process id."""
        return self._pid

    def get_returncode(self):
        """Return the exit code, negative for the signal that it died of; None while it runs."""
        return self._returncode

    def get_pipe_transport(self, fd):
        """Return the transport of the child's descriptor `fd` (0, 1 or 2); None when that is no pipe."""
        pipe = self._pipes.get(fd)
        return None if pipe is None else pipe.pipe

    def get_protocol(self):
        """Return the protocol."""
        return self._protocol

    def set_protocol(self, protocol):
        """Hand everything from now on to `protocol`."""
        self._protocol = protocol

    def is_closing(self):
        """Return whether the transport was closed."""
        return self._closed

    def get_extra_info(self, name, default=None):
        """Return 'subprocess', a subprocess.Popen of the child, or what the transport was made with; else `default`.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.get_extra_info
        """
        if name == "subprocess" and name not in self._extra:
            self._extra[name] = self._as_popen()
        return self._extra.get(name, default)

    def _as_popen(self):
        """A Popen of the child, for those who ask for one; it is asked for its exit code as well from now on."""
        if self._popen is None:
            popen = subprocess.Popen.__new__(subprocess.Popen)
            popen._waitpid_lock = threading.Lock()
            popen._sigint_wait_secs = 0.25
            popen._input = None
            popen._communication_started = False
            popen._closed_child_pipe_fds = True
            popen._child_created = True
            popen.args = self._args
            popen.pid = self._pid
            popen.returncode = self._returncode
            popen.encoding = popen.errors = None
            popen.text_mode = False
            popen.pipesize = -1
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                pipe = self.get_pipe_transport(number)
                setattr(popen, name, None if pipe is None else pipe.get_extra_info("pipe"))
            self._popen = popen
        return self._popen

    @property
    def _proc(self):
        return None if self._protocol is None else self.get_extra_info("subprocess")

    # ---- signals and the end ---------------------------------------------------------------------------------------

    def send_signal(self, signal):
        """Send `signal` to the child; nothing happens when it has just ended.

        Raises ProcessLookupError when connection_lost() was called.
        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.SubprocessTransport.send_signal
        """
        if self._exit is None:
            raise ProcessLookupError()
        if self._returncode is None:
            self._exit.signal(signal)

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
        if self._closed:
            return
        self._closed = True
        abandoned = self._loop.is_closed()
        for pipe in self._pipes.values():
            if pipe is not None and pipe.pipe is not None:
                pipe.pipe.abandon() if abandoned else pipe.pipe.close()
        self._close_ends()
        if self._returncode is not None or self._exit is None:
            return
        if self._popen is None or self._popen.poll() is None:
            if self._loop.get_debug():
                logger.warning("Close running child process: kill %r", self)
            try:
                self._exit.signal(signal.SIGKILL) if self._popen is None else self._popen.kill()
            except (ProcessLookupError, PermissionError):
                pass  # it has ended, or runs as another user
        if abandoned and not self._exit.abandon():
            launch.leave_behind(self._pid)

    def __del__(self, _warn=warnings.warn):
        if self._closed:
            return
        if self._finished:
            self._closed = True
            return
        try:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
        finally:
            self.close()

    def __repr__(self):
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        if self._pid is not None:
            info.append(f"pid={self._pid}")
        if self._returncode is not None:
            info.append(f"returncode={self._returncode}")
        else:
            info.append("not started" if self._pid is None else "running")
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            pipe = self.get_pipe_transport(number)
            if pipe is not None:
                info.append(f"{name}={pipe!r}")
        return f"<{' '.join(info)}>"


def _settle(waiter, result=None):
    if not waiter.done():
        waiter.set_result(result)


def _replaced(loop):
    """Whether the program has put a method of its own in place of those that connect pipes."""
    return (
        getattr(loop.connect_read_pipe, "__module__", None) != "clearloop.loop"
        or getattr(loop.connect_write_pipe, "__module__", None) != "clearloop.loop"
    )
