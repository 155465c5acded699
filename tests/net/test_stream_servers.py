"""Servers: where they listen, what they accept, and how they end."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
import textwrap

import pytest
from stream_tools import Recorder, read_all, reports, run, until

from descriptors import far_away, open_descriptors, opened_since


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Client(Recorder):
    def connection_made(self, transport):
        super().connection_made(transport)
        transport.write(b"hello")


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def connected(server, factory=Client):
    return await asyncio.get_running_loop().create_connection(factory, *server.sockets[0].getsockname()[:2])


def test_a_server_from_start_to_end():
    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Echo, "127.0.0.1", 0) as server:
            assert isinstance(server, asyncio.AbstractServer)
            assert server.is_serving() and server.get_loop() is loop
            assert "127.0.0.1" in repr(server)
            assert [type(sock).__name__ for sock in server.sockets] == ["TransportSocket"]
            transport, protocol = await connected(server)
            await until(lambda: protocol.data == b"hello")
            transport.close()
        assert server.sockets == () and not server.is_serving()
        await server.wait_closed()
        server.close()

    run(main())


def test_a_server_that_does_not_serve_yet():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await connected(server)
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        transport, protocol = await connected(server)
        await until(lambda: protocol.data)
        transport.close()
        await protocol.lost
        server.close()
        await server.wait_closed()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.start_serving()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main())


def test_serve_forever_ends_with_its_task():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, start_serving=False)
        task = asyncio.ensure_future(server.serve_forever())
        await until(server.is_serving)
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.sockets == ()

        server = await loop.create_server(Echo, "127.0.0.1", 0)
        task = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_cancelled_serve_forever_is_not_held_up_by_a_client_that_hangs():
    async def main():
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
        task = asyncio.ensure_future(server.serve_forever())
        _, protocol = await connected(server)
        await until(lambda: protocol.data)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await protocol.lost is None

    run(main())


def test_wait_closed_waits_for_the_server_and_for_its_last_connection():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        waiting = asyncio.ensure_future(server.wait_closed())
        transport, protocol = await connected(server)
        await until(lambda: protocol.data)
        assert not waiting.done()
        server.close()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        transport.write(b"!")
        await until(lambda: protocol.data == b"hello!")  # open connections live on
        transport.close()
        await waiting
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("end", ["close_clients", "abort_clients"])
def test_a_server_can_end_its_connections_and_only_its_own(end):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        other = await loop.create_server(Echo, "127.0.0.1", 0)
        mine = [await connected(server) for _ in range(3)]
        transport, spared = await connected(other)
        await until(lambda: all(protocol.data for _, protocol in [*mine, (None, spared)]))
        server.close()
        getattr(server, end)()
        await server.wait_closed()
        for _, protocol in mine:
            assert await protocol.lost is None
        assert not spared.lost.done()
        transport.close()
        await spared.lost
        other.close()
        await other.wait_closed()

    run(main())


def test_several_hosts():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, ["127.0.0.1", "127.0.0.2", "127.0.0.1"], 0)
        assert {sock.getsockname()[0] for sock in server.sockets} == {"127.0.0.1", "127.0.0.2"}
        assert len(server.sockets) == 2
        for sock in server.sockets:
            transport, protocol = await loop.create_connection(Client, *sock.getsockname())
            await until(lambda protocol=protocol: protocol.data)
            transport.close()
            await protocol.lost
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("host", [None, ""])
def test_every_interface(host):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, host, 0)
        families = [sock.family for sock in server.sockets]
        assert socket.AF_INET in families and len(set(families)) == len(families)
        for sock in server.sockets:
            if sock.family == socket.AF_INET6:
                assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        server.close()
        await server.wait_closed()
        server = await loop.create_server(Echo, host, 0, family=socket.AF_INET)
        assert [sock.family for sock in server.sockets] == [socket.AF_INET]
        server.close()

    run(main())


def test_socket_options():
    async def main():
        loop = asyncio.get_running_loop()

        def option(server, name):
            return bool(server.sockets[0].getsockopt(socket.SOL_SOCKET, name))

        one = await loop.create_server(Echo, "127.0.0.1", 0, reuse_port=True, keep_alive=True)
        two = await loop.create_server(Echo, "127.0.0.1", port_of(one), reuse_port=True, reuse_address=False)
        assert option(one, socket.SO_REUSEPORT) and option(two, socket.SO_REUSEPORT)
        assert option(one, socket.SO_REUSEADDR) and not option(two, socket.SO_REUSEADDR)
        assert option(one, socket.SO_KEEPALIVE) and not option(two, socket.SO_KEEPALIVE)
        one.close()
        two.close()

    run(main())


def test_what_create_server_refuses():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        before = open_descriptors()
        with pytest.raises(OSError, match=r"error while attempting to bind on address \('127.0.0.1', \d+\)") as caught:
            await loop.create_server(Echo, "127.0.0.1", port_of(server))
        assert caught.value.errno == 98
        with pytest.raises(OSError, match="could not bind on any address"):
            await loop.create_server(Echo, "192.0.2.1", 0)
        with pytest.raises(ValueError, match="Neither host/port nor sock"):
            await loop.create_server(Echo)
        with pytest.raises(ValueError, match="can not be specified at the same time"):
            await loop.create_server(Echo, "127.0.0.1", 0, sock=object())
        with pytest.raises(TypeError, match="SSLContext or None"):
            await loop.create_server(Echo, "127.0.0.1", 0, ssl=True)
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful with ssl"):
            await loop.create_server(Echo, "127.0.0.1", 0, ssl_handshake_timeout=1)
        with socket.socket(type=socket.SOCK_DGRAM) as wrong, pytest.raises(ValueError, match="A Stream Socket"):
            await loop.create_server(Echo, sock=wrong)
        assert opened_since(before) == set()
        server.close()

    run(main())


def test_a_factory_that_raises_is_reported_and_the_server_goes_on():
    async def main():
        loop = asyncio.get_running_loop()
        failing = [ZeroDivisionError()]

        def factory():
            if failing:
                raise failing.pop()
            return Echo()

        server = await loop.create_server(factory, "127.0.0.1", 0)
        with reports() as found:
            transport, protocol = await connected(server)
            await protocol.lost
        assert protocol.data == b""
        assert found[0]["message"] == "Error on transport creation for incoming connection"
        assert isinstance(found[0]["exception"], ZeroDivisionError)
        transport, protocol = await connected(server)
        await until(lambda: protocol.data)
        transport.close()
        await protocol.lost
        server.close()
        await server.wait_closed()  # the one that failed is not counted

    run(main())


def test_a_factory_that_gives_no_protocol_leaks_nothing():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: None, "127.0.0.1", 0)
        with reports() as found:
            transport, protocol = await connected(server)
            await protocol.lost
        assert isinstance(found[0]["exception"], AttributeError)
        server.close()
        await server.wait_closed()

    run(main())


def test_a_server_closed_by_its_own_factory():
    async def main():
        loop = asyncio.get_running_loop()

        def factory():
            server.close()
            return Echo()

        server = await loop.create_server(factory, "127.0.0.1", 0)
        transport, protocol = await connected(server)
        await until(lambda: protocol.data)
        transport.close()
        await server.wait_closed()

    run(main())


def test_a_thousand_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2100:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2100), hard))

    async def main():
        loop = asyncio.get_running_loop()
        before = open_descriptors()
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1000)
        clients = await asyncio.gather(*[connected(server) for _ in range(1000)])
        await until(lambda: all(protocol.data == b"hello" for _, protocol in clients))
        for transport, _ in clients:
            transport.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*[protocol.lost for _, protocol in clients])
        await asyncio.sleep(0)
        assert opened_since(before) == set()
        assert len(loop._transports) == 0

    run(main())


def test_too_many_open_files():
    program = """
        import asyncio, errno, os, resource, socket
        import clearloop

        class Hello(asyncio.Protocol):
            def connection_made(self, transport):
                transport.write(b"hello")
                transport.close()

        async def main():
            loop = asyncio.get_running_loop()
            reported = []
            loop.set_exception_handler(lambda loop, context: reported.append(context))
            server = await loop.create_server(Hello, "127.0.0.1", 0)
            clients = [socket.socket() for _ in range(3)]
            used = len(os.listdir("/proc/self/fd")) - 1
            resource.setrlimit(resource.RLIMIT_NOFILE, (used, 4096))
            for client in clients:
                client.setblocking(False)
                await loop.sock_connect(client, server.sockets[0].getsockname())
            while not reported:
                await asyncio.sleep(0.001)
            steps = loop._step_count()
            await asyncio.sleep(0.05)
            assert loop._step_count() - steps < 20, "accept is tried again and again"
            assert len(reported) == 1, reported
            assert reported[0]["message"] == "socket.accept() out of system resource"
            assert reported[0]["exception"].errno == errno.EMFILE
            assert reported[0]["socket"].fileno() == server.sockets[0].fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 50, 4096))
            for client in clients:  # a second later it accepts again
                assert await loop.sock_recv(client, 100) == b"hello"
                client.close()
            server.close()
            await server.wait_closed()
            print("served")

        clearloop.run(main())
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert (answer.returncode, answer.stdout) == (0, "served\n"), answer.stderr


def test_a_listening_socket_closed_under_its_feet():
    async def main():
        loop = asyncio.get_running_loop()
        listener = far_away(socket.create_server(("127.0.0.1", 0)))
        server = await loop.create_server(Echo, sock=listener)
        os.close(listener.fileno())
        await asyncio.sleep(0.01)
        with pytest.raises(OSError):
            server.close()

    run(main())


# ---- UNIX ------------------------------------------------------------------------------------------------------------


def test_unix_servers_and_connections(tmp_path):
    path = tmp_path / "socket"

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Echo, path, cleanup_socket=True)
        transport, protocol = await loop.create_unix_connection(Client, path)
        await until(lambda: protocol.data == b"hello")
        assert transport.get_extra_info("peername") == str(path)
        accepted = server._clients[0]
        assert accepted.get_extra_info("sockname") == str(path)
        assert accepted.get_extra_info("socket").family == socket.AF_UNIX
        transport.close()
        server.close()
        await server.wait_closed()
        assert not path.exists()

        server = await loop.create_unix_server(Echo, str(path), cleanup_socket=False)
        server.close()
        assert path.exists()
        server = await loop.create_unix_server(Echo, path)  # a stale socket is replaced
        path.unlink()
        path.write_text("somebody else's")
        server.close()
        assert path.read_text() == "somebody else's"
        with pytest.raises(OSError, match="is already in use") as caught:
            await loop.create_unix_server(Echo, path)
        assert caught.value.errno == 98

    run(main())


def test_the_abstract_namespace():
    async def main():
        loop = asyncio.get_running_loop()
        name = f"\0clearloop-test-{os.getpid()}"
        server = await loop.create_unix_server(Echo, name)
        transport, protocol = await loop.create_unix_connection(Client, name)
        await until(lambda: protocol.data == b"hello")
        transport.close()
        server.close()
        await server.wait_closed()

    run(main())


def test_a_unix_listener_whose_queue_is_full(tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(0)
            tasks = [asyncio.ensure_future(loop.create_unix_connection(Client, path)) for _ in range(5)]
            await asyncio.sleep(0.01)
            assert not all(task.done() for task in tasks)
            listener.settimeout(0)
            accepted = []
            while len(accepted) < 5:
                connection, _ = await loop.sock_accept(listener)
                accepted.append(connection)
            for task in tasks:
                transport, protocol = await task
                transport.close()
                await protocol.lost
            for connection in accepted:
                assert await read_all(connection) == b"hello"
                connection.close()

    run(main())


def test_what_the_unix_calls_refuse(tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        for call, both, neither in (
            (loop.create_unix_server, "can not be specified at the same time", "path was not specified, and no sock"),
            (loop.create_unix_connection, "can not be specified at the same time", "no path and sock were specified"),
        ):
            with pytest.raises(ValueError, match=both):
                await call(Echo, "path", sock=object())
            with pytest.raises(ValueError, match=neither):
                await call(Echo)
            with socket.socket() as wrong, pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected"):
                await call(Echo, sock=wrong)
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_connection(Echo, tmp_path / "nobody")
        with pytest.raises(ValueError, match="you have to pass server_hostname"):
            await loop.create_unix_connection(Echo, "path", ssl=object())

    run(main())
