"""connect_read_pipe and connect_write_pipe: pipes, FIFOs, terminals and sockets, their ends and their errors."""

import asyncio
import contextvars
import fcntl
import gc
import os
import pty
import socket
import termios
import time
import tty
import weakref

import pytest
from process_tools import Reader, Writer, drain, nothing_left, read_end, reports, run, small_pipe, until, write_end

import clearloop
from clearloop.system.poller import HAS_EPOLL

SELECTORS = os.environ.get("CLEARLOOP_POLLER") == "selectors" or not HAS_EPOLL


def terminal():
    """(master, slave), or the test is skipped: containers may have no /dev/pts."""
    try:
        return pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminals here: {error}")


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_reading_to_the_end():
    async def main():
        reading, writing = os.pipe()
        transport, protocol = await read_end(reading)
        assert isinstance(transport, asyncio.ReadTransport) and not isinstance(transport, asyncio.WriteTransport)
        assert protocol.calls == ["made"]
        os.write(writing, b"one")
        await until(lambda: protocol.data == b"one")
        os.write(writing, b"two")
        os.close(writing)
        assert await protocol.lost is None
        assert protocol.data == b"onetwo"
        assert protocol.calls == ["made", "data", "data", "eof", "lost"]
        assert transport.is_closing() and not transport.is_reading()

    with nothing_left():
        run(main())


def test_a_megabyte_comes_whole():
    async def main():
        reading, writing = os.pipe()
        _, protocol = await read_end(reading)
        sender, _ = await write_end(writing)
        data = os.urandom(1 << 20)
        sender.write(data)
        sender.write_eof()
        assert await protocol.lost is None
        assert protocol.data == data

    with nothing_left():
        run(main())


def test_pausing_holds_data_and_end_back():
    async def main():
        reading, writing = os.pipe()
        transport, protocol = await read_end(reading)
        transport.pause_reading()
        assert not transport.is_reading()
        os.write(writing, b"x")
        os.close(writing)
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert protocol.calls == ["made"]
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"x"

    with nothing_left():
        run(main())


def test_a_paused_pipe_whose_writer_has_gone_does_not_spin():
    async def main():
        reading, writing = os.pipe()
        transport, _ = await read_end(reading)
        transport.pause_reading()
        os.close(writing)
        await asyncio.sleep(0.01)
        before = time.thread_time()  # not the other threads'
        await asyncio.sleep(0.3)
        assert time.thread_time() - before < 0.15
        transport.close()

    run(main())


def test_closing_while_data_is_there():
    async def main():
        reading, writing = os.pipe()
        transport, protocol = await read_end(reading)
        os.write(writing, b"x")
        transport.close()
        transport.close()
        assert await protocol.lost is None
        assert protocol.calls == ["made", "lost"]
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"y")
        os.close(writing)

    with nothing_left():
        run(main())


def test_each_end_says_what_asyncios_says_of_the_other_direction():
    async def main():
        reading, writing = os.pipe()
        transport, _ = await read_end(reading)
        for name in ("write", "writelines", "write_eof", "abort", "set_write_buffer_limits", "get_write_buffer_size"):
            assert not hasattr(transport, name)
        other, _ = await write_end(writing)
        for name in ("pause_reading", "resume_reading", "is_reading"):
            with pytest.raises(NotImplementedError, match="nothing to read"):
                getattr(other, name)()
        transport.close()
        other.close()

    run(main())


def test_extra_info_is_the_pipe():
    async def main():
        reading, writing = os.pipe()
        file = open(reading, "rb", 0)
        transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Reader, file)
        assert transport.get_extra_info("pipe") is file
        assert transport.get_extra_info("socket") is None
        assert transport.get_extra_info("socket", 5) == 5
        assert transport.get_protocol() is protocol
        other = Reader()
        transport.set_protocol(other)
        os.write(writing, b"z")
        await until(lambda: other.data == b"z")
        assert protocol.data == b""
        transport.close()
        await other.lost
        os.close(writing)
        assert file.closed

    run(main())


def test_what_data_received_raises_is_reported_and_ends_nothing():
    async def main():
        class Broken(Reader):
            def data_received(self, data):
                super().data_received(data)
                raise ValueError(len(self.calls))

        reading, writing = os.pipe()
        _, protocol = await read_end(reading, Broken)
        with reports() as found:
            os.write(writing, b"1")
            await until(lambda: protocol.data == b"1")
            os.write(writing, b"2")
            await until(lambda: protocol.data == b"12")
            os.close(writing)
            assert await protocol.lost is None
        assert [type(context["exception"]) for context in found] == [ValueError, ValueError]

    run(main())


@pytest.mark.parametrize("method", ["connection_made", "eof_received", "connection_lost"])
def test_what_other_callbacks_raise_is_reported(method):
    async def main():
        lost = asyncio.get_running_loop().create_future()

        class Broken(asyncio.Protocol):
            def connection_lost(self, error):
                lost.set_result(error)
                if method == "connection_lost":
                    raise ValueError(method)

        if method != "connection_lost":

            def broken(self, *arguments):
                raise ValueError(method)

            setattr(Broken, method, broken)
        with reports() as found:
            reading, writing = os.pipe()
            await read_end(reading, Broken)
            os.close(writing)
            assert await lost is None
            await asyncio.sleep(0)
            assert [str(context["exception"]) for context in found] == [method]

    with nothing_left():
        run(main())


def test_callbacks_run_in_the_context_of_the_call():
    variable = contextvars.ContextVar("variable", default="none")

    async def main():
        seen = []

        class Watching(Reader):
            def connection_made(self, transport):
                seen.append(variable.get())

            def data_received(self, data):
                seen.append(variable.get())

            def connection_lost(self, error):
                seen.append(variable.get())
                super().connection_lost(error)

        variable.set("mine")
        reading, writing = os.pipe()
        _, protocol = await read_end(reading, Watching)
        variable.set("other")
        os.write(writing, b"x")
        os.close(writing)
        await protocol.lost
        assert seen == ["mine", "mine", "mine"]

    run(main())


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_a_small_pipe_takes_all_in_order_with_back_pressure():
    async def main():
        reading, writing = small_pipe()
        transport, protocol = await write_end(writing)
        assert isinstance(transport, asyncio.WriteTransport) and not isinstance(transport, asyncio.ReadTransport)
        transport.set_write_buffer_limits(high=10_000, low=2_000)
        assert transport.get_write_buffer_limits() == (2_000, 10_000)
        sent = b""
        for number in range(400):
            piece = bytes([number % 251]) * (number * 7 % 1500)
            if number % 3 == 0:
                transport.writelines([piece[:100], piece[100:]])
            else:
                transport.write(bytearray(piece) if number % 3 == 1 else piece)
            sent += piece
        assert protocol.calls == ["made", "pause"]
        assert transport.get_write_buffer_size() > 10_000
        transport.close()  # still writes what is queued
        transport.write(b"too late")
        received = b""
        while not protocol.lost.done():
            received += drain(reading)
            await asyncio.sleep(0)
        received += drain(reading)
        assert await protocol.lost is None
        assert received == sent
        assert protocol.calls == ["made", "pause", "resume", "lost"]
        assert os.read(reading, 1) == b""
        os.close(reading)

    with nothing_left():
        run(main())


def test_what_a_step_writes_leaves_in_one_system_call():
    async def main():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Writer, ours)
        transport.write(b"head")
        transport.write(b"body")
        await asyncio.sleep(0)
        assert theirs.recv(100) == b"headbody"
        transport.close()
        await protocol.lost
        theirs.close()

    run(main())


def test_the_readers_going_is_noticed_without_a_write():
    async def main():
        reading, writing = os.pipe()
        transport, protocol = await write_end(writing)
        os.close(reading)
        assert await protocol.lost is None
        assert transport.is_closing()
        transport.write(b"x")  # without a word, as asyncio has it

    with nothing_left():
        run(main())


def test_the_readers_going_while_bytes_are_queued_is_a_broken_pipe():
    async def main():
        reading, writing = small_pipe()
        transport, protocol = await write_end(writing)
        transport.write(bytes(100_000))
        assert transport.get_write_buffer_size() > 0
        os.close(reading)
        assert isinstance(await protocol.lost, BrokenPipeError)
        assert transport.get_write_buffer_size() == 0

    with nothing_left():
        run(main())


def test_the_peer_of_a_socket_closes():
    async def main():
        ours, theirs = socket.socketpair()
        transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Writer, ours)
        theirs.sendall(b"data from the other side is no end")
        await asyncio.sleep(0.01)
        assert not transport.is_closing()
        theirs.close()
        if SELECTORS:  # which cannot tell the end from the data before it that nobody reads: the next write does
            transport.write(b"still there?")
        await protocol.lost

    with nothing_left():
        run(main())


def test_writes_after_the_end_are_counted_and_warned_of(caplog):
    async def main():
        reading, writing = os.pipe()
        transport, protocol = await write_end(writing)
        os.close(reading)
        await protocol.lost
        for _ in range(8):
            transport.write(b"x")
        assert transport._conn_lost > 5

    run(main())
    assert "pipe closed by peer or os.write(pipe, data) raised exception." in caplog.text


def test_abort_drops_what_is_queued():
    async def main():
        reading, writing = small_pipe()
        transport, protocol = await write_end(writing)
        transport.write(b"a" * 100_000)
        transport.abort()
        assert await protocol.lost is None
        assert len(drain(reading)) == 4096
        os.close(reading)

    with nothing_left():
        run(main())


def test_a_buffer_changed_after_write_is_sent_as_it_was():
    async def main():
        reading, writing = os.pipe()
        transport, protocol = await write_end(writing)
        data = bytearray(b"before")
        transport.write(data)
        data[:] = b"behind"
        transport.close()
        await protocol.lost
        assert drain(reading) == b"before"
        os.close(reading)

    run(main())


# ---- what may be connected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["connect_read_pipe", "connect_write_pipe"])
def test_a_regular_file_is_refused(tmp_path, which):
    async def main():
        with open(tmp_path / "file", "w+b", 0) as file:
            with pytest.raises(ValueError, match="for pipes, sockets and character devices only"):
                await getattr(asyncio.get_running_loop(), which)(asyncio.Protocol, file)
            assert os.get_blocking(file.fileno())
            assert not file.closed

    with nothing_left():
        run(main())


def test_a_fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        reader, protocol = await read_end(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        writer, _ = await write_end(os.open(path, os.O_WRONLY))
        writer.write(b"through a fifo")
        await until(lambda: protocol.data == b"through a fifo")
        writer.close()
        await protocol.lost

    with nothing_left():
        run(main())


def test_unread_data_in_a_fifo_that_is_open_in_both_directions_is_no_end(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        fd = os.open(path, os.O_RDWR)
        transport, _ = await write_end(os.dup(fd))
        transport.write(b"unread")
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert not transport.is_closing()
        assert os.read(fd, 10) == b"unread"
        transport.close()
        os.close(fd)

    run(main())


def test_a_terminal_ends_by_an_error_that_nobody_needs_to_read():
    async def main():
        master, slave = terminal()
        tty.setraw(slave)
        transport, protocol = await read_end(master)
        with reports() as found:
            os.write(slave, b"typed")
            await until(lambda: protocol.data == b"typed")
            os.close(slave)
            assert isinstance(await protocol.lost, OSError)
        assert not found
        assert transport.is_closing()

    with nothing_left():
        run(main())


def test_both_directions_of_one_terminal_even_by_one_descriptor():
    async def main():
        loop = asyncio.get_running_loop()
        master, slave = terminal()
        tty.setraw(slave)
        file = open(slave, "r+b", 0)
        reader, incoming = await loop.connect_read_pipe(Reader, file)
        writer, outgoing = await loop.connect_write_pipe(Writer, file)
        os.write(master, b"in")
        await until(lambda: incoming.data == b"in")
        writer.write(b"out")
        await asyncio.sleep(0)
        assert os.read(master, 10) == b"out"
        writer.close()
        reader.close()
        await outgoing.lost
        await incoming.lost
        os.close(master)

    with nothing_left():
        run(main())


def test_the_same_end_twice_is_refused():
    async def main():
        reading, writing = os.pipe()
        transport, protocol = await read_end(reading)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await read_end(os.dup(reading) and reading)
        transport.close()
        await protocol.lost
        os.close(writing)

    run(main())


# ---- O_NONBLOCK ------------------------------------------------------------------------------------------------------


def test_the_flag_is_restored():
    async def main():
        reading, writing = os.pipe()
        kept = os.dup(reading), os.dup(writing)
        assert os.get_blocking(kept[0]) and os.get_blocking(kept[1])
        reader, incoming = await read_end(reading)
        writer, outgoing = await write_end(writing)
        assert not os.get_blocking(kept[0]) and not os.get_blocking(kept[1])
        writer.close()
        await outgoing.lost
        assert os.get_blocking(kept[1]) and not os.get_blocking(kept[0])
        reader.close()
        await incoming.lost
        assert os.get_blocking(kept[0])
        for fd in kept:
            os.close(fd)

    run(main())


def test_the_flag_is_left_when_it_was_set():
    async def main():
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        kept = os.dup(reading)
        transport, protocol = await read_end(reading)
        transport.close()
        await protocol.lost
        assert not os.get_blocking(kept)
        os.close(kept)
        os.close(writing)

    run(main())


@pytest.mark.parametrize("first", ["reader", "writer"])
def test_of_two_transports_over_one_open_file_the_last_restores_the_flag(first):
    """stdin and stdout in a terminal are one open file: made blocking too early, it would block the loop."""

    async def main():
        master, slave = terminal()
        kept = os.dup(slave)
        reader, incoming = await read_end(slave)
        writer, outgoing = await write_end(os.dup(slave))
        order = [(reader, incoming), (writer, outgoing)]
        if first == "writer":
            order.reverse()
        order[0][0].close()
        await order[0][1].lost
        assert not os.get_blocking(kept)
        order[1][0].close()
        await order[1][1].lost
        assert os.get_blocking(kept)
        os.close(kept)
        os.close(master)

    with nothing_left():
        run(main())


def test_two_open_files_of_one_fifo_are_two(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        one, other = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR | os.O_NONBLOCK)
        kept = os.dup(one), os.dup(other)
        first, first_protocol = await read_end(one)
        second, second_protocol = await read_end(other)
        first.close()
        await first_protocol.lost
        assert os.get_blocking(kept[0]) and not os.get_blocking(kept[1])
        second.close()
        await second_protocol.lost
        assert not os.get_blocking(kept[1])
        for fd in kept:
            os.close(fd)

    run(main())


# ---- careless programs -----------------------------------------------------------------------------------------------


def test_a_file_closed_under_the_transport_is_noticed():
    async def main():
        reading, near = os.pipe()
        writing = fcntl.fcntl(near, fcntl.F_DUPFD_CLOEXEC, 700)  # where no other thread's descriptors go
        os.close(near)
        file = open(writing, "wb", 0)
        transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Writer, file)
        file.close()
        null = os.open(os.devnull, os.O_RDWR)
        other = fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, writing)
        os.close(null)
        assert other == writing  # has the number now
        transport.write(b"not for the other")
        assert isinstance(await protocol.lost, OSError)
        os.fstat(other)  # still open
        os.close(other)
        os.close(reading)

    with nothing_left():
        run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dropped_transport_warns_and_closes():
    async def main():
        reading, writing = os.pipe()
        kept = os.dup(reading)
        transport, protocol = await read_end(reading)
        transport.pause_reading()
        os.write(writing, b"x")
        await asyncio.sleep(0.01)  # now the poller has let go of it
        reference = weakref.ref(transport)
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            del transport, protocol.transport
            gc.collect()
        assert reference() is None
        assert os.get_blocking(kept)
        os.close(kept)
        os.close(writing)

    with nothing_left():
        run(main())


def test_cancelled_while_connecting():
    async def main():
        reading, writing = os.pipe()
        task = asyncio.create_task(read_end(reading))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: asyncio.get_running_loop()._transports.get(reading) is None)
        os.close(writing)

    with nothing_left():
        run(main())


def test_streams_over_a_pipe_without_asyncios_detour():
    async def main():
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        reader = clearloop.StreamReader(loop=loop)
        await loop.connect_read_pipe(lambda: clearloop.StreamReaderProtocol(reader, loop=loop), open(reading, "rb", 0))
        transport, protocol = await loop.connect_write_pipe(
            lambda: clearloop.StreamReaderProtocol(None, loop=loop), open(writing, "wb", 0)
        )
        writer = clearloop.StreamWriter(transport, protocol, None, loop)
        data = os.urandom(3 << 20)

        async def send():
            for place in range(0, len(data), 10_007):
                writer.write(data[place : place + 10_007])
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        task = asyncio.create_task(send())
        assert await reader.readexactly(1 << 20) == data[: 1 << 20]
        assert await reader.read() == data[1 << 20 :]
        await task

    with nothing_left():
        run(main())


def test_asyncios_streams_over_a_pipe():
    async def main():
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), open(reading, "rb", 0))
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), open(writing, "wb", 0)
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        writer.write(b"line\n" * 50_000)
        writer.close()
        assert len([line async for line in reader]) == 50_000

    with nothing_left():
        run(main())


def test_debug_mode(caplog):
    caplog.set_level("DEBUG", logger="asyncio")

    async def main():
        reading, writing = os.pipe()
        transport, protocol = await read_end(reading)
        assert "idle" in repr(transport) or "polling" in repr(transport)
        transport.pause_reading()
        transport.resume_reading()
        os.close(writing)
        await protocol.lost
        assert "closed" in repr(transport)

    run(main(), debug=True)
    assert "pauses reading" in caplog.text and "was closed by peer" in caplog.text


def test_terminal_attributes_are_left_alone():
    async def main():
        master, slave = terminal()
        before = termios.tcgetattr(slave)
        kept = os.dup(slave)
        transport, protocol = await write_end(slave)
        transport.close()
        await protocol.lost
        after = termios.tcgetattr(kept)
        assert after[:6] == before[:6]
        assert after[6][:19] == before[6][:19]  # as many as the kernel fills in; what follows, musl leaves to chance
        os.close(kept)
        os.close(master)

    run(main())
