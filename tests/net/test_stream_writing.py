"""What is written leaves joined, in order, whole, and never later than the turn that wrote it."""

import asyncio
import contextlib
import contextvars
import logging
import random
import socket
import sys
import threading
import time

import pytest
from stream_tools import Recorder, over, packets, read_all, reports, run, stream, until

import clearloop
from clearloop.net.transport import make_stream


def test_what_one_step_writes_leaves_in_one_system_call():
    async def main():
        transport, _, peer = await packets()
        transport.write(b"header;")
        transport.write(bytearray(b"body;"))
        transport.writelines([b"more;", memoryview(b"and more")])
        with pytest.raises(BlockingIOError):
            peer.recv(100)
        assert transport.get_write_buffer_size() == 25
        await asyncio.sleep(0)
        assert peer.recv(100) == b"header;body;more;and more"
        with pytest.raises(BlockingIOError):
            peer.recv(100)
        assert transport.get_write_buffer_size() == 0
        transport.close()

    run(main())


def test_what_one_turn_writes_leaves_in_one_system_call():
    async def main():
        transport, _, peer = await packets()
        loop = asyncio.get_running_loop()
        loop.call_soon(transport.write, b"one")
        loop.call_soon(lambda: (transport.write(b"two"), transport.write(b"three")))
        await asyncio.sleep(0)  # to the end of that turn
        await asyncio.sleep(0)
        assert peer.recv(100) == b"onetwothree"
        transport.close()

    run(main())


def test_bytes_leave_before_the_next_turn():
    async def main():
        transport, _, peer = await packets()
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: (transport.write(b"x"), loop.call_soon(lambda: seen.append(peer.recv(100)))))
        seen = []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == [b"x"]
        transport.close()

    run(main())


def test_64_transports_with_something_to_send_do_not_wait_for_the_rest_of_the_turn():
    async def main():
        connections = [await packets() for _ in range(128)]
        loop = asyncio.get_running_loop()
        seen = []

        def look():
            with contextlib.suppress(BlockingIOError):
                for _, _, peer in connections:
                    seen.append(peer.recv(100))

        for transport, _, _ in connections:
            loop.call_soon(transport.write, b"x")
        loop.call_soon(look)
        await asyncio.sleep(0)
        assert len(seen) >= 64  # all, unless a tick of the clock has divided them otherwise
        for transport, _, _ in connections:
            transport.close()

    run(main())


def test_a_long_turn_sends_what_was_written_until_then():
    async def main():
        transport, _, peer = await packets()
        loop = asyncio.get_running_loop()
        seen = []
        loop.call_soon(time.sleep, 0.03)  # longer than any tick of the coarse clock
        loop.call_soon(transport.write, b"x")
        loop.call_soon(lambda: seen.append(peer.recv(100)))
        await asyncio.sleep(0)
        assert seen == [b"x"]
        transport.close()

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the coarse clock is a fine one")
def test_a_long_turn_sends_once_a_tick_and_not_after_each_step_behind_the_first():
    # a peer on this machine would be woken for each answer, which costs the sender more than sending
    async def attempt():
        connections = [await packets() for _ in range(20)]
        loop = asyncio.get_running_loop()
        ticks, arrived = [], []

        def tick():
            ticks.append(time.clock_gettime(6))  # CLOCK_MONOTONIC_COARSE, for which Python has no name

        def look():
            for _, _, peer in connections:
                with contextlib.suppress(BlockingIOError):
                    arrived.append(peer.recv(100))

        loop.call_soon(time.sleep, 0.03)
        loop.call_soon(connections[0][0].write, b"first")
        loop.call_soon(tick)
        for transport, _, _ in connections[1:]:
            loop.call_soon(transport.write, b"x")
        loop.call_soon(tick)
        loop.call_soon(look)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_once = list(arrived)
        look()
        assert sorted(arrived) == [b"first"] + [b"x"] * 19
        for transport, _, _ in connections:
            transport.close()
        return at_once if ticks[0] == ticks[1] else None

    async def main():
        for _ in range(100):  # until no tick falls between the steps
            at_once = await attempt()
            if at_once is not None:
                return at_once
        pytest.skip("this machine is too slow for twenty steps between two ticks")

    assert run(main()) == [b"first"]


def test_a_write_outside_of_the_loop_leaves_at_once():
    loop = clearloop.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    transport = make_stream(loop, ours, asyncio.Protocol())
    loop.run_until_complete(asyncio.sleep(0))
    transport.write(b"between two runs")
    assert theirs.recv(100) == b"between two runs"
    transport.close()
    loop.run_until_complete(asyncio.sleep(0))
    assert theirs.recv(100) == b""
    loop.close()
    theirs.close()


def test_a_write_from_another_thread_does_not_wait_for_the_loop_to_wake():
    async def main():
        transport, _, peer = await packets()
        loop = asyncio.get_running_loop()
        peer.setblocking(True)
        peer.settimeout(10)
        got = loop.create_future()

        def other_thread():
            while not loop.is_running():
                pass
            transport.write(b"from a thread")
            answer = peer.recv(100)
            loop.call_soon_threadsafe(got.set_result, answer)

        thread = threading.Thread(target=other_thread)
        thread.start()
        assert await got == b"from a thread"
        thread.join()
        transport.close()

    run(main())


def test_order_and_content_under_back_pressure():
    async def main():
        chance = random.Random(7)
        transport, protocol, peer = await stream(send_buffer=1)
        sent = []

        async def write():
            for number in range(400):
                size = chance.choice((1, 10, 3000, 40_000))
                chunk = bytes([number % 256]) * size
                kind = chance.randrange(4)
                sent.append(chunk)
                if kind == 0:
                    transport.write(bytearray(chunk))
                elif kind == 1:
                    transport.writelines([chunk[:5], chunk[5:]])
                else:
                    transport.write(chunk)
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
            transport.close()

        received, _ = await asyncio.gather(read_all(peer, 5000), write())
        assert received == b"".join(sent)
        assert await protocol.lost is None
        assert "pause" in protocol.calls and protocol.calls[-1] == "lost"
        peer.close()

    run(main())


def test_thousands_of_chunks():
    async def main():
        transport, _, peer = await stream(send_buffer=1)
        chunks = [b"%d," % number for number in range(20_000)]
        for chunk in chunks:
            transport.write(chunk)
        transport.close()
        assert await read_all(peer) == b"".join(chunks)
        peer.close()

    run(main())


@pytest.mark.parametrize("refused_before", [False, True])
def test_a_mutable_buffer_is_a_snapshot(refused_before):
    async def main():
        transport, _, peer = await stream(send_buffer=1)
        first = b""
        if refused_before:
            first = b"x" * 500_000
            transport.write(first)
            assert transport.get_write_buffer_size() > 0
        buffer = bytearray(b"before")
        transport.write(buffer)
        transport.write(memoryview(buffer)[:3])
        transport.writelines([buffer])
        buffer[:] = b"after!"
        transport.close()
        assert await read_all(peer) == first + b"before" + b"bef" + b"before"
        peer.close()

    run(main())


def test_immutable_bytes_are_not_copied():
    async def main():
        transport, _, peer = await stream()
        data = bytes(range(256)) * 3
        before = sys.getrefcount(data)
        transport.write(data)
        assert sys.getrefcount(data) == before + 1
        await asyncio.sleep(0)
        assert sys.getrefcount(data) == before
        assert peer.recv(10_000) == data
        transport.close()
        peer.close()

    run(main())


def test_past_the_high_water_mark_bytes_leave_at_once():
    async def main():
        transport, protocol, peer = await stream()
        transport.write(b"a" * 1000)
        with pytest.raises(BlockingIOError):
            peer.recv(10)
        transport.write(b"b" * 65_000)
        assert peer.recv(1_000_000)[:1001] == b"a" * 1000 + b"b"
        assert "pause" not in protocol.calls
        transport.close()
        peer.close()

    run(main())


def test_pause_and_resume_at_the_water_marks():
    async def main():
        transport, protocol, peer = await stream(send_buffer=1)
        transport.set_write_buffer_limits(high=10_000, low=100)
        assert transport.get_write_buffer_limits() == (100, 10_000)
        while "pause" not in protocol.calls:
            transport.write(b"x" * 3000)
        assert transport.get_write_buffer_size() > 10_000
        assert protocol.calls == ["made", "pause"]
        transport.write(b"x" * 3000)
        assert protocol.calls == ["made", "pause"]  # not a second time
        reader = asyncio.ensure_future(read_all(peer, 1000))
        await until(lambda: "resume" in protocol.calls)
        assert transport.get_write_buffer_size() <= 100
        transport.close()
        await reader
        await protocol.lost
        assert protocol.calls == ["made", "pause", "resume", "lost"]
        peer.close()

    run(main())


def test_a_producer_that_is_paused_and_resumed_sends_everything():
    class Producer(asyncio.Protocol):
        def __init__(self):
            self.left = 3_000_000
            self.going = True
            self.most = 0

        def connection_made(self, transport):
            self.transport = transport
            self.produce()

        def produce(self):
            while self.going and self.left:
                size = min(self.left, 7000)
                self.left -= size
                self.transport.write(b"p" * size)
                self.most = max(self.most, self.transport.get_write_buffer_size())
            if not self.left:
                self.transport.close()

        def pause_writing(self):
            self.going = False

        def resume_writing(self):
            self.going = True
            self.produce()

    async def main():
        _, protocol, peer = await stream(Producer)
        assert len(await read_all(peer)) == 3_000_000
        assert protocol.most <= 512 * 1024 + 7000  # while the kernel takes all that it is offered
        peer.close()

    run(main())


def test_whoever_takes_little_has_the_water_marks_to_the_letter():
    class Producer(Recorder):
        going = True
        most = pauses = 0

        def produce(self):
            while self.going and self.pauses < 20:
                self.transport.write(bytes(7000))
                self.most = max(self.most, self.transport.get_write_buffer_size())

        def pause_writing(self):
            self.going = False
            self.pauses += 1

        def resume_writing(self):
            self.going = True
            self.produce()

    async def main():
        transport, protocol, peer = await stream(Producer, send_buffer=4096)  # holds less than the low-water mark
        protocol.produce()
        assert protocol.pauses == 1
        reading = asyncio.create_task(read_all(peer))
        await until(lambda: protocol.pauses == 20)
        assert protocol.most <= 64 * 1024 + 7000
        transport.close()
        await reading
        peer.close()

    run(main())


def test_what_is_refused_when_the_turn_ends_pauses_the_protocol_in_its_context():
    place = contextvars.ContextVar("place", default="outside")

    class Pausing(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.where = place.get()

    async def main():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        context = contextvars.copy_context()
        context.run(place.set, "inside")
        transport, protocol = await asyncio.create_task(over(ours, Pausing), context=context)
        transport.write(bytes(70_000))  # is taken, so the next time more is offered at once
        assert transport.get_write_buffer_size() == 0
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(bytes(4096), socket.MSG_DONTWAIT)
        transport.write(bytes(100_000))
        assert "pause" not in protocol.calls
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert protocol.calls == ["made", "pause"] and protocol.where == "inside"
        assert transport.get_write_buffer_size() == 100_000
        transport.abort()
        await protocol.lost
        theirs.close()

    run(main())


def test_the_limits_are_checked():
    async def main():
        transport, _, peer = await stream()
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(low=1000)
        assert transport.get_write_buffer_limits() == (1000, 4000)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        for wrong in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}):
            with pytest.raises(ValueError, match="must be >="):
                transport.set_write_buffer_limits(**wrong)
        transport.set_write_buffer_limits(high=0)
        transport.write(b"nothing is held back now")
        assert peer.recv(100) == b"nothing is held back now"
        transport.close()
        peer.close()

    run(main())


def test_limits_may_be_any_number():
    async def main():
        transport, _, peer = await stream()
        endpoint, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        for one in (transport, endpoint):
            one.set_write_buffer_limits(high=1e6)
            assert one.get_write_buffer_limits() == (250_000, 1_000_000)
            one.set_write_buffer_limits(high=float("inf"))  # never paused
            low, high = one.get_write_buffer_limits()
            assert high == sys.maxsize and 0 < low < high
            one.set_write_buffer_limits(high=10**30, low=10.5)
            assert one.get_write_buffer_limits() == (10, sys.maxsize)
            with pytest.raises(ValueError, match="must be >="):
                one.set_write_buffer_limits(high=float("nan"))
            one.close()
        peer.close()

    run(main())


def test_a_write_replaced_on_an_instance_is_called_by_writers():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        reader, writer = await clearloop.open_unix_connection(sock=ours)
        transport = writer.transport
        seen = []
        transport.write = seen.append
        writer.write(b"seen")
        writer.write(bytearray(b"too"))
        assert seen == [b"seen", b"too"]
        del transport.write
        writer.write(b"sent")
        await writer.drain()
        theirs.setblocking(False)
        assert await loop.sock_recv(theirs, 100) == b"sent"
        assert seen == [b"seen", b"too"]
        writer.close()
        await writer.wait_closed()
        theirs.close()

    run(main())


def test_a_pause_writing_that_raises_is_reported_and_ends_nothing():
    class Failing(asyncio.Protocol):
        def pause_writing(self):
            raise ZeroDivisionError

        def resume_writing(self):
            raise KeyError("resume")

    async def main():
        transport, protocol, peer = await stream(Failing, send_buffer=1)
        with reports() as found:
            transport.write(b"x" * 1_000_000)
            transport.write(b"end")
            transport.close()
            assert len(await read_all(peer)) == 1_000_003
        assert [context["message"] for context in found] == [
            "protocol.pause_writing() failed",
            "protocol.resume_writing() failed",
        ]
        assert found[0]["protocol"] is protocol and found[0]["transport"] is transport
        peer.close()

    run(main())


def test_what_cannot_be_written():
    async def main():
        transport, _, peer = await stream()
        for wrong in ("text", 5, None, [b"x"]):
            with pytest.raises(TypeError, match="bytes-like object"):
                transport.write(wrong)
        with pytest.raises(TypeError):
            transport.writelines([b"fine", "text"])
        transport.write(b"")
        transport.writelines([])
        transport.write_eof()
        transport.write_eof()  # a second time changes nothing
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"x")
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.writelines([b"x"])
        assert transport.can_write_eof()
        await asyncio.sleep(0)
        assert peer.recv(100) == b"fine"
        assert peer.recv(100) == b""
        transport.close()
        peer.close()

    run(main())


def test_write_eof_waits_for_what_is_queued():
    async def main():
        transport, protocol, peer = await stream(send_buffer=1)
        transport.write(b"x" * 1_000_000)
        transport.write_eof()
        assert transport.get_write_buffer_size() > 0
        assert len(await read_all(peer)) == 1_000_000
        assert not transport.is_closing()
        peer.send(b"and the other way is still open")
        await until(lambda: protocol.data)
        transport.close()
        peer.close()

    run(main())


def test_writes_to_a_lost_connection_are_dropped_and_warned_about(caplog):
    async def main():
        transport, protocol, peer = await stream()
        peer.close()
        transport.abort()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(5):
                transport.write(b"x")
            assert caplog.messages == []
            transport.write(b"x")
            transport.writelines([b"x"])
            assert caplog.messages == ["socket.send() raised exception."] * 2
        assert await protocol.lost is None
        assert transport.get_write_buffer_size() == 0

    run(main())


def test_a_peer_that_is_gone_ends_the_connection_with_its_error():
    async def main():
        transport, protocol, peer = await stream()
        transport.pause_reading()
        peer.close()
        transport.write(b"x")
        assert isinstance(await protocol.lost, BrokenPipeError)
        assert protocol.calls == ["made", "lost"]

    run(main())


def test_bytes_subclasses_and_other_buffers():
    class Name(bytes):
        pass

    async def main():
        transport, _, peer = await stream()
        transport.write(Name(b"subclass "))
        transport.write(memoryview(bytearray(b"every second"))[::2])
        transport.writelines(iter([memoryview(b" ints").cast("B"), Name(b".")]))
        await asyncio.sleep(0)
        assert peer.recv(100) == b"subclass eeyscn ints."
        transport.close()
        peer.close()

    run(main())
