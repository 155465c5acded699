"""The protocols of a child's pipes: they pass on to the child's own protocol what its pipes bring."""

import asyncio

from clearloop.net.stream_core import ProtocolCore


class ChildInput(asyncio.BaseProtocol):
    """Of the child's stdin."""

    def __init__(self, child, number):
        self.child = child
        self.number = number  # the descriptor that the child knows it by
        self.pipe = None  # the transport
        self.disconnected = False

    def connection_made(self, transport):
        """The pipe stands."""
        self.pipe = transport

    def connection_lost(self, error):
        """The pipe is closed."""
        self.disconnected = True
        self.child._pipe_connection_lost(self.number, error)

    def pause_writing(self):
        """Too much is queued for the child."""
        self.child.get_protocol().pause_writing()

    def resume_writing(self):
        """The child has read enough of it."""
        self.child.get_protocol().resume_writing()


class ChildOutput(ChildInput, asyncio.Protocol):
    """Of the child's stdout or stderr."""

    def data_received(self, data):
        """The child has written `data`."""
        self.child.get_protocol().pipe_data_received(self.number, data)

    def _awaited(self):
        """The reader that gets it, or None."""
        protocol = self.child.get_protocol()
        streams = protocol if isinstance(protocol, asyncio.subprocess.SubprocessStreamProtocol) else None
        return getattr(streams, "stdout" if self.number == 1 else "stderr", None)


class HeldOutput(ChildOutput):
    """An output whose pipe is connected in turns of the loop: nothing is read before the child's connection_made()."""

    def connection_made(self, transport):
        """The pipe stands, and the child may have written to it already."""
        super().connection_made(transport)
        self._resume = transport.resume_reading  # now: whoever connects pipes may replace it on what he returns
        transport.pause_reading()

    def let_go(self):
        """Read from now on."""
        if not self.disconnected:
            self._resume()


class FedOutput(ProtocolCore, asyncio.Protocol):
    """The same, with what the child writes going straight to a reader of ours."""

    def __init__(self, output, reader, loop):
        super().__init__(reader, loop)
        self._output = output

    def connection_made(self, transport):
        """Known already."""

    def connection_lost(self, error):
        """The pipe is closed."""
        self._output.connection_lost(error)
