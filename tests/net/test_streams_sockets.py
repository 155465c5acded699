"""Streams over real sockets: servers, connections, back pressure, errors and ends; on our loop and on asyncio's."""

import asyncio
import gc
import os
import random
import socket
import struct
import warnings

import pytest
from stream_tools import packets, reports, until

import clearloop
import clearloop.streams as streams

LOOPS = pytest.mark.parametrize(
    "factory", [clearloop.new_event_loop, asyncio.SelectorEventLoop], ids=["own", "asyncio"]
)


def both_loops(main):
    @LOOPS
    def test(factory):
        run(main(), factory)

    return test


def run(main, factory=clearloop.new_event_loop):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(asyncio.wait_for(main, 20))


async def serve(handler, **options):
    server = await streams.start_server(handler, "127.0.0.1", 0, **options)
    return server, server.sockets[0].getsockname()[1]


async def connect(port, **options):
    return await streams.open_connection("127.0.0.1", port, **options)


async def finish(server, writer=None):
    if writer is not None:
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@both_loops
async def test_echo_both_ways():
    server, port = await serve(echo)
    reader, writer = await connect(port)
    for size in (1, 10, 1024, 65536, 300_000):
        data = os.urandom(size)
        writer.write(data)
        await writer.drain()
        assert await reader.readexactly(size) == data
    writer.writelines([b"one\n", b"two\n"])
    assert [await reader.readline(), await reader.readline()] == [b"one\n", b"two\n"]
    assert writer.can_write_eof()
    writer.write(b"last")
    writer.write_eof()
    assert await reader.read() == b"last"
    assert reader.at_eof()
    assert writer.get_extra_info("peername") == ("127.0.0.1", port)
    assert writer.get_extra_info("nothing", 5) == 5
    assert writer.transport is writer._transport
    await finish(server, writer)
    assert writer.is_closing()


@both_loops
async def test_unix_sockets():
    path = f"\0clearloop-streams-{os.getpid()}"
    server = await streams.start_unix_server(echo, path)
    reader, writer = await streams.open_unix_connection(path)
    writer.write(b"line\n")
    assert await reader.readline() == b"line\n"
    await finish(server, writer)


@both_loops
async def test_many_pieces_of_any_size_arrive_in_order():
    chance = random.Random(5)
    expected = chance.randbytes(2_000_000)

    async def send(reader, writer):
        place = 0
        while place < len(expected):
            size = chance.choice((1, 7, 500, 5000, 70_000))
            writer.write(chance.choice((bytes, bytearray, memoryview))(expected[place : place + size]))
            await writer.drain()
            place += size
        writer.close()

    server, port = await serve(send)
    reader, writer = await connect(port)
    parts = []
    while not reader.at_eof():
        if chance.random() < 0.5:
            parts.append(await reader.read(chance.choice((1, 100, 9000, 500_000))))
        else:
            try:
                parts.append(await reader.readexactly(chance.choice((3, 4000, 200_000))))
            except asyncio.IncompleteReadError as error:
                parts.append(error.partial)
    assert b"".join(parts) == expected
    await finish(server, writer)


@both_loops
async def test_who_reads_slowly_slows_the_sender_down():
    written = 0
    stuck = asyncio.Event()

    async def flood(reader, writer):
        nonlocal written
        try:
            while True:
                writer.write(b"x" * 65536)
                written += 65536
                drained = asyncio.ensure_future(writer.drain())
                done, _ = await asyncio.wait([drained], timeout=0.2)
                if not done:
                    stuck.set()
                await drained
        except ConnectionError:
            pass

    server, port = await serve(flood)
    reader, writer = await connect(port, limit=1000)
    await stuck.wait()
    assert reader._paused
    assert len(reader._buffer) <= 2000 + 8 * 256 * 1024  # one event's worth beyond the limit
    before = written
    while written <= before:
        assert await reader.read(100_000)
    writer.transport.abort()
    await finish(server)


@both_loops
async def test_several_tasks_drain_at_once():
    ready = asyncio.get_running_loop().create_future()

    async def later(reader, writer):
        await ready
        await reader.read()
        writer.close()

    server, port = await serve(later, limit=1000)
    reader, writer = await connect(port)
    while not writer._protocol._paused:
        writer.write(b"x" * 100_000)
    drains = [asyncio.ensure_future(writer.drain()) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert not any(drain.done() for drain in drains)
    drains.pop().cancel()
    ready.set_result(None)
    await asyncio.gather(*drains)
    writer.write_eof()
    await finish(server, writer)


@both_loops
async def test_a_connection_that_is_lost_wakes_everybody():
    async def stay(reader, writer):
        await reader.read()

    server, port = await serve(stay, limit=1000)
    reader, writer = await connect(port)
    while not writer._protocol._paused:
        writer.write(b"x" * 100_000)
    waits = [writer.drain(), writer.drain(), reader.read(), writer.wait_closed(), writer.wait_closed()]
    waits = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waits[4].cancel()  # one who stops waiting for the end stops nobody else
    writer.transport.abort()
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert results[:4] == [None, None, b"", None]
    assert isinstance(results[4], asyncio.CancelledError)
    with pytest.raises(ConnectionResetError):
        await writer.drain()
    await writer.wait_closed()
    server.close()


@both_loops
async def test_a_reset_is_raised_from_read_drain_and_wait_closed():
    async def reset(reader, writer):
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server, port = await serve(reset)
    reader, writer = await connect(port)
    writer.write(b"x")
    with pytest.raises(ConnectionResetError):
        await reader.read(10)
    with pytest.raises(ConnectionResetError):
        await writer.drain()
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()
    await finish(server)


@both_loops
async def test_writing_in_a_loop_ends_when_the_peer_has_gone():
    async def leave(reader, writer):
        writer.close()

    server, port = await serve(leave)
    reader, writer = await connect(port)
    with pytest.raises(ConnectionError):
        while True:
            writer.write(b"x" * 100)
            await writer.drain()
    await finish(server)


@both_loops
async def test_drain_on_a_closing_connection_lets_it_be_lost():
    server, port = await serve(echo)
    reader, writer = await connect(port)
    writer.close()
    with pytest.raises(ConnectionResetError):
        writer.write(b"x")
        await writer.drain()
    await finish(server)


@both_loops
async def test_what_a_handler_raises_is_reported_and_ends_the_connection():
    async def fail(reader, writer):
        await reader.read(1)
        raise ZeroDivisionError("told")

    def fail_at_once(reader, writer):
        raise ZeroDivisionError("told")

    for handler in (fail, fail_at_once):
        with reports() as found:
            server, port = await serve(handler)
            reader, writer = await connect(port)
            writer.write(b"x")
            try:
                assert await reader.read() == b""
            except ConnectionResetError:
                pass  # it did not read what was sent
            assert [context["message"] for context in found] == ["Unhandled exception in client_connected_cb"]
            assert isinstance(found[0]["exception"], ZeroDivisionError)
            writer.close()
            await finish(server)


@both_loops
async def test_a_cancelled_handler_ends_the_connection_in_silence():
    tasks = []

    async def wait(reader, writer):
        tasks.append(asyncio.current_task())
        await reader.read()

    with reports() as found:
        server, port = await serve(wait)
        reader, writer = await connect(port)
        await until(lambda: tasks)
        tasks[0].cancel()
        assert await reader.read() == b""
        await finish(server, writer)
        assert found == []


@both_loops
async def test_a_plain_callback_gets_the_pair():
    pairs = asyncio.Queue()
    server, port = await serve(lambda reader, writer: pairs.put_nowait((reader, writer)))
    reader, writer = await connect(port)
    ours, theirs = await pairs.get()
    theirs.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    theirs.close()
    await finish(server, writer)


@both_loops
async def test_a_writer_that_nobody_holds_warns_and_closes():
    server, port = await serve(echo)
    reader, writer = await connect(port)
    with pytest.warns(ResourceWarning, match="unclosed <StreamWriter"):
        del writer
        gc.collect()
    assert await reader.read() == b""
    await finish(server)


def test_a_writer_that_outlives_its_loop_warns():
    async def main():
        server, port = await serve(echo)
        pair = await connect(port)
        server.close()
        return pair

    loop = clearloop.new_event_loop()
    pair = loop.run_until_complete(main())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop.close()
    with pytest.warns(ResourceWarning, match="loop is closed"):
        del pair
        gc.collect()


@both_loops
async def test_writing_is_refused_after_write_eof():
    server, port = await serve(echo)
    reader, writer = await connect(port)
    writer.write_eof()
    with pytest.raises(RuntimeError):
        writer.write(b"late")
    with pytest.raises(TypeError):
        writer.write("text")
    await finish(server, writer)


@both_loops
async def test_start_tls_goes_to_the_loop():
    server, port = await serve(echo)
    reader, writer = await connect(port)
    asked = []

    async def start_tls(transport, protocol, context, **options):
        asked.append((transport, protocol, context, options["server_side"], options["server_hostname"]))
        return transport

    asyncio.get_running_loop().start_tls = start_tls
    await writer.start_tls("context", server_hostname="host")
    del asyncio.get_running_loop().start_tls
    assert asked == [(writer.transport, writer._protocol, "context", False, "host")]
    await finish(server, writer)


def test_what_one_step_writes_leaves_as_one():
    """Echo by streams costs one recv and one send, like a protocol's."""

    async def main():
        reader = streams.StreamReader()
        transport, protocol, peer = await packets(lambda: streams.StreamReaderProtocol(reader))
        writer = streams.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        for word in (b"head ", b"body ", b"tail"):
            writer.write(word)
            await writer.drain()
        assert transport.get_write_buffer_size() == 14
        await asyncio.sleep(0)
        assert peer.recv(100) == b"head body tail"
        writer.close()
        await writer.wait_closed()
        peer.close()

    run(main())


def test_a_writer_over_a_protocol_of_asyncio():
    """As programs write to pipes: a StreamWriter over asyncio's FlowControlMixin."""

    async def main():
        server, port = await serve(echo)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(asyncio.streams.FlowControlMixin, "127.0.0.1", port)
        writer = streams.StreamWriter(transport, protocol, None, loop)
        writer.write(b"x")
        await writer.drain()
        writer.close()
        await finish(server)

    run(main())


def test_asyncios_streams_on_our_loop_with_our_reader_in_between():
    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await connect(server.sockets[0].getsockname()[1])
        writer.write(b"line\n")
        assert await reader.readline() == b"line\n"
        await finish(server, writer)

    run(main())


def test_debug_mode():
    async def main():
        server, port = await serve(echo, limit=1000)
        reader, writer = await connect(port, limit=1000)
        assert reader._source_traceback
        data = os.urandom(1_000_000)
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        await finish(server, writer)

    with asyncio.Runner(loop_factory=clearloop.new_event_loop, debug=True) as runner:
        runner.run(asyncio.wait_for(main(), 20))


def test_collecting_garbage_all_the_time():
    async def main():
        server, port = await serve(echo)
        pairs = [await connect(port) for _ in range(10)]
        gc.set_threshold(1)
        try:
            for number in range(20):
                for _, writer in pairs:
                    writer.write(b"%d\n" % number)
                assert [await reader.readline() for reader, _ in pairs] == [b"%d\n" % number] * 10
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await pairs[0][0].readexactly(5)
        finally:
            gc.set_threshold(*default)
        for _, writer in pairs:
            writer.close()
            await writer.wait_closed()
        await finish(server)

    default = gc.get_threshold()
    run(main())


def test_nothing_of_a_connection_is_left():
    """Readers, writers and protocols go when their connection has gone, without help from the garbage collector."""

    kinds = (streams.StreamReader, streams.StreamWriter, streams.StreamReaderProtocol)

    def alive():
        return {id(thing) for thing in gc.get_objects() if type(thing) in kinds}

    async def main(before):
        server, port = await serve(echo)
        for _ in range(3):
            reader, writer = await connect(port)
            writer.write(b"x")
            await reader.read(1)
            writer.close()
            await writer.wait_closed()
        del reader, writer
        await until(lambda: server._connections == 0)
        await asyncio.sleep(0.01)
        left = alive() - before
        await finish(server)
        return left

    gc.collect()
    gc.disable()
    try:
        # what other tests have left behind is theirs
        assert run(main(alive())) == set()
    finally:
        gc.enable()


def test_the_module_stands_for_asyncios():
    assert streams.start_server.__module__ == "clearloop.streams"
    assert streams.FlowControlMixin is asyncio.streams.FlowControlMixin
    with pytest.raises(AttributeError):
        _ = streams.nothing_of_this_name
