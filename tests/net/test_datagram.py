"""Datagram endpoints: what arrives, in which order, from whom, and what errors come to."""

import asyncio
import contextvars
import gc
import socket

import pytest
from socket_tools import on_loop, turns, udp_socket, unused_port

from descriptors import open_descriptors, opened_since


class Recorder(asyncio.DatagramProtocol):
    """Keeps all calls; `until` waits for a number of datagrams or errors."""

    def __init__(self):
        self.calls = []
        self.received = []
        self.errors = []
        self.changed = asyncio.Event()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def datagram_received(self, data, addr):
        assert type(data) is bytes
        self.received.append((data, addr))
        self.changed.set()

    def error_received(self, exc):
        self.errors.append(exc)
        self.changed.set()

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")
        self.changed.set()

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Echo(Recorder):
    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def endpoints(loop, host="127.0.0.1", server=Echo, client=Recorder):
    """(server transport, its protocol, connected client transport, its protocol)"""
    listening, answering = await loop.create_datagram_endpoint(server, local_addr=(host, 0))
    address = listening.get_extra_info("sockname")
    transport, protocol = await loop.create_datagram_endpoint(client, remote_addr=address[:2])
    return listening, answering, transport, protocol


async def end(*transports):
    for transport in transports:
        transport.close()
        await transport.get_protocol().lost


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@on_loop
async def test_datagrams_go_there_and_back_in_order(loop, host):
    listening, _, transport, protocol = await endpoints(loop, host)
    sent = [b"%d" % number for number in range(100)]
    for data in sent:
        transport.sendto(data)
    await protocol.until(lambda: len(protocol.received) == 100)
    assert [data for data, _ in protocol.received] == sent
    assert {addr for _, addr in protocol.received} == {listening.get_extra_info("sockname")}
    assert protocol.calls == ["made"]
    await end(listening, transport)


@on_loop
async def test_an_empty_datagram_is_one(loop):
    listening, _, transport, protocol = await endpoints(loop)
    for data in (b"", b"x", b""):
        transport.sendto(data)
    await protocol.until(lambda: len(protocol.received) == 3)
    assert [data for data, _ in protocol.received] == [b"", b"x", b""]
    await end(listening, transport)


@on_loop
async def test_more_than_one_inbox_arrives_before_the_loop_looks(loop):
    transport, protocol = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
    with udp_socket() as sender:
        for number in range(100):
            sender.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        await protocol.until(lambda: len(protocol.received) == 100)
        assert protocol.received == [(b"%d" % number, sender.getsockname()) for number in range(100)]
    await end(transport)


@pytest.mark.parametrize("size", [1, 1472, 9000, 65_507])
@on_loop
async def test_any_size_that_udp_knows(loop, size):
    listening, _, transport, protocol = await endpoints(loop)
    data = bytes(index * 7 % 256 for index in range(size))
    transport.sendto(data)
    await protocol.until(lambda: protocol.received)
    assert protocol.received[0][0] == data
    await end(listening, transport)


@on_loop
async def test_a_datagram_that_is_too_long_is_an_error_and_nothing_else(loop):
    listening, _, transport, protocol = await endpoints(loop)
    transport.sendto(bytes(65_508))
    assert [type(error) for error in protocol.errors] == [OSError]
    transport.sendto(b"still alive")
    await protocol.until(lambda: protocol.received)
    await end(listening, transport)


@on_loop
async def test_buffers_of_all_kinds_are_sent_and_others_refused(loop):
    listening, _, transport, protocol = await endpoints(loop)
    for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")):
        transport.sendto(data)
    for wrong in ("text", 7, None, [b"x"]):
        with pytest.raises(TypeError, match="bytes-like"):
            transport.sendto(wrong)
    await protocol.until(lambda: len(protocol.received) == 3)
    assert [data for data, _ in protocol.received] == [b"bytes", b"bytearray", b"memoryview"]
    await end(listening, transport)


@on_loop
async def test_many_peers_each_get_their_own_answer(loop):
    listening, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    peers = [udp_socket() for _ in range(200)]
    for round_ in range(3):
        for number, peer in enumerate(peers):
            await loop.sock_sendto(peer, b"%d/%d" % (round_, number), listening.get_extra_info("sockname"))
        for number, peer in enumerate(peers):
            data, sender = await loop.sock_recvfrom(peer, 100)
            assert (data, sender) == (b"%d/%d" % (round_, number), listening.get_extra_info("sockname"))
    for peer in peers:
        peer.close()
    await end(listening)


@on_loop
async def test_a_refusal_is_reported_and_ends_nothing(loop):
    transport, protocol = await loop.create_datagram_endpoint(
        Recorder, remote_addr=("127.0.0.1", unused_port(socket.SOCK_DGRAM))
    )
    transport.sendto(b"anybody there?")
    await protocol.until(lambda: protocol.errors)
    assert isinstance(protocol.errors[0], ConnectionRefusedError)
    assert not transport.is_closing()
    await end(transport)
    assert protocol.calls == ["made", "lost"]
    assert protocol.lost.result() is None


@on_loop
async def test_a_remote_address_is_the_only_one(loop):
    listening, _, transport, protocol = await endpoints(loop)
    address = transport.get_extra_info("peername")
    transport.sendto(b"named", address)
    with pytest.raises(ValueError, match="Invalid address"):
        transport.sendto(b"elsewhere", ("127.0.0.1", 1))
    await protocol.until(lambda: protocol.received)
    assert protocol.received == [(b"named", address)]
    await end(listening, transport)


@on_loop
async def test_without_an_address_on_an_unconnected_endpoint_is_fatal(loop):
    complaints = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    transport, protocol = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
    transport.sendto(b"to nobody")
    assert isinstance(await protocol.lost, TypeError)
    assert [context["message"] for context in complaints] == ["Fatal write error on datagram transport"]
    assert transport.is_closing()


@on_loop
async def test_names_are_accepted_where_the_socket_accepts_them(loop):
    listening, answering = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
    port = listening.get_extra_info("sockname")[1]
    transport, _ = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
    for host in ("127.0.0.1", "localhost", "127.1"):
        transport.sendto(host.encode(), (host, port))
    await answering.until(lambda: len(answering.received) == 3)
    assert [data for data, _ in answering.received] == [b"127.0.0.1", b"localhost", b"127.1"]
    await end(listening, transport)


@on_loop
async def test_a_callback_that_raises_is_reported_and_the_rest_goes_on(loop):
    complaints = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))

    class Fussy(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"1":
                raise ZeroDivisionError

    listening, fussy = await loop.create_datagram_endpoint(Fussy, local_addr=("127.0.0.1", 0))
    with udp_socket() as sender:
        for number in range(4):
            sender.sendto(b"%d" % number, listening.get_extra_info("sockname"))
        await fussy.until(lambda: len(fussy.received) == 4)
    assert [type(context["exception"]) for context in complaints] == [ZeroDivisionError]
    assert complaints[0]["transport"] is listening
    assert not listening.is_closing()
    await end(listening)


def test_a_callback_that_ends_the_loop_loses_no_datagram():
    import clearloop

    class Ending(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data in (b"1", b"3"):
                raise SystemExit(7)

    loop = clearloop.new_event_loop()

    async def start():
        return await loop.create_datagram_endpoint(Ending, local_addr=("127.0.0.1", 0))

    transport, protocol = loop.run_until_complete(start())
    with udp_socket() as sender:
        for number in range(6):
            sender.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        for expected in (2, 4):
            with pytest.raises(SystemExit):
                loop.run_until_complete(protocol.lost)
            assert len(protocol.received) == expected

        async def rest():
            await protocol.until(lambda: len(protocol.received) == 6)
            await end(transport)

        loop.run_until_complete(rest())
    assert [data for data, _ in protocol.received] == [b"%d" % number for number in range(6)]
    loop.close()


@on_loop
async def test_callbacks_run_in_the_context_that_the_endpoint_was_made_in(loop):
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Looking(Recorder):
        def connection_made(self, transport):
            seen.append(("made", variable.get()))
            super().connection_made(transport)

        def datagram_received(self, data, addr):
            seen.append(("received", variable.get()))
            super().datagram_received(data, addr)

        def connection_lost(self, exc):
            seen.append(("lost", variable.get()))
            super().connection_lost(exc)

    variable.set("made here")
    transport, protocol = await loop.create_datagram_endpoint(Looking, local_addr=("127.0.0.1", 0))
    variable.set("later")
    with udp_socket() as sender:
        sender.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.until(lambda: protocol.received)
    await end(transport)
    assert seen == [("made", "made here"), ("received", "made here"), ("lost", "made here")]


@on_loop
async def test_closing_in_the_middle_of_what_has_arrived(loop):
    class Once(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.close()

    transport, protocol = await loop.create_datagram_endpoint(Once, local_addr=("127.0.0.1", 0))
    with udp_socket() as sender:
        for _ in range(5):
            sender.sendto(b"x", transport.get_extra_info("sockname"))
        assert await protocol.lost is None
    assert len(protocol.received) == 1
    assert transport.is_closing()


@on_loop
async def test_a_protocol_that_is_exchanged_gets_what_comes_next(loop):
    transport, first = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
    second = Recorder()
    assert transport.get_protocol() is first
    transport.set_protocol(second)
    assert transport.get_protocol() is second
    with udp_socket() as sender:
        sender.sendto(b"x", transport.get_extra_info("sockname"))
        await second.until(lambda: second.received)
    transport.close()
    await second.lost
    assert first.received == []


@on_loop
async def test_after_closing_nothing_is_sent_and_nothing_breaks(loop):
    listening, _, transport, protocol = await endpoints(loop)
    transport.close()
    transport.close()
    transport.sendto(b"too late")
    await protocol.lost
    transport.sendto(b"much too late")
    transport.abort()
    transport.close()
    await turns()
    assert protocol.calls == ["made", "lost"]
    assert "closed" in repr(transport)
    await end(listening)


@on_loop
async def test_an_endpoint_is_what_asyncio_says_it_is(loop):
    listening, _, transport, protocol = await endpoints(loop)
    assert isinstance(transport, asyncio.DatagramTransport)
    assert transport.get_extra_info("peername") == listening.get_extra_info("sockname")
    assert listening.get_extra_info("peername") is None
    assert transport.get_extra_info("socket").type == socket.SOCK_DGRAM
    assert transport.get_extra_info("nothing", "default") == "default"
    assert transport.get_protocol() is protocol
    with pytest.raises(RuntimeError, match="is used by transport"):
        loop.add_reader(transport.get_extra_info("socket").fileno(), print)
    await end(listening, transport)


@on_loop
async def test_an_endpoint_that_is_dropped_says_so(loop):
    transport, _protocol = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        transport.__del__()
    await turns()


@on_loop
async def test_with_the_collector_at_every_allocation(loop):
    listening, _, transport, protocol = await endpoints(loop)
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(50):
            transport.sendto(b"%d" % number)
        await protocol.until(lambda: len(protocol.received) == 50)
    finally:
        gc.set_threshold(*before)
    await end(listening, transport)


@on_loop
async def test_no_descriptor_is_left_behind(loop):
    before = open_descriptors()
    for _ in range(10):
        listening, _, transport, protocol = await endpoints(loop)
        transport.sendto(b"x")
        await protocol.until(lambda protocol=protocol: protocol.received)
        transport.abort()
        await protocol.lost
        await end(listening)
    assert opened_since(before) == set()
