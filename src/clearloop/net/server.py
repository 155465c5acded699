"""A server: its listening sockets, and how long its connections last.

It only counts its connections.  Which they are the loop's table of transports knows, so a connection costs the server
no memory, and the server keeps none alive.
"""

import asyncio
import os
import stat
from asyncio import trsock

from clearloop.net.listener import Listener


class Server(asyncio.AbstractServer):
    """https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.Server"""

    def __init__(self, loop, sockets, protocol_factory, backlog, tls=None, socket_files=()):
        self._loop = loop
        self._sockets = sockets
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._tls = tls  # makes the TLS transport for a connection's protocol
        self._socket_files = socket_files  # (path, inode) to remove when the server closes
        self._listeners = []
        self._connections = 0
        self._waiters = []  # None once the server is closed and its last connection has gone
        self._serving = False
        self._serving_forever = None

    def __repr__(self):
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    def get_loop(self):
        """Return the loop that the server runs on."""
        return self._loop

    def is_serving(self):
        """Return whether the server accepts connections."""
        return self._serving

    @property
    def sockets(self):
        """The listening sockets; empty when the server is closed."""
        if self._sockets is None:
            return ()
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets)

    # ---- accepting -------------------------------------------------------------------------------------------------

    def _start_serving(self):
        if self._serving:
            return
        self._serving = True
        for sock in self._sockets:
            sock.listen(self._backlog)
            self._listeners.append(Listener(self._loop, sock, self, self._protocol_factory, self._backlog, self._tls))

    async def start_serving(self):
        """Start accepting connections; does nothing when the server does already.

        Raises RuntimeError when the server is closed.
        """
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        await asyncio.sleep(0)

    async def serve_forever(self):
        """Accept connections until cancelled, which closes the server and its connections.

        Raises RuntimeError when somebody else awaits it already, or when the server is closed.
        """
        if self._serving_forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._serving_forever = self._loop.create_future()
        try:
            await self._serving_forever
        except asyncio.CancelledError:
            try:
                self.close()
                self.close_clients()  # or one that hangs would keep the program from ending
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever = None

    def close(self):
        """Stop listening; connections that are open stay open."""
        sockets, self._sockets = self._sockets, None
        if sockets is None:
            return
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()
        for path, inode in self._socket_files:
            _remove_socket_file(path, inode)
        for sock in sockets:
            sock.close()
        self._serving = False
        if self._serving_forever is not None and not self._serving_forever.done():
            self._serving_forever.cancel()
            self._serving_forever = None
        if self._connections == 0:
            self._wake()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        self.close()
        await self.wait_closed()

    # ---- connections -----------------------------------------------------------------------------------------------

    def _attach(self, transport):
        self._connections += 1

    def _detach(self, transport):
        self._connections -= 1
        if self._connections == 0 and self._sockets is None:
            self._wake()

    @property
    def _clients(self):
        # of anything else than a connection the table knows no server
        return [one for one in self._loop._transports.held() if getattr(one, "_server", None) is self]

    def close_clients(self):
        """Close every open connection: what is queued is still sent."""
        for transport in self._clients:
            transport._outermost.close()  # over TLS, with all that belongs to its end

    def abort_clients(self):
        """Close every open connection at once."""
        for transport in self._clients:
            transport._outermost.abort()

    def _wake(self):
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait_closed(self):
        """Wait until the server is closed and its last connection has gone, whichever comes first."""
        if self._waiters is None:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter


def _remove_socket_file(path, inode):
    """Unless somebody has put another file there."""
    try:
        now = os.stat(path)
        if stat.S_ISSOCK(now.st_mode) and now.st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        asyncio.log.logger.error("Unable to clean up listening UNIX socket %r: %r", path, error)
