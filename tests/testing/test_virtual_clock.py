"""VirtualClock: time jumps when everything waits; deterministic, and honest about what it cannot do."""

import asyncio
import random
import socket
import subprocess
import sys
import threading
import time

import pytest

import clearloop
from clearloop.testing import VirtualClock
from clearloop.testing.clock import virtual_clock

clock = pytest.fixture(virtual_clock)


def test_an_hour_of_sleeps_takes_no_time(clock):
    async def main():
        began = time.monotonic()
        for _ in range(3600):
            await clearloop.sleep(1)
        assert asyncio.get_running_loop().time() == 3600
        return time.monotonic() - began

    assert clock.run(main()) < 30
    assert clock.time() == 3600


@pytest.mark.parametrize("delay", [1e-9, 1e-6, 0.0001, 0.1, 1 / 3, 86400 * 365.0, 1e9])
def test_timers_fire_exactly_then(clock, delay):
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        await clearloop.sleep(delay)
        assert loop.time() - began == pytest.approx(delay, rel=1e-9, abs=1.1e-9)

    clock.run(main())


def test_order_is_that_of_the_deadlines_every_time(clock):
    async def one(number, delay, seen):
        await asyncio.sleep(delay)
        seen.append((asyncio.get_running_loop().time(), number))

    async def main(seed):
        chance = random.Random(seed)
        seen = []
        began = asyncio.get_running_loop().time()
        await clearloop.gather(*[one(n, chance.randrange(20) / 4, seen) for n in range(200)])
        assert seen == sorted(seen)
        return [(round(when - began, 6), number) for when, number in seen]

    assert clock.run(main(1)) == clock.run(main(1))


def test_timeouts(clock):
    async def main():
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(100):
                await clearloop.sleep(1000)
        with pytest.raises(TimeoutError):
            await clearloop.wait_for(clearloop.Event().wait(), 100)
        assert asyncio.get_running_loop().time() == 200

    clock.run(main())


def test_a_ready_callback_comes_before_any_jump(clock):
    async def main():
        seen = []
        loop = asyncio.get_running_loop()
        loop.call_later(0.000001, seen.append, "timer")
        for _ in range(1000):
            await asyncio.sleep(0)
        assert seen == [] and loop.time() == 0

    clock.run(main())


def test_the_clock_waits_for_calls_in_threads(clock):
    async def main():
        go = threading.Event()
        loop = asyncio.get_running_loop()
        threading.Timer(0.05, go.set).start()
        fired = []
        loop.call_later(1, fired.append, 1)
        assert await clearloop.run_sync(go.wait, 30)
        assert fired == [] and loop.time() == 0
        assert await loop.run_in_executor(None, int) == 0
        assert fired == []
        await asyncio.sleep(1)
        assert fired == [1]

    clock.run(main())


def test_a_pool_that_waits_for_itself_is_named_here_too():
    async def inner():
        return await clearloop.run_sync(int)

    async def main():
        calls = [clearloop.run_sync(clearloop.run_async, inner) for _ in range(40)]
        return await asyncio.gather(*calls, return_exceptions=True)

    from clearloop.testing import clock as module

    before, module._LOOK = module._LOOK, 20_000_000
    try:
        results = clearloop.run(main(), loop_factory=VirtualClock)
    finally:
        module._LOOK = before
    assert clearloop.PoolExhausted in {type(result) for result in results}


def test_everything_waits_without_end():
    """In a process of its own: here threads of other tests may still be about, each of which could wake it."""
    code = (
        "import asyncio, clearloop; from clearloop.testing import VirtualClock\n"
        "async def main(): await asyncio.Event().wait()\n"
        "clearloop.run(main(), loop_factory=VirtualClock)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "RuntimeError: everything waits, and nothing will ever wake it" in ran.stderr and ran.returncode == 1


def test_another_thread_may_wake_it(clock):
    async def main():
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Timer(0.05, loop.call_soon_threadsafe, [woken.set]).start()
        await woken.wait()

    clock.run(main())


def test_advance(clock):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        loop.call_later(2, seen.append, "two")
        loop.call_later(1, seen.append, "one")
        loop.advance(5)
        for _ in range(2):
            await asyncio.sleep(0)
        assert seen == ["one", "two"] and loop.time() == 5
        with pytest.raises(ValueError):
            loop.advance(-1)

    clock.run(main())


def test_start():
    loop = VirtualClock(start=1000)
    assert loop.time() == 1000
    loop.close()


def test_descriptors_are_refused_clearly(clock):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            for attempt in (
                clearloop.open_connection("127.0.0.1", 1),
                clearloop.start_server(lambda *_: None, "127.0.0.1", 0),
                loop.sock_recv(sock, 1),
                loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)),
                asyncio.create_subprocess_exec("true"),
            ):
                with pytest.raises(RuntimeError, match="a virtual clock does not: use asyncio's in-memory pieces"):
                    await attempt
            with pytest.raises(RuntimeError, match="add_reader"):
                loop.add_reader(sock, print)

    clock.run(main())


def test_amap_and_supervisor_in_virtual_time(clock):
    async def work(item):
        await asyncio.sleep(60)
        return item

    async def main():
        assert await clearloop.amap(work, range(100), limit=10) == list(range(100))
        async with clearloop.Supervisor(grace=3600) as jobs:
            job = jobs.create_task(asyncio.sleep(10**6))
        assert job.cancelled()
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == 600 + 3600
