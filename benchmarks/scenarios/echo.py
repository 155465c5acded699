"""Echo servers, 1 KiB at a time, in each of the ways asyncio offers to write one.

Each answers what it read at once, as a user would write it.  The load comes from a C client in another
process; what counts is this process's CPU time per request.
"""

import asyncio
import socket

from catalog import SERVER, Goal, Scenario

BACKLOG = 1024
READ = 65536


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def __init__(self):
        self.view = memoryview(bytearray(READ))

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        return self.view

    def buffer_updated(self, nbytes):
        # the buffer is read into again at once, and not every loop copies what it has to queue
        self.transport.write(bytes(self.view[:nbytes]))


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def protocol(bench):
    return await bench.loop.create_server(Echo, "127.0.0.1", 0, backlog=BACKLOG)


async def buffered(bench):
    return await bench.loop.create_server(BufferedEcho, "127.0.0.1", 0, backlog=BACKLOG)


async def unix(bench):
    return await bench.loop.create_unix_server(Echo, bench.path, backlog=BACKLOG)


async def udp(bench):
    transport, _ = await bench.loop.create_datagram_endpoint(DatagramEcho, local_addr=("127.0.0.1", 0))
    bench.keep = transport
    return transport.get_extra_info("sockname")[1]


async def echo_stream(reader, writer):
    try:
        while data := await reader.read(READ):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def streams(bench):
    return await bench.api.start_server(echo_stream, "127.0.0.1", 0, backlog=BACKLOG)


async def sockets(bench):
    loop = bench.loop
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setblocking(False)

    async def serve(connection):
        with connection:
            try:
                while data := await loop.sock_recv(connection, READ):
                    await loop.sock_sendall(connection, data)
            except ConnectionError:
                pass

    async def accept():
        tasks = set()
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = loop.create_task(serve(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    bench.keep = loop.create_task(accept())
    return listener


def _rows(name, body, goals, api="own"):
    """The row at 1, 64 and 512 connections; where no goal of its own stands, no peer may be faster."""
    for connections in (1, 64, 512):
        goal = goals.get(connections, Goal())
        plural = "s" if connections > 1 else ""
        yield Scenario(
            f"{name}, {connections} connection{plural}",
            SERVER,
            body,
            goal,
            api=api,
            load="tcp",
            connections=connections,
        )


SCENARIOS = [
    *_rows("Protocol echo", protocol, {64: Goal(1.08, "floor"), 512: Goal(1.15, "floor")}),
    *_rows("BufferedProtocol echo", buffered, {}),
    *_rows(
        "streams echo, clearloop.start_server", streams, {64: Goal(1.3, "floor"), 512: Goal(1.3, "floor")}
    ),
    *_rows("streams echo, asyncio.start_server", streams, {64: Goal(1.05), 512: Goal(1.05)}, api="asyncio"),
    *_rows("sock_* echo", sockets, {64: Goal(1.3, "floor"), 512: Goal(1.3, "floor")}),
    Scenario("UNIX echo, 64 connections", SERVER, unix, load="unix", connections=64),
    Scenario("UDP echo, 64 senders", SERVER, udp, load="udp", connections=64),
]
