"""A program as a type checker sees it: never run, only checked (`make lint`), by tests/house and its assert_type."""

from typing import assert_type

import clearloop
import clearloop as asyncio


async def number() -> int:
    await clearloop.sleep(0)
    return 1


async def main() -> str:
    task = clearloop.create_task(number(), name="one")
    assert_type(task, clearloop.Task[int])
    assert_type(await task, int)
    assert_type(await clearloop.gather(number(), main()), tuple[int, str])
    assert_type(await clearloop.wait_for(number(), 1), int)
    assert_type(await clearloop.shield(number()), int)
    done, _ = await clearloop.wait([number()], timeout=0.1)
    assert_type(done.pop().result(), int)
    for next_one in clearloop.as_completed([number()]):
        assert_type(await next_one, int)
    async with clearloop.timeout(1) as limit:
        assert_type(limit, clearloop.Timeout)
    queue: clearloop.Queue[int] = clearloop.Queue(maxsize=3)
    await queue.put(1)
    assert_type(await queue.get(), int)
    async with clearloop.Lock():
        pass
    takes_asyncio_task(task)
    loop = clearloop.get_running_loop()
    loop.call_soon(print)
    return "done"


def takes_asyncio_task(task: asyncio.Task[int]) -> None:
    future: asyncio.Future[int] = task
    assert_type(future.result(), int)


async def everything_of_asyncio_comes_through() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(number())
    transport, _ = await clearloop.new_event_loop().create_connection(asyncio.Protocol, "localhost", 80)
    assert_type(transport, asyncio.Transport)


def start() -> None:
    assert_type(clearloop.run(main()), str)
    loop = clearloop.new_event_loop()
    assert_type(loop, clearloop.EventLoop)
    assert_type(loop.run_until_complete(number()), int)
    clearloop.EventLoop()
    with clearloop.Runner(loop_factory=clearloop.new_event_loop) as runner:
        assert_type(runner.run(number()), int)


async def connected(reader: asyncio.StreamReader, writer: clearloop.StreamWriter) -> None:
    assert_type(await reader.readline(), bytes)
    writer.write(b"")


async def streams() -> None:
    server = await clearloop.start_server(connected, "localhost", 0)
    async with server:
        reader, writer = await clearloop.open_connection("localhost", 80)
        await connected(reader, writer)
