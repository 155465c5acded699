"""How connections end: connection_lost comes exactly once, and nothing after it."""

import asyncio
import gc
import os
import socket
import struct
import warnings

import pytest
from stream_tools import Recorder, is_closed_by_peer, over, read_all, reports, run, stream, tcp_pair, until

import clearloop
from descriptors import far_away


def reset(sock):
    """Close with a reset instead of an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_the_peer_ends_and_so_do_we():
    async def main():
        transport, protocol, peer = await stream()
        peer.close()
        assert await protocol.lost is None
        assert protocol.calls == ["made", "eof", "lost"]
        assert transport.is_closing()

    run(main())


def test_half_closed_connections_can_still_be_written_to():
    async def main():
        transport, protocol, peer = await stream()
        protocol.keep_open = True
        peer.shutdown(socket.SHUT_WR)
        await protocol.ended
        assert not transport.is_closing()
        transport.write(b"still here")
        await asyncio.sleep(0)
        assert peer.recv(100) == b"still here"
        transport.pause_reading()
        transport.resume_reading()  # there is nothing to read any more
        await asyncio.sleep(0.01)
        assert protocol.calls == ["made", "eof"]
        transport.close()
        assert await protocol.lost is None
        assert peer.recv(100) == b""
        peer.close()

    run(main())


def test_a_half_closed_connection_does_not_keep_the_loop_busy():
    async def main():
        ours, theirs = tcp_pair()
        transport, protocol = await over(ours)
        protocol.keep_open = True
        loop = asyncio.get_running_loop()
        theirs.close()
        await protocol.ended
        before = loop._step_count()
        await asyncio.sleep(0.01)
        assert loop._step_count() - before < 10
        transport.close()
        await protocol.lost

    run(main())


def test_close_sends_what_is_queued():
    async def main():
        transport, protocol, peer = await stream(send_buffer=1)
        transport.write(b"x" * 500_000)
        transport.write(b"the end")
        transport.close()
        transport.close()
        assert transport.is_closing()
        data = await read_all(peer)
        assert len(data) == 500_007 and data.endswith(b"the end")
        assert await protocol.lost is None
        assert protocol.calls[0] == "made" and protocol.calls.count("lost") == 1
        peer.close()

    run(main())


def test_what_is_written_and_closed_in_one_callback_arrives():
    async def main():
        transport, protocol, peer = await stream()
        transport.write(b"bye")
        transport.close()
        await protocol.lost
        assert peer.recv(100) == b"bye"
        assert peer.recv(100) == b""
        peer.close()

    run(main())


def test_abort_drops_what_is_queued():
    async def main():
        transport, protocol, peer = await stream(send_buffer=1)
        transport.write(b"x" * 500_000)
        queued = transport.get_write_buffer_size()
        assert queued > 0
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        assert len(await read_all(peer)) == 500_000 - queued
        peer.close()

    run(main())


def test_abort_after_close_does_not_wait_for_a_peer_that_never_reads():
    async def main():
        transport, protocol, peer = await stream(send_buffer=1)
        transport.write(b"x" * 500_000)
        transport.close()
        await asyncio.sleep(0.01)
        assert not protocol.lost.done()
        transport.abort()
        transport.abort()
        assert await protocol.lost is None
        assert protocol.calls.count("lost") == 1
        peer.close()

    run(main())


def test_a_reset_is_an_error():
    async def main():
        ours, theirs = tcp_pair()
        transport, protocol = await over(ours)
        reset(theirs)
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert protocol.calls == ["made", "lost"]

    run(main())


def test_a_reset_while_bytes_are_queued():
    async def main():
        ours, theirs = tcp_pair()
        transport, protocol = await over(ours)
        transport.write(b"x" * 10_000_000)
        assert transport.get_write_buffer_size() > 0
        reset(theirs)
        assert isinstance(await protocol.lost, (ConnectionResetError, BrokenPipeError))
        assert transport.get_write_buffer_size() == 0
        assert protocol.calls.count("lost") == 1

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "pause_writing"])
def test_ending_it_inside_of_each_callback(method, end):
    class Ending(Recorder):
        pass

    def ending(self, *arguments):
        result = getattr(Recorder, method)(self, *arguments)
        getattr(self.transport, end)()
        return result

    setattr(Ending, method, ending)

    async def main():
        transport, protocol, peer = await stream(Ending, send_buffer=1)
        if method == "pause_writing":
            transport.write(b"x" * 500_000)
        elif method == "eof_received":
            peer.shutdown(socket.SHUT_WR)
        elif method == "data_received":
            peer.send(b"x")
        received = asyncio.ensure_future(read_all(peer))
        assert await protocol.lost is None
        await received
        assert protocol.calls.count("lost") == 1 and protocol.calls[-1] == "lost"
        peer.close()

    run(main())


def test_nothing_is_called_after_connection_lost():
    class Stubborn(Recorder):
        def connection_lost(self, error):
            super().connection_lost(error)
            self.transport.write(b"x")
            self.transport.pause_reading()
            self.transport.resume_reading()
            self.transport.set_write_buffer_limits(high=0)
            self.transport.close()
            self.transport.abort()

    async def main():
        transport, protocol, peer = await stream(Stubborn)
        peer.send(b"unread")
        transport.close()
        await protocol.lost
        peer.close()
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.calls == ["made", "lost"]
        transport.write(b"x")
        transport.close()
        transport.abort()
        transport.resume_reading()
        assert transport.get_protocol() is None
        assert "closed" in repr(transport)

    run(main())


def test_events_that_come_together_with_the_end():
    async def main():
        one, first, peer_of_one = await stream()
        two, second, peer_of_two = await stream()
        # both become ready in one poll, and each callback ends the other's connection
        first.data_received = lambda data: two.abort()
        second.data_received = lambda data: one.abort()
        peer_of_one.send(b"x")
        peer_of_two.send(b"x")
        await until(lambda: first.lost.done() or second.lost.done())
        one.abort()
        two.abort()
        await first.lost
        await second.lost
        peer_of_one.close()
        peer_of_two.close()

    run(main())


@pytest.mark.parametrize("method", ["connection_made", "connection_lost"])
def test_a_first_or_last_callback_that_raises_is_reported(method):
    async def main():
        class Failing(Recorder):
            pass

        def failing(self, *arguments):
            getattr(Recorder, method)(self, *arguments)
            raise ZeroDivisionError

        setattr(Failing, method, failing)
        with reports() as found:
            transport, protocol, peer = await stream(Failing)
            fd = transport.get_extra_info("socket").fileno()
            transport.close()
            await protocol.lost
            await asyncio.sleep(0)
        assert [type(context["exception"]) for context in found] == [ZeroDivisionError]
        assert peer.recv(10) == b""
        assert asyncio.get_running_loop()._transports.get(fd) is None
        peer.close()

    run(main())


def test_an_eof_received_that_raises_is_reported_and_ends_it():
    async def main():
        transport, protocol, peer = await stream()

        def fail():
            raise ZeroDivisionError

        protocol.eof_received = fail
        with reports() as found:
            peer.close()
            assert isinstance(await protocol.lost, ZeroDivisionError)
        assert found[0]["message"] == "Fatal error: protocol.eof_received() call failed."

    run(main())


def test_a_descriptor_closed_under_its_feet():
    async def main():
        transport, protocol, peer = await stream()
        transport.write(b"x")
        os.close(transport._sock.detach())
        await asyncio.sleep(0)
        transport.write(b"y")
        assert isinstance(await protocol.lost, OSError)
        peer.close()

    run(main())


def test_a_descriptor_closed_and_given_to_somebody_else():
    async def main():
        one, peer = socket.socketpair()
        transport, protocol = await over(far_away(one))
        fd = transport._sock.detach()
        os.close(fd)
        other, far = socket.socketpair()
        other = far_away(other)
        assert other.fileno() == fd
        far.send(b"for the other")
        await asyncio.sleep(0.01)
        assert protocol.data == b""
        transport.abort()
        await protocol.lost
        assert other.recv(100) == b"for the other"
        for sock in (other, far, peer):
            sock.close()

    run(main())


def test_an_unclosed_transport_warns_and_closes_its_socket():
    async def main():
        transport, protocol, peer = await stream(asyncio.Protocol)
        transport.pause_reading()
        peer.send(b"x")
        await asyncio.sleep(0.01)  # paused, and the poller has let go of it
        del protocol
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            del transport
            gc.collect()
        assert is_closed_by_peer(peer)
        peer.close()

    run(main())


def test_transports_of_a_closed_loop():
    loop = clearloop.new_event_loop()

    async def main():
        return await stream()

    transport, protocol, peer = loop.run_until_complete(main())
    loop.close()
    assert "StreamTransport" in repr(transport)
    with pytest.raises(RuntimeError, match="closed"):
        transport.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport, protocol
        gc.collect()
    assert any("unclosed transport" in str(warning.message) for warning in caught)
    peer.close()


def test_a_transport_is_asyncios():
    async def main():
        transport, protocol, peer = await stream()
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.ReadTransport) and isinstance(transport, asyncio.WriteTransport)
        assert not isinstance(transport, asyncio.DatagramTransport)
        assert transport._loop is asyncio.get_running_loop() and transport._protocol is protocol
        transport.note = "loops and transports take attributes"
        assert "read=polling" in repr(transport) and "bufsize=0" in repr(transport)
        transport.pause_reading()
        assert "read=idle" in repr(transport)
        transport.close()
        assert "closing" in repr(transport)
        await protocol.lost
        peer.close()

    run(main())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_a_transport_says_about_its_socket(address):
    async def main():
        loop = asyncio.get_running_loop()
        made = loop.create_future()

        class Accepted(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                made.set_result(self)

        try:
            server = await loop.create_server(Accepted, address, 0)
        except OSError:
            pytest.skip(f"no {address} here")
        transport, protocol = await loop.create_connection(Recorder, address, server.sockets[0].getsockname()[1])
        accepted = await made
        for one, other in ((transport, accepted.transport), (accepted.transport, transport)):
            sock = one.get_extra_info("socket")
            assert sock is one.get_extra_info("socket")
            assert one.get_extra_info("sockname") == sock.getsockname() == other.get_extra_info("peername")
            assert one.get_extra_info("peername") == sock.getpeername()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.gettimeout() == 0
            assert sock.type == socket.SOCK_STREAM and sock.proto in (0, socket.IPPROTO_TCP)
            assert one.get_extra_info("nothing") is None and one.get_extra_info("nothing", 5) == 5
            assert set(one._extra) >= {"socket", "sockname", "peername"}
        names = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        transport.close()
        await protocol.lost
        await accepted.lost
        assert (accepted.transport.get_extra_info("peername"), accepted.transport.get_extra_info("sockname")) == names
        assert accepted.transport.get_extra_info("socket").fileno() == -1
        server.close()
        await server.wait_closed()

    run(main())


def test_names_are_known_after_the_end_even_when_nobody_asked_before():
    async def main():
        ours, theirs = tcp_pair()
        names = ours.getsockname(), ours.getpeername()
        transport, protocol = await over(ours)
        theirs.close()
        await protocol.lost
        assert (transport.get_extra_info("sockname"), transport.get_extra_info("peername")) == names

    run(main())


def test_a_transports_descriptor_cannot_be_watched_by_others():
    async def main():
        transport, protocol, peer = await stream()
        loop = asyncio.get_running_loop()
        sock = transport.get_extra_info("socket")
        for paused in (False, True):
            if paused:
                transport.pause_reading()
                peer.send(b"x")
                await asyncio.sleep(0.01)
            for watch in (loop.add_reader, loop.add_writer):
                with pytest.raises(RuntimeError, match="is used by transport"):
                    watch(sock.fileno(), print)
            for forget in (loop.remove_reader, loop.remove_writer):
                with pytest.raises(RuntimeError, match="is used by transport"):
                    forget(sock)
        transport.close()
        await protocol.lost
        peer.close()

    run(main())
