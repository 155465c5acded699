"""One conversation over a stream transport, whose protocol does something in one of its callbacks, and what it saw.

The same program runs on asyncio's loop, which is the oracle, and on ours.
"""

import asyncio
import socket

import clearloop
from descriptors import left_open, open_descriptors

LIMIT = 20
MUCH = b"x" * 300_000


class Log:
    """What a program saw; `act` is done the first time that `where` is called."""

    def __init__(self, where, act):
        self.where, self.act = where, act
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()
        self.paused = False
        self.resumes = None  # who pauses reading: the timer that ends it
        self.received = bytearray()  # by the peer

    def note(self, protocol, name, detail=None):
        if not (name in ("data_received", "buffer_updated") and self.calls and self.calls[-1] == (protocol.name, name)):
            self.calls.append((protocol.name, name))  # how the bytes are cut is the kernel's affair
        if detail is not None:
            self.calls.append(detail)
        if name == self.where and self.act is not None:
            act, self.act = self.act, None
            act(self, protocol)


class Noting(asyncio.Protocol):
    name = "plain"

    def __init__(self, log):
        self.log = log
        self.keep_open = False

    def connection_made(self, transport):
        self.transport = transport
        self.log.transport = transport
        self.log.note(self, "connection_made")

    def data_received(self, data):
        self.log.note(self, "data_received")

    def eof_received(self):
        self.log.note(self, "eof_received")
        return self.keep_open

    def pause_writing(self):
        self.log.paused = True
        self.log.note(self, "pause_writing")

    def resume_writing(self):
        self.log.paused = False
        self.log.note(self, "resume_writing")

    def connection_lost(self, error):
        if not self.log.lost.done():
            self.log.lost.set_result(None)
        self.log.note(self, "connection_lost", type(error).__name__)


class Buffering(asyncio.BufferedProtocol):
    name = "buffered"
    __init__ = Noting.__init__
    connection_made = Noting.connection_made
    eof_received = Noting.eof_received
    pause_writing = Noting.pause_writing
    resume_writing = Noting.resume_writing
    connection_lost = Noting.connection_lost

    def get_buffer(self, sizehint):
        self.log.note(self, "get_buffer")
        self.buffer = bytearray(1000)
        return self.buffer

    def buffer_updated(self, count):
        self.log.note(self, "buffer_updated")


class Other(Noting):
    name = "other"


class OtherBuffering(Buffering):
    name = "other buffered"


# ---- what they do ----------------------------------------------------------------------------------------------------


def close(log, protocol):
    log.transport.close()


def abort(log, protocol):
    log.transport.abort()


def write_and_close(log, protocol):
    log.transport.write(b"farewell")
    log.transport.close()


def write_and_abort(log, protocol):
    log.transport.write(b"farewell")
    log.transport.abort()


def write_and_fail(log, protocol):
    log.transport.write(b"farewell")
    raise ValueError("after a write")


def close_twice(log, protocol):
    log.transport.close()
    log.transport.abort()
    log.transport.close()


def end_writing(log, protocol):
    log.transport.write(b"that was all")
    log.transport.write_eof()


def write_much(log, protocol):
    log.transport.write(MUCH)


def pause(log, protocol):
    log.transport.pause_reading()

    def resume():
        log.resumes = None
        log.transport.resume_reading()

    log.resumes = asyncio.get_running_loop().call_later(0.02, resume)


def pause_and_resume(log, protocol):
    log.transport.pause_reading()
    log.transport.resume_reading()


def pause_and_close(log, protocol):
    log.transport.pause_reading()
    log.transport.close()


def switch(log, protocol):
    log.transport.set_protocol(other := Other(log))
    other.transport = log.transport


def switch_kind(log, protocol):
    log.transport.set_protocol(other := OtherBuffering(log))
    other.transport = log.transport


def switch_and_close(log, protocol):
    switch(log, protocol)
    log.transport.close()


def switch_and_fail(log, protocol):
    switch(log, protocol)
    raise ValueError("after a switch")


def fail(log, protocol):
    raise ValueError("on purpose")


def fail_with_oserror(log, protocol):
    raise TimeoutError("on purpose")


def fail_as_cancelled(log, protocol):
    raise asyncio.CancelledError


def close_and_fail(log, protocol):
    log.transport.close()
    raise ValueError("after closing")


def never_pause(log, protocol):
    log.transport.set_write_buffer_limits(high=10_000_000)


ACTIONS = [
    close, abort, write_and_close, write_and_abort, write_and_fail, close_twice, end_writing, write_much, pause,
    pause_and_resume, pause_and_close, switch, switch_kind, switch_and_close, switch_and_fail, fail, fail_with_oserror,
    fail_as_cancelled, close_and_fail, never_pause,
]  # fmt: skip


# ---- the other end ---------------------------------------------------------------------------------------------------


class Peer:
    """The other end of a connection: it hears what comes whenever it is asked to, and never blocks."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock = sock

    def hear(self, log):
        """Read what is there; 0 when nothing was."""
        count = 0
        try:
            while data := self.sock.recv(65536):
                log.received += self.opened(data)
                count += len(data)
        except OSError:
            pass
        return count

    def say(self, data):
        try:
            self.sock.send(data)
        except OSError:
            pass

    def opened(self, data):
        return data

    def end(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.sock.close()


# ---- the program -----------------------------------------------------------------------------------------------------


async def conduct(connect, peer, factory, where, act):
    """One conversation: bytes come, bytes go until the protocol is paused and resumed, then the peer ends.

    `connect(protocol factory, log)` makes the connection to `peer`, which may have to be heard for that.  Returns the
    calls, the loop's reports, and how many bytes have come.
    """
    loop = asyncio.get_running_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(type(context.get("exception")).__name__))
    log = Log(where, act)
    try:
        try:
            await connect(lambda: factory(log), log)
        except BaseException as error:
            log.calls.append(f"refused: {type(error).__name__}")
        peer.say(b"first")
        await settled(log, peer, lambda: seen(log, "received", "updated") or log.lost.done())
        if not log.transport.is_closing() and hasattr(log.transport, "write"):
            try:
                log.transport.write(MUCH)
            except RuntimeError:
                log.calls.append("no write after write_eof")
        await settled(log, peer, lambda: sent(log))
        peer.say(b"second")
        await settled(log, peer, lambda: False)
        peer.end()
        await settled(log, peer, lambda: log.lost.done())
        if not log.lost.done():
            log.calls.append("still open")
            log.transport.abort()
            await log.lost
        await asyncio.sleep(0.0003)
        peer.hear(log)
    finally:
        peer.close()
    return log.calls, reports, len(log.received)


async def settled(log, peer, condition, turns=30):
    """Turn until it holds, with nothing more to hear; where the program's conduct means that it never will, until
    nothing has moved for so many turns of the loop.  No time decides: a slow machine only turns more slowly.
    """
    left = turns
    while left:
        calls = len(log.calls)
        await asyncio.sleep(0.0003)
        if peer.hear(log) or len(log.calls) != calls or log.resumes is not None:
            left = turns
        elif condition():
            return
        else:
            left -= 1


def seen(log, *endings):
    return any(type(call) is tuple and call[1].endswith(endings) for call in log.calls)


def sent(log):
    if log.lost.done() or not hasattr(log.transport, "write"):
        return True
    return not log.transport.get_write_buffer_size() and not log.paused


CALLBACKS = {
    Noting: [
        "connection_made", "data_received", "eof_received", "pause_writing", "resume_writing", "connection_lost",
    ],
    Buffering: [
        "connection_made", "get_buffer", "buffer_updated", "eof_received", "pause_writing", "resume_writing",
        "connection_lost",
    ],
}  # fmt: skip
EVERY_PLACE = [(factory, where) for factory in CALLBACKS for where in CALLBACKS[factory]]


def on_both_loops(connected, factory, where, act):
    """What run() returns on asyncio's loop, and on ours."""
    return (
        run(asyncio.SelectorEventLoop, connected, factory, where, act),
        run(clearloop.new_event_loop, connected, factory, where, act),
    )


def run(new_loop, connected, factory, where, act):
    """What conduct() returns on a loop of `new_loop`, and no descriptor is left.

    `connected()` returns its first two parameters.
    """

    async def main():
        async with asyncio.timeout(LIMIT):
            return await conduct(*connected(), factory, where, act)

    before = open_descriptors()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        outcome = runner.run(main())
    assert left_open(before) == set()
    return outcome
