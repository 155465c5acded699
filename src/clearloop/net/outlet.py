"""What bytes are written to: the queue of chunks that a socket, a pipe and TLS have in common.

Most turns queue one chunk and send all of it.  So the first stands by itself, `more` is a list only when there are
others, and what has left is counted (`sent`, `first`) rather than cut off.  Chunks are `bytes`, which nobody can
change: what write() gets is kept as it is if it is that, and copied if it is not.

What a step writes leaves when the turn ends, by flush(); more than `offer` leaves at once, by push().  Both belong to
whoever sends, as does the question who is told, and when.
"""

from asyncio.log import logger

import cython
from cython.cimports.clearloop.net.endpoint import LOST
from cython.cimports.clearloop.net.outlet import queue_chunk
from cython.cimports.clearloop.net.watermarks import Marked
from cython.cimports.clearloop.system.capi import propagate
from cython.cimports.clearloop.system.methods import bytes_size
from cython.cimports.clearloop.system.poller import WRITABLE
from cython.cimports.clearloop.system.slots import set_attribute
from cython.cimports.cpython.ref import PyObject

WARN_FROM = cython.declare(cython.Py_ssize_t, 5)  # writes to a lost connection, as asyncio counts them
GONE_CHUNKS = cython.declare(cython.Py_ssize_t, 1024)  # that the list may carry along


@cython.cclass
class Outlet(Marked):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport"""

    def __setattr__(self, name, value):
        if name == "write":
            self.write_replaced = True  # the short ways round it have to be told
        set_attribute(self, name, cython.cast(cython.pointer(PyObject), value))

    def __delattr__(self, name):
        set_attribute(self, name, cython.NULL)
        if name == "write":
            self.write_replaced = False

    def write(self, data):
        """Send `data` (bytes, bytearray or memoryview) when the turn of the loop ends; never blocks.

        What the step writes leaves in one system call.  bytes are kept, the other two copied.  Raises TypeError for
        anything else and RuntimeError after write_eof().
        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.write
        """
        if type(data) is not bytes:
            if isinstance(data, (bytearray, memoryview)):
                data = bytes(data)
            elif not isinstance(data, bytes):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self.no_write:
            self.refuse_write("write", not bytes_size(data))
        elif bytes_size(data):
            self.append(data)

    def writelines(self, list_of_data):
        """Send all chunks of `list_of_data`, in order, as write() would.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.writelines
        """
        if self.no_write:
            self.refuse_write("writelines", True)
        for data in list_of_data:
            if type(data) is not bytes:
                data = bytes(memoryview(data))
            if not bytes_size(data):
                continue
            if self.no_write:
                self.refuse_write("writelines", False)
                return
            self.append(data)

    def append(self, data):
        """Send `data`, non-empty bytes, when the turn ends; only while not no_write."""
        queue_chunk(self, data)
        self.size += bytes_size(data)
        if self.size > self.offer:
            self.push()
        elif not self.dirty and not self.watched & WRITABLE:
            if self.loop.entry == cython.NULL:
                self.flush()  # no turn runs whose end would send it
            else:
                self.dirty = True
                self.loop.mark_dirty(self)
        return 0

    def drop_sent(self, count):
        """Take `count` bytes off the front of the queue; it may be gone meanwhile."""
        left: cython.Py_ssize_t
        if self.size <= count:
            return self.forget_queue()
        self.size -= count
        while True:
            left = bytes_size(self.chunk) - self.sent
            if count < left:
                self.sent += count
                break
            count -= left
            self.sent = 0
            self.chunk = self.more[self.first]
            self.more[self.first] = None
            self.first += 1
            if self.first == len(self.more):
                self.more = None
                self.first = 0
        if self.first >= GONE_CHUNKS:
            del self.more[: self.first]
            self.first = 0
        return 0

    def forget_queue(self):
        self.size = 0
        self.sent = 0
        self.first = 0
        self.more = None
        self.chunk = None
        return 0

    def push(self):
        """Enough is queued: out with it; if it stays, pause the protocol."""
        raise NotImplementedError("an outlet that leads nowhere")

    def offer_queue(self):
        """Before a sudden end: what this step has written would have left at once on asyncio's loop."""
        raise NotImplementedError("an outlet that leads nowhere")

    def refuse_write(self, method, empty):
        """`method` was called though nothing can be written any more: raise, or count it unless `empty`."""
        if not empty:
            if self.ignored >= WARN_FROM:
                logger.warning(self.complaint())
            self.ignored += 1
        return 0

    def complaint(self):
        return "socket.send() raised exception."

    def protocol_raised(self, method):
        """The protocol's `method` has left an error: it is reported and ends the connection."""
        try:
            propagate()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.offer_queue()
            self.fatal(error, f"Fatal error: protocol.{method}() call failed.")
        return 0

    def abort(self):
        """Close the transport at once, over TLS without close_notify; what the kernel has not taken is lost.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.abort
        """
        self.offer_queue()
        self.lose(None)

    @property
    def _conn_lost(self):
        return (1 if self.phase >= LOST else 0) + self.ignored
