"""From a name to a connection: addresses in turn or in a race, errors, cancelling, and no descriptor lost."""

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import sys
import warnings

import pytest
from stream_tools import Recorder, run, until

from clearloop.system.poller import HAS_EPOLL
from descriptors import open_descriptors, opened_since


@contextlib.contextmanager
def listening(host="127.0.0.1", port=0, backlog=100):
    with socket.create_server((host, port), backlog=backlog) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def full_backlog():
    """A listener that has no place for another connection: a further one stays on its way."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        while True:
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            waiting.append(client)
            if not select.select([], [client], [], 0.1)[1]:
                break
        try:
            yield listener
        finally:
            for client in waiting:
                client.close()


@contextlib.contextmanager
def silent():
    """A port whose listener's queue is full, so that connecting takes for ever."""
    with full_backlog() as listener:
        yield listener.getsockname()[1]


def refused_port():
    with listening() as port:
        return port


def answers(*rows):
    """A loop.getaddrinfo that gives these (host, port) pairs."""

    async def getaddrinfo(host, port, *, family=0, type=0, proto=0, flags=0):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", row) for row in rows]

    return getaddrinfo


def test_a_replaced_getaddrinfo_is_obeyed_and_addresses_are_tried_in_turn():
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as port:
            loop.getaddrinfo = answers(("127.0.0.1", refused_port()), ("127.0.0.1", port))
            transport, protocol = await loop.create_connection(Recorder, "a.name", 1)
            assert transport.get_extra_info("peername") == ("127.0.0.1", port)
            transport.close()
            await protocol.lost

    run(main())


def test_a_replaced_create_future_is_obeyed():
    async def main():
        loop = asyncio.get_running_loop()
        made = []

        def create_future():
            future = asyncio.Future(loop=loop)
            made.append(future)
            return future

        loop.create_future = create_future
        with listening() as port:
            transport, protocol = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        assert made
        transport.close()
        await asyncio.sleep(0)

    run(main())


def test_errors_say_what_went_wrong():
    async def main():
        loop = asyncio.get_running_loop()
        one, two = refused_port(), refused_port()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "127.0.0.1", one)
        loop.getaddrinfo = answers(("127.0.0.1", one), ("127.0.0.1", two))
        for delay in (None, 1):
            with pytest.raises(OSError, match=rf"Multiple exceptions: .*{one}.*{two}"):
                await loop.create_connection(Recorder, "a.name", 1, happy_eyeballs_delay=delay)
            with pytest.raises(ExceptionGroup) as caught:
                await loop.create_connection(Recorder, "a.name", 1, happy_eyeballs_delay=delay, all_errors=True)
            assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2
        loop.getaddrinfo = answers()
        with pytest.raises(OSError, match="empty list"):
            await loop.create_connection(Recorder, "a.name", 1)

    run(main())


def test_happy_eyeballs_goes_on_while_an_address_is_silent():
    async def main():
        loop = asyncio.get_running_loop()
        before = open_descriptors()
        with silent() as slow, listening() as port:
            loop.getaddrinfo = answers(("127.0.0.1", slow), ("127.0.0.1", refused_port()), ("127.0.0.1", port))
            transport, protocol = await loop.create_connection(Recorder, "a.name", 1, happy_eyeballs_delay=0.01)
            assert transport.get_extra_info("peername") == ("127.0.0.1", port)
            transport.close()
            await protocol.lost
            await asyncio.sleep(0)
        assert opened_since(before) == set()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_happy_eyeballs_does_not_wait_after_a_failure():
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as port:
            loop.getaddrinfo = answers(("127.0.0.1", refused_port()), ("127.0.0.1", port))
            transport, protocol = await loop.create_connection(Recorder, "a.name", 1, happy_eyeballs_delay=3600)
            transport.close()
            await protocol.lost

    run(main())


def test_families_alternate():
    from clearloop.net.connect import interleaved

    four, six = socket.AF_INET, socket.AF_INET6
    rows = [(six, 1), (six, 2), (six, 3), (four, 4), (four, 5)]
    assert [row[1] for row in interleaved(rows)] == [1, 4, 2, 5, 3]
    assert [row[1] for row in interleaved(rows, 2)] == [1, 2, 4, 3, 5]
    assert interleaved([(four, 1)]) == [(four, 1)]


@pytest.mark.parametrize("delay", [None, 0.001])
def test_a_cancelled_connection_leaves_nothing_behind(delay):
    async def main():
        loop = asyncio.get_running_loop()
        with silent() as slow:
            loop.getaddrinfo = answers(("127.0.0.1", slow), ("127.0.0.1", slow))
            before = open_descriptors()
            for turns in (0, 1, 2, 3, 20):
                task = asyncio.ensure_future(loop.create_connection(Recorder, "a.name", 1, happy_eyeballs_delay=delay))
                for _ in range(turns):
                    await asyncio.sleep(0.001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await asyncio.sleep(0)
            assert opened_since(before) == set()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())


def test_cancelled_at_every_turn_of_a_connection_that_succeeds():
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as port:
            before = open_descriptors()
            for turns in range(12):
                task = asyncio.ensure_future(loop.create_connection(asyncio.Protocol, "127.0.0.1", port))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    transport, _ = await task
                except asyncio.CancelledError:
                    pass
                else:
                    transport.close()
            for _ in range(3):
                await asyncio.sleep(0)
            assert opened_since(before) == set()

    run(main())


def test_local_addresses():
    async def main():
        loop = asyncio.get_running_loop()
        with listening() as port:
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port, local_addr=("127.0.0.1", 0))
            assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
            with pytest.raises(OSError, match="error while attempting to bind on address"):
                await loop.create_connection(Recorder, "127.0.0.1", port, local_addr=("192.0.2.1", 0))
            with pytest.raises(OSError, match="no matching local address"):
                loop.getaddrinfo = answers(("127.0.0.1", port))
                await loop.create_connection(Recorder, "a.name", port, local_addr=("::1", 0))
            transport.close()
            await protocol.lost

    run(main())


def test_addresses_as_text_need_no_thread():
    async def main():
        loop = asyncio.get_running_loop()

        def no_threads(*arguments):
            raise AssertionError("a thread was asked")

        loop._resolve_in_thread = no_threads
        for host in ("127.0.0.1", "::1"):
            for port in (80, "80", None):
                for kind in (0, socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    found = await loop.getaddrinfo(host, port, type=kind)
                    assert found == socket.getaddrinfo(host, port, type=kind)
        assert await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV) == (
            "127.0.0.1",
            "80",
        )
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET6)
        with pytest.raises(AssertionError, match="a thread was asked"):
            await loop.getaddrinfo("localhost", 80)
        with pytest.raises(AssertionError, match="a thread was asked"):
            await loop.getaddrinfo("127.0.0.1", "http")

    run(main())


@pytest.mark.parametrize("host", ["1.2.3", "1.2.3.4.5", "1.2.3.4 ", "::g", "", None, b"127.0.0.1", "dead", "\0", "1\0"])
def test_what_is_no_address_as_text(host):
    from clearloop.net.resolver import is_literal

    assert not is_literal(host)


def test_names_are_resolved_off_the_loop():
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM) == socket.getaddrinfo(
            "localhost", 80, type=socket.SOCK_STREAM
        )
        assert await loop.getnameinfo(("127.0.0.1", 80)) == socket.getnameinfo(("127.0.0.1", 80), 0)

    run(main())


def test_a_socket_that_is_connected_already():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        accepted, other = await loop.connect_accepted_socket(Recorder, theirs)
        transport.write(b"to the other end")
        await until(lambda: other.data)
        assert other.data == b"to the other end"
        assert transport.get_extra_info("socket").gettimeout() == 0
        transport.close()
        await protocol.lost
        await other.lost

    run(main())


def test_what_the_calls_refuse():
    async def main():
        loop = asyncio.get_running_loop()
        before = open_descriptors()
        for options, message in (
            ({}, "host and port was not specified and no sock specified"),
            ({"host": "127.0.0.1", "sock": object()}, "host/port and sock can not be specified at the same time"),
            ({"server_hostname": "x"}, "server_hostname is only meaningful with ssl"),
            ({"ssl_handshake_timeout": 1}, "ssl_handshake_timeout is only meaningful with ssl"),
            ({"ssl_shutdown_timeout": 1}, "ssl_shutdown_timeout is only meaningful with ssl"),
            ({"ssl": True, "sock": object()}, "You must set server_hostname when using ssl without a host"),
            (
                {"ssl": True, "host": "127.0.0.1", "port": 1, "ssl_handshake_timeout": 0},
                "ssl_handshake_timeout should be a positive number",
            ),
        ):
            with pytest.raises(ValueError, match=message):
                await loop.create_connection(Recorder, **options)
        with socket.socket(type=socket.SOCK_DGRAM) as wrong:
            for call in (loop.create_connection, loop.connect_accepted_socket):
                with pytest.raises(ValueError, match="A Stream Socket was expected"):
                    await call(Recorder, sock=wrong)
        assert opened_since(before) == set()

    run(main())


def test_a_factory_that_raises_closes_the_socket():
    async def main():
        loop = asyncio.get_running_loop()

        def factory():
            raise ZeroDivisionError

        with listening() as port:
            before = open_descriptors()
            with pytest.raises(ZeroDivisionError):
                await loop.create_connection(factory, "127.0.0.1", port)
            assert opened_since(before) == set()
        one, other = socket.socketpair()
        with other, pytest.raises(ZeroDivisionError):
            await loop.create_connection(factory, sock=one)
        assert one.fileno() == -1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())


def test_a_connection_on_its_way_is_waited_for_and_can_be_given_up():
    async def main():
        loop = asyncio.get_running_loop()
        with full_backlog() as listener:
            port = listener.getsockname()[1]
            before = len(open_descriptors())
            given_up = loop.create_task(loop.create_connection(asyncio.Protocol, "127.0.0.1", port))
            connecting = loop.create_task(loop.create_connection(asyncio.Protocol, "127.0.0.1", port))
            await asyncio.sleep(0)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            assert not connecting.done()
            assert len(open_descriptors()) == before + 1
            listener.setblocking(False)
            accepted = []

            async def accept():
                while not connecting.done():
                    accepted.append((await loop.sock_accept(listener))[0])

            taking = loop.create_task(accept())
            transport, _ = await connecting
            taking.cancel()
            assert transport.get_extra_info("peername") == listener.getsockname()
            assert transport.get_extra_info("socket").getpeername() == listener.getsockname()
            transport.abort()
            await asyncio.sleep(0)
            for one in accepted:
                one.close()

    run(main())


def test_a_programs_own_socket_class_is_used(monkeypatch):
    made = []

    class Own(socket.socket):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    async def main():
        with listening() as port:
            monkeypatch.setattr(socket, "socket", Own)
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
            assert transport.get_extra_info("socket").fileno() == made[0].fileno()
            transport.close()
            await asyncio.sleep(0)

    run(main())


def test_connecting_is_audited():
    program = """if True:
        import asyncio, socket, sys, clearloop
        listener = socket.create_server(("127.0.0.1", 0))
        seen = []
        sys.addaudithook(lambda event, args: seen.append((event, args[1])) if event == "socket.connect" else None)

        async def main():
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *listener.getsockname())
            transport.close()

        clearloop.run(main())
        assert seen == [("socket.connect", listener.getsockname())], seen
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.skipif(not HAS_EPOLL or os.environ.get("CLEARLOOP_POLLER") == "selectors", reason="it is about epoll")
def test_a_duplicate_of_a_closed_connection_keeps_nobody_awake():
    """Closing takes a descriptor out of epoll only when nobody else has it."""

    async def main():
        loop = asyncio.get_running_loop()
        with listening() as port:
            transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
            await asyncio.sleep(0)
            duplicate = os.dup(transport._sock_fd)
            os.set_blocking(duplicate, False)
            transport.close()
            for _ in range(3):
                await asyncio.sleep(0)
            socket.socket(fileno=os.dup(duplicate)).shutdown(socket.SHUT_RDWR)  # from now on it always has events
            before = loop._turn_count()
            await asyncio.sleep(0.05)
            assert loop._turn_count() - before < 20
            os.close(duplicate)

    run(main())
