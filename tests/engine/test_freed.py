"""A loop that is closed is freed at once: nothing that it did leaves a circle for the garbage collector."""

import asyncio
import gc
import os
import signal
import socket
import weakref

import pytest

import clearloop


async def nothing():
    await asyncio.sleep(0)


async def connections():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"word\n")
        assert await reader.read() == b"word\n"
        writer.close()
        await writer.wait_closed()


async def sockets_by_hand():
    loop = asyncio.get_running_loop()
    ours, other = socket.socketpair()
    with ours, other:
        ours.setblocking(False)
        loop.call_soon(other.send, b"x")
        assert await loop.sock_recv(ours, 1) == b"x"


async def readers():
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    came = loop.create_future()
    loop.add_reader(reading, came.set_result, None)
    os.write(writing, b"x")
    await came  # the reader is still watched when the loop closes
    os.close(writing)
    loop.call_soon(os.close, reading)


async def executors():
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, int) == 0
    assert await loop.getaddrinfo("localhost", 80)


async def signals():
    loop = asyncio.get_running_loop()
    came = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, came.set_result, None)
    os.kill(os.getpid(), signal.SIGUSR1)
    await came


async def children():
    child = await asyncio.create_subprocess_exec("true")  # with pipes asyncio's streams know each other for ever
    assert await child.wait() == 0


async def failures_and_timeouts():
    async def fail():
        raise ValueError

    future = asyncio.get_running_loop().create_future()
    results = await asyncio.gather(fail(), asyncio.wait_for(future, 0), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, asyncio.TimeoutError]
    del results


@pytest.mark.parametrize(
    "main",
    [nothing, connections, sockets_by_hand, readers, executors, signals, children, failures_and_timeouts],
    ids=lambda main: main.__name__,
)
def test_a_closed_loop_goes_without_the_collector(main):
    def run():
        loop = clearloop.new_event_loop()
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        return weakref.ref(loop)

    run()  # what is imported and made but once
    gc.collect()
    gc.disable()
    try:
        assert run()() is None
    finally:
        gc.enable()


def test_after_closing_its_methods_say_so():
    loop = clearloop.new_event_loop()
    loop.run_until_complete(children())
    loop.close()
    reading, writing = os.pipe()
    try:
        for add in (loop.add_reader, loop.add_writer, loop.add_signal_handler):
            with pytest.raises(RuntimeError, match="closed"):
                add(signal.SIGUSR1 if add == loop.add_signal_handler else reading, print)
        assert not loop.remove_reader(reading) and not loop.remove_writer(reading)
        assert not loop.remove_signal_handler(signal.SIGUSR1)
        start = loop.subprocess_exec(asyncio.SubprocessProtocol, "true")
        with pytest.raises(RuntimeError, match="closed"):
            start.send(None)
    finally:
        os.close(reading)
        os.close(writing)
