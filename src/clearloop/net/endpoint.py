"""What every transport is: a protocol and the context that it runs in, and a life that has an end.

The life goes one way, through the phases of the `.pxd`.  `lose()` is the step to LOST, whoever asks for it: close()
with nothing left to send, abort(), the network, a protocol that raised.  Nothing is sent from then on, and
connection_lost() is called once, in the next turn; behind it, whatever it raises, `release()` gives everything back.

Errors part here: what the network does ends a connection silently, what programs do is reported as well.
"""

import os
from asyncio.log import logger

import cython
from cython.cimports.clearloop.engine.handle import Handle, new_handle
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.runnable import Source
from cython.cimports.clearloop.system.slots import track
from cython.cimports.cpython.ref import PyObject


@cython.cclass
class Endpoint(Source):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport"""

    def is_closing(self):
        """Return whether the transport is closing or closed."""
        return self.phase >= CLOSING

    def get_protocol(self):
        """Return the protocol; None once the connection is closed."""
        return self.protocol

    def set_protocol(self, protocol):
        """Hand everything from now on to `protocol`, of either kind."""
        self.use_protocol(protocol)

    def use_protocol(self, protocol):
        self.protocol = protocol
        return 0

    # ---- errors ----------------------------------------------------------------------------------------------------

    def report(self, error, message):
        """Tell the loop's exception handler."""
        self.loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self, "protocol": self.protocol}
        )
        return 0

    def fail(self, error, message):
        """End the connection with the `errno` that a system call has left."""
        return self.fatal(OSError(error, os.strerror(error)), message)

    def fatal(self, error, message):
        """End the connection with `error`: what the network does is silent, what programs do is reported."""
        if not isinstance(error, OSError):
            self.report(error, message)
        elif self.loop.debug:
            logger.debug("%r: %s", self, message, exc_info=error)
        self.lose(error)
        return 0

    # ---- the end ---------------------------------------------------------------------------------------------------

    def lose(self, error):
        """The connection is over: forget what is queued, and tell the protocol in the next turn."""
        raise NotImplementedError("a transport that cannot end")

    def release(self):
        """Give back what is held, and let go of everybody."""
        raise NotImplementedError("a transport that gives nothing back")

    def schedule(self, callback, argument):
        """Call the protocol in the next turn."""
        handle: Handle = new_handle(self.loop, callback, (argument,), self.context)
        if self.loop.thread_id == 0:  # a loop that stands still may be dropped: the collector has to see it
            track(cython.cast(cython.pointer(PyObject), handle))
        ring_push(cython.address(self.loop.ready), handle)
        return 0

    def schedule_end(self, error):
        """connection_lost(error) in the next turn, and release() behind it; raises RuntimeError on a closed loop."""
        if self.loop.closed:
            self.loop.check_closed()
        return self.schedule(self._call_connection_lost, error)

    def _call_connection_lost(self, error):
        if self.phase == CLOSED:
            return
        try:
            self.protocol.connection_lost(error)
        finally:
            self.phase = CLOSED
            self.release()

    # ---- what asyncio's transports have, and programs look at ------------------------------------------------------

    @property
    def _loop(self):
        return self.loop

    @property
    def _protocol(self):
        return self.protocol

    @property
    def _closing(self):
        return self.phase >= CLOSING
