"""Water marks: at how many unsent bytes a protocol is paused and resumed, for every transport that writes.

Who sends says when to look.  Above `high` pause_writing() is called, once; when what is unsent has fallen to `low`,
resume_writing().  Both may do anything to the transport, write and close included, so `protocol_paused` is settled
before they are called, and whoever calls looks afresh at the phase behind them.  What they raise is reported, and ends
nothing.
"""

import sys

import cython
from cython.cimports.clearloop.net.endpoint import LOST, Endpoint
from cython.cimports.clearloop.net.watermarks import HIGH

_most = cython.declare(object, sys.maxsize)


@cython.cclass
class Marked(Endpoint):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport, its flow control"""

    def unsent(self):
        """What the marks are held against."""
        return self.size

    def usual_high(self):
        return HIGH

    def use_usual_marks(self):
        self.high = self.usual_high()
        self.low = self.high // 4
        return 0

    def get_write_buffer_size(self):
        """Return how many bytes are not sent yet, with those that wait for the end of the running step.

        Over TLS, encrypted or not; of datagrams, with eight bytes more for each.
        """
        return self.unsent()

    def get_write_buffer_limits(self):
        """Return (low, high) in bytes."""
        return (self.low, self.high)

    def set_write_buffer_limits(self, high=None, low=None):
        """Set at how many unsent bytes pause_writing() and resume_writing() are called.

        What is left out follows from the other, or is the default.  Any number will do, infinity for "never pause"
        included.  Raises ValueError unless high >= low >= 0.
        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.set_write_buffer_limits
        """
        if high is None:
            high = self.usual_high() if low is None else 4 * low
        high = min(high, _most)
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.low, self.high = int(low), int(high)
        self.marks_moved()

    def marks_moved(self):
        return self.pause_when_full()

    def pause_when_full(self):
        if not self.protocol_paused and self.phase < LOST and self.unsent() > self.high:
            self.pause_protocol()
        return 0

    def pause_protocol(self):
        self.protocol_paused = True
        try:
            self.protocol.pause_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.report(error, "protocol.pause_writing() failed")
        return 0

    def resume_protocol(self):
        self.protocol_paused = False
        try:
            self.protocol.resume_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.report(error, "protocol.resume_writing() failed")
        return 0

    @property
    def _protocol_paused(self):
        return bool(self.protocol_paused)
