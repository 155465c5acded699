"""Who waits is named by the task that waits, not by the transport, timer or pipe that would have woken it."""

import asyncio
import os
import select
import socket
import subprocess
import sys
import time

import pytest

import clearloop

from .held import LONG


async def until_waiting(coro, name):
    """A task of that name, once it waits."""
    task = asyncio.create_task(coro, name=name)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def hold():
    time.sleep(LONG)


def victims(seen):
    stall = seen.the_one("blocking")
    assert stall.delayed_count == len(stall.delayed)
    return [(victim.task, victim.callback) for victim in stall.delayed]


@pytest.mark.parametrize("streams", [asyncio, clearloop], ids=["asyncio's", "ours"])
def test_a_reader(seen, streams):
    async def main():
        mine, theirs = socket.socketpair()
        reader, writer = await streams.open_connection(sock=mine)
        task = await until_waiting(reader.readline(), "reads a line")
        with theirs:
            theirs.send(b"line\n")
            hold()
            assert await task == b"line\n"
        writer.close()

    seen.run(main)
    assert victims(seen) == [("reads a line", "StreamReader.readline")]


@pytest.mark.parametrize("streams", [asyncio, clearloop], ids=["asyncio's", "ours"])
def test_a_writer_that_drains_while_another_reads(seen, streams):
    async def main():
        mine, theirs = socket.socketpair()
        reader, writer = await streams.open_connection(sock=mine)
        reads = await until_waiting(reader.read(1), "reads")
        writer.write(bytes(4_000_000))
        drains = await until_waiting(writer.drain(), "drains")
        theirs.setblocking(False)
        with theirs:
            while select.select([theirs], [], [], 0)[0]:
                theirs.recv(1 << 20)
            hold()
            await asyncio.sleep(0)
            drains.cancel()
            reads.cancel()
            await asyncio.wait([drains, reads])
            writer.transport.abort()

    seen.run(main)
    assert victims(seen) == [("drains", "StreamWriter.drain")]


def test_a_reader_over_tls(seen, tmp_path):
    import ssl
    import threading

    certificate = os.path.join(os.path.dirname(__file__), "..", "..", "benchmarks", "floor", "localhost.pem")
    if not os.path.exists(certificate):
        pytest.skip("the certificate lies with the benchmarks")
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    of_server.load_cert_chain(certificate)
    of_client = ssl.create_default_context(cafile=certificate)
    of_client.check_hostname = False

    def serve(listener, ready, sent):
        with listener.accept()[0] as plain, of_server.wrap_socket(plain, server_side=True) as connection:
            ready.wait(60)
            connection.sendall(b"line\n")
            sent.set()
            connection.recv(1)

    async def main():  # all of it, since it may be run again
        ready, sent = threading.Event(), threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve, args=(listener, ready, sent))
            thread.start()
            try:
                reader, writer = await asyncio.open_connection(*listener.getsockname(), ssl=of_client)
                task = await until_waiting(reader.readline(), "reads a line")
                while select.select([writer.get_extra_info("socket").fileno()], [], [], 0)[0]:
                    await asyncio.sleep(0.001)  # session tickets
                ready.set()
                sent.wait(60)
                hold()
                assert await task == b"line\n"
                writer.close()
                await writer.wait_closed()
            finally:
                ready.set()
                await asyncio.to_thread(thread.join)

    seen.run(main)
    assert victims(seen) == [("reads a line", "StreamReader.readline")]


def test_sock_recv_and_sock_accept(seen):
    async def main():
        loop = asyncio.get_running_loop()
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        with mine, theirs, socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            receives = await until_waiting(loop.sock_recv(mine, 1), "receives")
            accepts = await until_waiting(loop.sock_accept(listener), "accepts")
            theirs.send(b"x")
            client.connect(listener.getsockname())
            hold()
            assert await receives == b"x"
            (await accepts)[0].close()

    seen.run(main)
    assert sorted(name for name, _ in victims(seen)) == ["accepts", "receives"]


PRINTS = "print('line', flush=True); import sys; sys.stdin.read()"


@pytest.mark.parametrize("streams", [asyncio, clearloop], ids=["asyncio's", "ours"])
def test_a_reader_of_a_child(seen, streams):
    async def main():
        child = await streams.create_subprocess_exec(
            sys.executable, "-c", PRINTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        task = await until_waiting(child.stdout.readline(), "reads its output")
        os.set_blocking(child._transport.get_pipe_transport(1).get_extra_info("pipe").fileno(), False)
        select.select([child._transport.get_pipe_transport(1).get_extra_info("pipe")], [], [], 60)
        hold()
        assert await task == b"line\n"
        child.stdin.close()
        await child.wait()

    seen.run(main)
    names = [name for name, _ in victims(seen)]
    assert names == ["reads its output"]


def test_who_waits_for_the_end_of_a_child(seen):
    async def main():
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        task = await until_waiting(child.wait(), "waits for it")
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        hold()
        await task

    if not hasattr(os, "pidfd_open") or os.environ.get("CLEARLOOP_PIDFD") == "0":
        pytest.skip("a thread waits for the child")
    seen.run(main)
    assert victims(seen) == [("waits for it", "Process.wait")]


@pytest.mark.parametrize("library", [asyncio, clearloop], ids=["asyncio's", "ours"])
def test_timeouts(seen, library):
    async def bounded():
        with pytest.raises(TimeoutError):
            async with library.timeout(LONG / 4):
                await asyncio.Event().wait()

    async def main():
        task = await until_waiting(bounded(), "has a timeout")
        hold()
        await task

    seen.run(main)
    assert [name for name, _ in victims(seen)] == ["has a timeout"]


def test_wait_for(seen):
    async def main():
        task = await until_waiting(asyncio.wait_for(asyncio.Event().wait(), LONG / 4), "waits for it")
        hold()
        with pytest.raises(TimeoutError):
            await task

    seen.run(main)
    assert [name for name, _ in victims(seen)] == ["waits for it"]


def test_a_future_with_a_callback_and_a_task(seen):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: None)

        async def wait():
            await future

        task = await until_waiting(wait(), "awaits the future")
        asyncio.get_running_loop().call_soon(future.set_result, None)
        hold()
        await task

    seen.run(main)
    assert [name for name, _ in victims(seen)] == ["awaits the future"]


def test_a_protocol_of_the_program_s_is_named_by_its_class(seen):
    class Echo(asyncio.Protocol):
        def __getattr__(self, name):
            raise SystemExit(f"asked for {name}")

        def connection_made(self, transport):
            pass

        def data_received(self, data):
            done.set_result(data)

        def connection_lost(self, error):
            pass

    async def main():
        nonlocal done
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        mine, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(Echo, sock=mine)
        with theirs:
            theirs.send(b"x")
            hold()
            assert await done == b"x"
        transport.close()

    done = None
    seen.run(main)
    [(task, callback)] = victims(seen)
    assert task is None
    assert callback.endswith("Echo")
