"""Names and addresses: literals need no thread, and slow name servers keep nobody else waiting."""

import asyncio
import gc
import itertools
import random
import socket
import subprocess
import sys
import threading
import weakref

import pytest
from socket_tools import on_loop, turns

import clearloop
from clearloop.net import literals
from clearloop.net.resolver import THREADS
from descriptors import left_open, open_descriptors


@pytest.fixture
def slow(monkeypatch):
    """A getaddrinfo that answers for names only when it is told to; yields (event, names that were asked for)."""
    released, asked = threading.Event(), []
    at_once = socket.getaddrinfo

    def getaddrinfo(host, port, *options):
        if options and options[-1] & socket.AI_NUMERICHOST:
            return at_once(host, port, *options)
        asked.append(host)
        assert released.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield released, asked
    released.set()


HOSTS = [
    "127.0.0.1", "0.0.0.0", "255.255.255.255", "1.2.3.4", "::1", "::", "2001:db8::1", "2001:0DB8:0:0:0:0:0:1",
    "::ffff:1.2.3.4", "fe80::1", "fe80::1%lo", "127.1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ",
    "::1%", "1.2.3.4%lo", ":::", "g::1", "", None, b"127.0.0.1", "1" * 60, "::1\0", "\u0661.2.3.4",
]  # fmt: skip
PORTS = [0, 80, 65535, None, "80", b"80", "http", "", b"", "99999", "\u0661", True, "080", "-1"]
KINDS = [0, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, 1, 77]
PROTOS = [0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP]
FLAGS = [0, socket.AI_PASSIVE, socket.AI_CANONNAME, socket.AI_V4MAPPED | socket.AI_ALL, socket.AI_NUMERICSERV]
FAMILIES = [0, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]


@pytest.mark.skipif(
    literals.rows("127.0.0.1", 80, 0, 0, 0, 0) is None, reason="only what glibc answers is known without asking"
)
def test_what_is_answered_at_once_is_what_the_resolver_would_have_said():
    every = list(itertools.product(HOSTS, PORTS, FAMILIES, KINDS, PROTOS, FLAGS))
    answered = 0
    for host, port, family, kind, proto, flags in random.Random(7).sample(every, 15_000):
        rows = literals.rows(host, port, family, kind, proto, flags)
        if rows is None:
            continue
        answered += 1
        expected = socket.getaddrinfo(host, port, family, kind, proto, flags | socket.AI_NUMERICHOST)
        assert rows == expected, (host, port, family, kind, proto, flags)
        assert [list(map(type, row)) for row in rows] == [list(map(type, row)) for row in expected]
    assert answered > 100


@on_loop
async def test_every_literal_is_answered_without_a_thread(loop):
    before = set(threading.enumerate())
    for host in ("127.0.0.1", "::1", "::ffff:1.2.3.4", "fe80::1%lo"):
        for kind in (0, socket.SOCK_STREAM, socket.SOCK_DGRAM):
            for flags in (0, socket.AI_CANONNAME):
                found = await loop.getaddrinfo(host, 80, type=kind, flags=flags)
                assert found == socket.getaddrinfo(host, 80, type=kind, flags=flags)
    assert await loop.getaddrinfo(None, 80) == socket.getaddrinfo(None, 80)
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert await loop.getnameinfo(("127.0.0.1", 80), numeric) == ("127.0.0.1", "80")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        transport.close()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", str(port)))
        endpoint, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port))
        endpoint.close()
        server = await loop.create_server(asyncio.Protocol, ["127.0.0.1", "::1"], 0)
        server.close()
        await server.wait_closed()
    assert threads_since(before) == []
    assert loop._resolvers is None and loop._default_executor is None


@on_loop
async def test_errors_are_the_resolvers(loop):
    for arguments, options in (
        (("127.0.0.1", "no-such-service"), {}),
        (("127.0.0.1", 80), {"family": socket.AF_INET6}),
        (("::1%no-such-interface", 80), {}),
        (("127.0.0.1", 80), {"type": 77}),
    ):
        with pytest.raises(socket.gaierror) as ours:
            await loop.getaddrinfo(*arguments, **options)
        with pytest.raises(socket.gaierror) as theirs:
            socket.getaddrinfo(*arguments, **options)
        assert ours.value.args == theirs.value.args
    for wrong in ({"family": "x"}, {"type": None}, {"flags": 1.5}):
        with pytest.raises(TypeError):
            await loop.getaddrinfo("127.0.0.1", 80, **wrong)


@on_loop
async def test_names_are_looked_up(loop):
    assert await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM) == socket.getaddrinfo(
        "localhost", 80, type=socket.SOCK_STREAM
    )
    assert await loop.getnameinfo(("127.0.0.1", 80)) == socket.getnameinfo(("127.0.0.1", 80), 0)
    assert loop._default_executor is None


@on_loop
async def test_literals_are_audited(loop):
    program = """if True:
        import sys, clearloop
        seen = []
        sys.addaudithook(lambda event, args: event == "socket.getaddrinfo" and seen.append(args))
        async def main():
            import asyncio
            await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
        clearloop.run(main())
        assert seen == [("127.0.0.1", 80, 0, 0, 0)], seen
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


@on_loop
async def test_a_slow_resolver_does_not_starve_other_blocking_work(loop, slow):
    released, asked = slow
    lookups = [asyncio.create_task(loop.getaddrinfo(f"host-{number}.test", 80)) for number in range(THREADS + 5)]
    assert await asyncio.gather(*[loop.run_in_executor(None, int, number) for number in range(50)]) == list(range(50))
    assert await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)  # nor the literals
    while len(asked) < THREADS:
        await asyncio.sleep(0.001)
    assert len(asked) == THREADS  # the others stand in line
    released.set()
    assert len(await asyncio.gather(*lookups)) == THREADS + 5
    assert asked[:3] == ["host-0.test", "host-1.test", "host-2.test"]


@on_loop
async def test_a_cancelled_lookup_ends_at_once_and_a_waiting_one_is_never_made(loop, slow):
    released, asked = slow
    running = [asyncio.create_task(loop.getaddrinfo(f"running-{number}.test", 80)) for number in range(THREADS)]
    while len(asked) < THREADS:
        await asyncio.sleep(0.001)
    waiting = asyncio.create_task(loop.getaddrinfo("waiting.test", 80))
    connecting = asyncio.create_task(loop.create_connection(asyncio.Protocol, "connecting.test", 80))
    sock = socket.socket()
    sock.setblocking(False)
    resolving = asyncio.create_task(loop.sock_connect(sock, ("sock.test", 80)))
    await turns()
    for task in (*running, waiting, connecting, resolving):
        task.cancel()
    done, _ = await asyncio.wait([*running, waiting, connecting, resolving], timeout=5)
    assert len(done) == THREADS + 3 and all(task.cancelled() for task in done)
    released.set()
    await loop.getaddrinfo("last.test", 80)
    assert "waiting.test" not in asked and "connecting.test" not in asked and "sock.test" not in asked
    sock.close()


def test_a_loop_that_closes_waits_for_no_lookup_and_its_threads_end(slow):
    released, asked = slow
    loop = clearloop.new_event_loop()

    async def main():
        loop = asyncio.get_running_loop()
        for number in range(THREADS + 3):
            loop.create_task(loop.getaddrinfo(f"{number}.test", 80))._log_destroy_pending = False
        while len(asked) < THREADS:
            await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    threads = list(loop._resolvers.threads)
    loop.close()  # while all of them still wait
    with pytest.raises(RuntimeError, match="closed"):
        loop._resolve_in_thread(int)
    released.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(asked) == THREADS  # those in line were dropped
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


def test_names_can_be_looked_up_in_a_forked_child():
    """No thread comes along: the child starts its own, for the resolver and for run_in_executor."""
    program = """if True:
        import os, signal, socket, clearloop
        socket.getaddrinfo = lambda *args: [args]
        loop = clearloop.new_event_loop()
        async def work():
            return await loop.getaddrinfo("some.test", 80), await loop.run_in_executor(None, os.getpid)
        loop.run_until_complete(work())
        child = os.fork()
        if child == 0:
            signal.alarm(15)
            rows, pid = loop.run_until_complete(work())
            assert rows == [("some.test", 80, 0, 0, 0, 0)] and pid == os.getpid()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        loop.run_until_complete(work())
        loop.close()
    """
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", program], check=True, timeout=30)


@on_loop
async def test_debug_mode_tells_how_long_a_lookup_took(loop, monkeypatch, caplog):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [])
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    with caplog.at_level("INFO", logger="asyncio"):
        assert await loop.getaddrinfo("some.test", 80) == []
    assert [record for record in caplog.records if "'some.test', port 80, took" in record.getMessage()]


def test_many_loops_leave_no_threads_behind():
    before = set(threading.enumerate())
    descriptors = open_descriptors()
    for _ in range(5):
        clearloop.run(look_up())
    for thread in threading.enumerate():
        if thread.name.startswith("resolver"):
            thread.join(20)
    assert threads_since(before) == []
    assert left_open(descriptors) == set()


def threads_since(before):
    """The threads that are there now and were not before, but for those of the machine's own that Python only met."""
    return [thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("Dummy-")]


async def look_up():
    return await asyncio.get_running_loop().getaddrinfo("localhost", 80)
