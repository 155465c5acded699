"""EventLoop: the asyncio.AbstractEventLoop that users meet.

Each method is short and hands over to the room that does the work.  What runs per callback (call_soon, call_later,
create_task, create_future, time) comes compiled from engine.core.Engine; what runs once per loop, connection or report
stands here in plain Python.
"""

import asyncio
import socket
import sys
import warnings
import weakref
from asyncio import coroutines, events

from clearloop.engine import errors, findings, registry
from clearloop.engine.core import Engine
from clearloop.engine.readiness import Readiness, descriptor_of
from clearloop.engine.signals import Signals
from clearloop.net import literals, sockets
from clearloop.net.transports import Transports

__all__ = ["EventLoop", "new_event_loop"]


class EventLoop(Engine, asyncio.AbstractEventLoop):
    """clearloop's event loop: https://docs.python.org/3/library/asyncio-eventloop.html

    `poller` says how it waits for descriptors: "epoll" (Linux), "selectors" (everywhere), or a selector of the
    `selectors` module, which the loop closes with itself.  None takes what CLEARLOOP_POLLER in the environment names,
    else the best one of the system.  Raises ValueError for a poller that does not exist.
    """

    def __init__(self, *, poller=None):
        Engine.__init__(self, poller)
        self._default_executor = None
        self._executor_down = False
        self._resolvers = None
        self._exception_handler = None
        self._asyncgens = weakref.WeakSet()
        self._asyncgens_shutdown_called = False
        self._origin_tracking_depth = None
        self._signals = Signals()
        self._readiness = Readiness(self)
        self._transports = Transports()
        self._children = None
        self.set_debug(coroutines._is_debug_mode())

    def __repr__(self):
        return (
            f"<{type(self).__name__} running={self.is_running()} closed={self.is_closed()} debug={self.get_debug()}>"
        )

    def __setattr__(self, name, value):
        # Programs replace methods on an instance, and are obeyed. What the engine calls on its hot paths it calls
        # directly: it has to be told.
        if name == "call_soon":
            self.call_soon_replaced = True
        elif name == "time":
            self.own_clock = False
        elif name == "create_task":
            self.create_task_replaced = True
        super().__setattr__(name, value)

    def __delattr__(self, name):
        super().__delattr__(name)
        if name == "call_soon":
            self.call_soon_replaced = False

    # ---- running and stopping --------------------------------------------------------------------------------------

    def run_forever(self):
        """Run until stop() is called: https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.run_forever

        Raises RuntimeError when this or another loop runs in this thread already, or when the loop is closed.
        """
        self._check_closed()
        self._check_running()
        findings.arm()
        hooks = sys.get_asyncgen_hooks()
        self._track_origins(self.get_debug())
        try:
            sys.set_asyncgen_hooks(firstiter=self._asyncgen_first_iterated, finalizer=self._asyncgen_finalized)
            events._set_running_loop(self)
            self._signals.enter(self)
            self._spin()
        finally:
            self._signals.leave()
            events._set_running_loop(None)
            self._track_origins(False)
            sys.set_asyncgen_hooks(*hooks)

    def run_until_complete(self, future):
        """Run until `future` (or a task made of a coroutine) is done, and return its result.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.run_until_complete
        """
        self._check_closed()
        self._check_running()
        ours = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)
        if ours:
            # its exception is raised from here: a "destroyed while pending" beside it would be noise
            future._log_destroy_pending = False
        future.add_done_callback(_stop_when_done)
        try:
            self.run_forever()
        except BaseException as error:
            # fetched, so that it is not reported a second time: Ctrl-C may have come in the task's own step
            if future.done() and not future.cancelled() and (ours or future._exception is error):
                future.exception()
            raise
        finally:
            future.remove_done_callback(_stop_when_done)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def close(self):
        """Close the loop: pending callbacks are dropped, the default executor is told to end.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.close
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        self._signals.close(self)
        self._readiness.close()
        self._close_scheduler()
        # what knows the loop: a closed one is to be freed without the collector
        self._readiness = self._children = None
        self._executor_down = True
        executor, self._default_executor = self._default_executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        if self._resolvers is not None:
            self._resolvers.shutdown(wait=False, cancel_futures=True)
        registry.closed(self)

    def __del__(self, _warn=warnings.warn):
        if not self.is_closed():
            _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()

    def _check_running(self):
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    # ---- async generators ------------------------------------------------------------------------------------------

    async def shutdown_asyncgens(self):
        """Close all async generators that are still open.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.shutdown_asyncgens
        """
        self._asyncgens_shutdown_called = True
        generators = list(self._asyncgens)
        self._asyncgens.clear()
        if not generators:
            return
        results = await asyncio.gather(*[generator.aclose() for generator in generators], return_exceptions=True)
        for result, generator in zip(results, generators, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        "message": f"an error occurred during closing of asynchronous generator {generator!r}",
                        "exception": result,
                        "asyncgen": generator,
                    }
                )

    def _asyncgen_first_iterated(self, generator):
        if self._asyncgens_shutdown_called:
            warnings.warn(
                f"asynchronous generator {generator!r} was scheduled after loop.shutdown_asyncgens() call",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
        self._asyncgens.add(generator)

    def _asyncgen_finalized(self, generator):
        self._asyncgens.discard(generator)
        if not self.is_closed():
            self.call_soon_threadsafe(self.create_task, generator.aclose())

    # ---- executors -------------------------------------------------------------------------------------------------

    def run_in_executor(self, executor, func, *args):
        """Run `func(*args)` in `executor` (None: the loop's own threads) and return a future of its result.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.run_in_executor
        """
        self._check_closed()
        if self.get_debug():
            self._check_callback(func, "run_in_executor")
        return _submit(self, executor, func, args)

    def set_default_executor(self, executor):
        """Make `executor`, a ThreadPoolExecutor, the one that run_in_executor(None, …) uses."""
        from concurrent.futures import ThreadPoolExecutor

        if not isinstance(executor, ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self._default_executor = executor

    async def shutdown_default_executor(self, timeout=None):
        """Wait for the default executor to end; warn when that takes longer than `timeout` seconds.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.shutdown_default_executor
        """
        if self._default_executor is None:
            self._executor_down = True  # and nothing is loaded for it: descriptors may be short
            return
        from clearloop.offload import executor

        await executor.shutdown_default_executor(self, timeout)

    # ---- errors ----------------------------------------------------------------------------------------------------

    def get_exception_handler(self):
        """Return the exception handler, or None for the default one."""
        return self._exception_handler

    def set_exception_handler(self, handler):
        """Make `handler(loop, context)` what errors that nobody awaits go to; None for the default.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.set_exception_handler
        """
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def default_exception_handler(self, context):
        """Log `context` as an error."""
        errors.log_context(self, context)

    def call_exception_handler(self, context):
        """Hand `context` to the exception handler.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.call_exception_handler
        """
        errors.call_exception_handler(self, self._exception_handler, context)

    # ---- debug mode ------------------------------------------------------------------------------------------------

    def _debug_changed(self):
        if self.is_running():
            self.call_soon_threadsafe(self._track_origins, self.get_debug())

    def _track_origins(self, enabled):
        if enabled == (self._origin_tracking_depth is not None):
            return
        if enabled:
            self._origin_tracking_depth = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(10)
        else:
            sys.set_coroutine_origin_tracking_depth(self._origin_tracking_depth)
            self._origin_tracking_depth = None

    # ---- signals ---------------------------------------------------------------------------------------------------

    def add_signal_handler(self, sig, callback, *args):
        """Run `callback(*args)` in the loop when the signal `sig` arrives.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.add_signal_handler
        """
        self._signals.add(self, sig, callback, args)

    def remove_signal_handler(self, sig):
        """Remove the handler of `sig`; return whether there was one."""
        return self._signals.remove(self, sig)

    def _handle_signal(self, handle):
        self.call_soon_threadsafe(handle._callback, *handle._args, context=handle._context)

    # ---- descriptors -----------------------------------------------------------------------------------------------

    def add_reader(self, fd, callback, *args):
        """Run `callback(*args)` whenever `fd` can be read.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.add_reader
        """
        self._transports.check(descriptor_of(fd))
        self._add_reader(fd, callback, *args)

    def remove_reader(self, fd):
        """Stop watching `fd` for reading; return whether it was watched."""
        self._refuse_transports(fd)
        return self._remove_reader(fd)

    def add_writer(self, fd, callback, *args):
        """Run `callback(*args)` whenever `fd` can be written.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.add_writer
        """
        self._transports.check(descriptor_of(fd))
        self._add_writer(fd, callback, *args)

    def remove_writer(self, fd):
        """Stop watching `fd` for writing; return whether it was watched."""
        self._refuse_transports(fd)
        return self._remove_writer(fd)

    def _refuse_transports(self, fd):
        try:
            self._transports.check(descriptor_of(fd))
        except ValueError:
            pass  # closed meanwhile: if it is still watched, it is no transport's

    def _add_reader(self, fd, callback, *args):
        self._check_closed()
        return self._readiness.add_reader(fd, callback, args)

    def _remove_reader(self, fd):
        return not self.is_closed() and self._readiness.remove_reader(fd)

    def _add_writer(self, fd, callback, *args):
        self._check_closed()
        return self._readiness.add_writer(fd, callback, args)

    def _stop_serving(self, sock):
        self._remove_reader(sock.fileno())
        sock.close()

    def _remove_writer(self, fd):
        return not self.is_closed() and self._readiness.remove_writer(fd)

    # ---- sockets by hand: net/sockets.py ---------------------------------------------------------------------------

    sock_recv = sockets.sock_recv
    sock_recv_into = sockets.sock_recv_into
    sock_recvfrom = sockets.sock_recvfrom
    sock_recvfrom_into = sockets.sock_recvfrom_into
    sock_sendall = sockets.sock_sendall
    sock_sendto = sockets.sock_sendto
    sock_sendfile = sockets.sock_sendfile
    sock_connect = sockets.sock_connect
    sock_accept = sockets.sock_accept

    # ---- files: net/sendfile.py ------------------------------------------------------------------------------------

    async def sendfile(self, transport, file, offset=0, count=None, *, fallback=True):
        """Send `file`, opened in binary mode, over `transport`; return the number of bytes sent.

        `offset` is where in the file to begin, `count` how many bytes to send (None: to its end).  What was written
        before is sent first.  Meanwhile nothing is read from the transport, and nobody else may write to it.  Uses
        os.sendfile(); where that cannot be had (TLS, files without a descriptor) the file is read and written, or
        SendfileNotAvailableError raised if `fallback` is false.  The file's position is behind what was sent, also
        after an error.  Raises RuntimeError for a transport that is closing or cannot send files.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.sendfile
        """
        from clearloop.net import sendfile

        return await sendfile.send(self, transport, file, offset, count, fallback)

    async def _sendfile_native(self, transport, file, offset, count):
        from clearloop.net import sendfile

        return await sendfile.send_native(transport, file, offset, count)

    async def _sendfile_fallback(self, transport, file, offset, count):
        from clearloop.net import sendfile

        return await sendfile.send_by_reading(self, transport, file, offset, count)

    async def _sock_sendfile_native(self, sock, file, offset, count):
        from clearloop.net import sendfile

        return await sendfile.sock_send_native(self, sock, file, offset, count)

    async def _sock_sendfile_fallback(self, sock, file, offset, count):
        from clearloop.net import sendfile

        return await sendfile.sock_send_by_reading(self, sock, file, offset, count)

    # ---- names: net/resolver.py ------------------------------------------------------------------------------------

    async def getaddrinfo(self, host, port, *, family=0, type=0, proto=0, flags=0):
        """Resolve a host as socket.getaddrinfo does, without blocking the loop.

        Names are looked up in threads of the resolver's own, at most 16 at a time.  Raises socket.gaierror.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.getaddrinfo
        """
        found = literals.rows(host, port, family, type, proto, flags)
        if found is None:
            from clearloop.net import resolver

            found = await resolver.getaddrinfo(self, host, port, family, type, proto, flags)
        return found

    async def getnameinfo(self, sockaddr, flags=0):
        """Name a socket address as socket.getnameinfo does, without blocking the loop."""
        from clearloop.net import resolver

        return await resolver.getnameinfo(self, sockaddr, flags)

    def _resolve_in_thread(self, func, *args):
        self._check_closed()
        if self._resolvers is None:
            from clearloop.net.resolver import THREADS
            from clearloop.offload.threads import ThreadPool

            self._resolvers = ThreadPool(THREADS, "resolver")
        return self._resolvers.run(self, func, args)

    # ---- connections and servers: net/connect.py, net/listen.py, net/server.py --------------------------------------

    async def create_connection(
        self,
        protocol_factory,
        host=None,
        port=None,
        *,
        ssl=None,
        family=0,
        proto=0,
        flags=0,
        sock=None,
        local_addr=None,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        happy_eyeballs_delay=None,
        interleave=None,
        all_errors=False,
    ):
        """Connect to `host` and `port`, or take the connected stream socket `sock`; return (transport, protocol).

        `local_addr` is the (host, port) to bind to first.  `happy_eyeballs_delay` (seconds) starts the next address
        while the last one has not answered (RFC 8305); `interleave` alternates address families.  Raises OSError when
        no address answers (with `all_errors` an ExceptionGroup of all reasons) and ValueError for options that
        contradict each other.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_connection
        """
        from clearloop.net import connect

        return await connect.create_connection(
            self,
            protocol_factory,
            host,
            port,
            ssl=ssl,
            family=family,
            proto=proto,
            flags=flags,
            sock=sock,
            local_addr=local_addr,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            all_errors=all_errors,
        )

    async def create_server(
        self,
        protocol_factory,
        host=None,
        port=None,
        *,
        family=socket.AF_UNSPEC,
        flags=socket.AI_PASSIVE,
        sock=None,
        backlog=100,
        ssl=None,
        reuse_address=None,
        reuse_port=None,
        keep_alive=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        start_serving=True,
    ):
        """Listen on `port` of `host` (a name, several, or None for every interface), or on `sock`; return a Server.

        Raises OSError when an address cannot be bound and ValueError for options that contradict each other.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_server
        """
        from clearloop.net import listen

        return await listen.create_server(
            self,
            protocol_factory,
            host,
            port,
            family=family,
            flags=flags,
            sock=sock,
            backlog=backlog,
            ssl=ssl,
            reuse_address=reuse_address,
            reuse_port=reuse_port,
            keep_alive=keep_alive,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            start_serving=start_serving,
        )

    async def create_unix_connection(
        self,
        protocol_factory,
        path=None,
        *,
        ssl=None,
        sock=None,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
    ):
        """Connect to the UNIX socket at `path`, or take the connected socket `sock`; return (transport, protocol).

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_unix_connection
        """
        from clearloop.net import connect

        return await connect.create_unix_connection(
            self,
            protocol_factory,
            path,
            ssl=ssl,
            sock=sock,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    async def create_unix_server(
        self,
        protocol_factory,
        path=None,
        *,
        sock=None,
        backlog=100,
        ssl=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        start_serving=True,
        cleanup_socket=sys.version_info >= (3, 13),
    ):
        """Listen on a UNIX socket at `path`, or on `sock`; return a Server.

        `cleanup_socket` removes the file when the server closes, which is asyncio's default from Python 3.13.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_unix_server
        """
        from clearloop.net import listen

        return await listen.create_unix_server(
            self,
            protocol_factory,
            path,
            sock=sock,
            backlog=backlog,
            ssl=ssl,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            start_serving=start_serving,
            cleanup_socket=cleanup_socket,
        )

    async def connect_accepted_socket(
        self, protocol_factory, sock, *, ssl=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None
    ):
        """Make a transport over a connection that was accepted elsewhere; return (transport, protocol).

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.connect_accepted_socket
        """
        from clearloop.net import connect

        return await connect.connect_accepted_socket(
            self,
            protocol_factory,
            sock,
            ssl=ssl,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    # ---- pipes: net/pipes.py, net/pipe_transport.py ------------------------------------------------------------------

    async def connect_read_pipe(self, protocol_factory, pipe):
        """Read from `pipe`, a file object of a pipe, FIFO, terminal or socket; return (transport, protocol).

        The descriptor is made non-blocking; when the transport closes, it is closed, and what it was before restored
        for whoever else has the file open.  Raises ValueError for a regular file or a folder.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.connect_read_pipe
        """
        from clearloop.net import pipes

        return await pipes.connect_read_pipe(self, protocol_factory, pipe)

    async def connect_write_pipe(self, protocol_factory, pipe):
        """Write to `pipe`, a file object of a pipe, FIFO, terminal or socket; return (transport, protocol).

        As connect_read_pipe() otherwise.  The transport closes by itself when nobody can read any more.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.connect_write_pipe
        """
        from clearloop.net import pipes

        return await pipes.connect_write_pipe(self, protocol_factory, pipe)

    def _make_read_pipe_transport(self, pipe, protocol, waiter=None, extra=None):
        from clearloop.net.pipe_transport import make_read_pipe

        return make_read_pipe(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe, protocol, waiter=None, extra=None):
        from clearloop.net.pipe_transport import make_write_pipe

        return make_write_pipe(self, pipe, protocol, waiter, extra)

    # ---- TLS: net/tls ----------------------------------------------------------------------------------------------

    async def start_tls(
        self,
        transport,
        protocol,
        sslcontext,
        *,
        server_side=False,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
    ):
        """Go on over TLS: return the new transport of `protocol`, which must not use `transport` any more.

        Raises TypeError for a transport that cannot be upgraded and for anything but an ssl.SSLContext, and what the
        handshake raises.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.start_tls
        """
        from clearloop.net.tls import start

        return await start.start_tls(
            self,
            transport,
            protocol,
            sslcontext,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    # ---- children: process/subprocesses.py ---------------------------------------------------------------------------

    async def subprocess_exec(
        self,
        protocol_factory,
        program,
        *args,
        stdin=-1,
        stdout=-1,
        stderr=-1,
        universal_newlines=False,
        shell=False,
        bufsize=0,
        encoding=None,
        errors=None,
        text=None,
        **kwargs,
    ):
        """Start `program` with `args` as a child process; return (transport, protocol).

        `stdin`, `stdout` and `stderr` are subprocess.PIPE (the default), DEVNULL, STDOUT, a descriptor, a file or None
        (as the parent's); `kwargs` are subprocess.Popen's other parameters.  Raises what Popen raises: OSError when the
        program cannot be executed; ValueError for what asks for text instead of bytes.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.subprocess_exec
        """
        from clearloop.process.subprocesses import refuse, start

        refuse(universal_newlines, shell, False, bufsize, encoding, errors, text)
        return await start(
            self, protocol_factory, (program, *args), False, stdin, stdout, stderr, bufsize, kwargs
        )

    async def subprocess_shell(
        self,
        protocol_factory,
        cmd,
        *,
        stdin=-1,
        stdout=-1,
        stderr=-1,
        universal_newlines=False,
        shell=True,
        bufsize=0,
        encoding=None,
        errors=None,
        text=None,
        **kwargs,
    ):
        """Start the shell command `cmd`, str or bytes; as subprocess_exec() otherwise.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.subprocess_shell
        """
        from clearloop.process.subprocesses import refuse, start

        if not isinstance(cmd, (bytes, str)):
            raise ValueError("cmd must be a string")
        refuse(universal_newlines, shell, True, bufsize, encoding, errors, text)
        return await start(self, protocol_factory, cmd, True, stdin, stdout, stderr, bufsize, kwargs)

    def _make_subprocess_transport(
        self, protocol, args, shell, stdin, stdout, stderr, bufsize, extra=None, **kwargs
    ):
        from clearloop.process.subprocesses import make_transport

        return make_transport(
            self, protocol, args, shell, stdin, stdout, stderr, bufsize, extra, **kwargs
        )

    # ---- datagrams: net/datagram.py --------------------------------------------------------------------------------

    async def create_datagram_endpoint(
        self,
        protocol_factory,
        local_addr=None,
        remote_addr=None,
        *,
        family=0,
        proto=0,
        flags=0,
        reuse_port=None,
        allow_broadcast=None,
        sock=None,
    ):
        """Make a datagram endpoint; return (transport, protocol).

        `local_addr` and `remote_addr` are (host, port), or paths when `family` is AF_UNIX; names are looked up, and
        each family that has all addresses is tried in order.  `sock` is a socket that is set up already, and excludes
        all of these.  Raises ValueError for arguments that do not fit together, OSError when no socket can be made.
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint
        """
        from clearloop.net import datagram

        return await datagram.create_datagram_endpoint(
            self,
            protocol_factory,
            local_addr,
            remote_addr,
            family=family,
            proto=proto,
            flags=flags,
            reuse_port=reuse_port,
            allow_broadcast=allow_broadcast,
            sock=sock,
        )


def _submit(loop, executor, func, args):
    """The first submission loads the room for it, and takes this function's place."""
    global _submit
    from clearloop.offload.executor import submit

    _submit = submit
    return submit(loop, executor, func, args)


def _stop_when_done(future):
    if not future.cancelled():
        error = future.exception()
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            return  # it has ended the loop already
    future.get_loop().stop()


def new_event_loop(*, poller=None):
    """Return a new clearloop event loop; `poller` as EventLoop has it."""
    return EventLoop(poller=poller)
