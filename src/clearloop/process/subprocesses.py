"""subprocess_exec and subprocess_shell: what is refused, and one child after the other.

Starting a program holds the loop up for the time that its execve takes, some 150 to 250 us.  Many at once would add up:
so each loop starts one, and the next not before its next turn, in the order in which they were asked for.
"""

import asyncio
import collections
import os
import subprocess
from asyncio.log import logger

from clearloop.process import launch
from clearloop.process.transport import ChildTransport


class Children:
    """The children of one loop: how their ends are noticed, and who may start one now."""

    def __init__(self, loop):
        self._loop = loop
        # for kernels before Linux 5.4, other systems, and tests
        self.by_thread = os.environ.get("CLEARLOOP_PIDFD") == "0" or not launch.CAN_SPAWN
        self.busy = False  # one was started in this turn
        self._line = collections.deque()

    async def turn(self):
        """Wait until a child may be started."""
        while self.busy:
            place = self._loop.create_future()
            self._line.append(place)
            try:
                await place
            except BaseException:
                if not place.cancelled():
                    self._next()  # it was our turn
                raise
        self.take()

    def take(self):
        """It is started now."""
        self.busy = True
        self._loop.call_soon(self._free)

    def _free(self):
        self.busy = False
        if self._line:
            self._next()

    def _next(self):
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return


async def make_transport(loop, protocol, args, shell, stdin, stdout, stderr, bufsize, extra=None, **options):
    """Start a child and return its transport, when connection_made() was called."""
    children = loop._children
    if children is None:
        children = loop._children = Children(loop)
    if children.busy:
        await children.turn()
    else:
        children.take()
    launch.reap_orphans()
    transport = ChildTransport(
        loop, protocol, args, shell, stdin, stdout, stderr, bufsize, children.by_thread, extra, options
    )
    try:
        await transport._connect()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        transport.close()
        await asyncio.shield(transport._wait())
        raise
    return transport


def refuse(universal_newlines, shell, wanted_shell, bufsize, encoding, errors, text):
    """Raise ValueError for what asyncio has no use for: a child's pipes carry bytes."""
    if universal_newlines:
        raise ValueError("universal_newlines must be False")
    if bool(shell) is not wanted_shell:
        raise ValueError(f"shell must be {wanted_shell}")
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")


async def start(loop, protocol_factory, args, shell, stdin, stdout, stderr, bufsize, options):
    """Make the protocol, start the child and return (transport, protocol)."""
    protocol = protocol_factory()
    transport = await loop._make_subprocess_transport(
        protocol, args, shell, stdin, stdout, stderr, bufsize, **options
    )
    if loop.get_debug():
        logger.info("execute program %r: %r, stdin=%s stdout=%s stderr=%s", args, transport, stdin, stdout, stderr)
    return transport, protocol


PIPE = subprocess.PIPE
