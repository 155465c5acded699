"""The line is right wherever in a program the block is, during the block and after it."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
import threading
import time

import pytest

import clearloop

from .held import LONG, line_of

inside = threading.Event()  # set while block() lasts
told = threading.Event()  # set by the watchdog's first word
patience = 100


def block():
    inside.set()
    for _ in range(patience):
        time.sleep(LONG)  # here
        if told.is_set():
            break
    inside.clear()


@pytest.fixture(autouse=True)
def first_word(seen):
    """block() lasts until the watchdog has spoken: that it speaks during the block no clock decides."""

    def spoken():
        seen.while_it_lasted.append(inside.is_set())
        told.set()

    inside.clear()
    told.clear()
    seen.on_the_first_word = spoken
    seen.before_a_try = told.clear


def assert_line(seen, function=block, line=None):
    stall = seen.the_one("blocking")
    assert (stall.file, stall.line, stall.function) == (__file__, line or line_of(function), function.__qualname__)
    assert stall.code == "time.sleep(LONG)"
    assert stall.call == "time.sleep"
    assert seen.threads and threading.get_ident() not in seen.threads
    # during the block: the first word names the same place, and its record has the same number
    assert seen.while_it_lasted == [True]
    [first] = [early for early in seen.began if early.number == stall.number]
    assert first.ongoing and not stall.ongoing and first.verdict is None
    assert (first.file, first.line, first.call) == (stall.file, stall.line, stall.call)
    assert first.seconds < stall.seconds
    return stall


def test_task_three_calls_deep(seen):
    async def outer():
        await middle()

    async def middle():
        await inner()

    async def inner():
        block()

    async def main():
        asyncio.current_task().set_name("req-17")
        await outer()

    seen.run(main)
    stall = assert_line(seen)
    assert stall.task == "req-17"
    assert [frame.function.rpartition(".")[2] for frame in stall.stack] == ["main", "outer", "middle", "inner", "block"]


def test_async_generator(seen):
    async def numbers():
        yield 1
        block()
        yield 2

    async def main():
        return [number async for number in numbers()]

    assert seen.run(main) == [1, 2]
    assert_line(seen)


def test_aexit(seen):
    class Resource:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            block()

    async def main():
        async with Resource():
            pass

    seen.run(main)
    assert_line(seen)


def test_async_context_manager_of_contextlib(seen):
    @contextlib.asynccontextmanager
    async def resource():
        yield
        block()

    async def main():
        async with resource():
            pass

    seen.run(main)
    assert_line(seen)


def test_timer(seen):
    async def main():
        done = asyncio.get_running_loop().create_future()

        def tick():
            block()
            done.set_result(None)

        asyncio.get_running_loop().call_later(0.001, tick)
        await done

    seen.run(main)
    stall = assert_line(seen)
    assert stall.task is None
    assert stall.callback.endswith("tick")


def test_callback_and_partial(seen):
    async def main():
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(functools.partial(lambda: (block(), done.set_result(None))))
        await done

    seen.run(main)
    assert assert_line(seen).callback.endswith("<lambda>")


def test_done_callback(seen):
    async def main():
        task = asyncio.ensure_future(clearloop.sleep(0))
        task.add_done_callback(lambda task: block())
        await task
        await asyncio.sleep(0)

    seen.run(main)
    assert_line(seen)


def test_signal_handler(seen):
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, lambda: (block(), done.set_result(None)))
        os.kill(os.getpid(), signal.SIGUSR1)
        await done

    seen.run(main)
    assert_line(seen)


def test_python_signal_handler_between_two_steps(seen):
    async def main():
        before = signal.signal(signal.SIGUSR1, lambda number, frame: block())
        try:
            asyncio.get_running_loop().run_in_executor(None, os.kill, os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(2 * LONG)
        finally:
            signal.signal(signal.SIGUSR1, before)

    seen.run(main)
    assert_line(seen)


def test_data_received(seen):
    class Slow(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            block()
            self.transport.write(data)

    async def main():
        server = await asyncio.get_running_loop().create_server(Slow, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        server.close()

    seen.run(main)
    assert assert_line(seen).stack[-2].function.endswith("data_received")


def test_reader_of_a_descriptor(seen):
    async def main():
        loop = asyncio.get_running_loop()
        mine, theirs = socket.socketpair()
        done = loop.create_future()

        def readable():
            block()
            loop.remove_reader(mine)
            done.set_result(None)

        with mine, theirs:
            loop.add_reader(mine, readable)
            theirs.send(b"x")
            await done

    seen.run(main)
    assert assert_line(seen).callback.endswith("readable")


def test_callback_of_an_executor(seen):
    async def main():
        future = asyncio.get_running_loop().run_in_executor(None, int)
        future.add_done_callback(lambda future: block())
        await future
        await asyncio.sleep(0)

    seen.run(main)
    assert_line(seen)


def test_call_soon_threadsafe(seen):
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.run_in_executor(None, loop.call_soon_threadsafe, lambda: (block(), done.set_result(None)))
        await done

    seen.run(main)
    assert_line(seen)


def test_eager_task(seen):
    async def eager():
        block()

    async def main():
        asyncio.get_running_loop().set_task_factory(clearloop.eager_task_factory)
        task = asyncio.get_running_loop().create_task(eager(), name="eager one")
        await task

    seen.run(main)
    # it blocks inside the step of another task: the blame is its own
    assert assert_line(seen).task == "eager one"


def test_task_of_asyncio_itself(seen):
    async def job():
        block()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **options: asyncio.tasks._CTask(coro, loop=loop, **options))
        await loop.create_task(job(), name="of asyncio")

    if not hasattr(asyncio.tasks, "_CTask"):
        pytest.skip("this Python has only one kind of task")
    seen.run(main)
    assert assert_line(seen).task == "of asyncio"


def test_first_step_of_a_run(seen):
    async def main():
        block()

    seen.run(main)
    assert_line(seen)


def test_c_callback_without_any_frame(seen):
    async def main():
        asyncio.get_running_loop().call_soon(time.sleep, LONG)
        await asyncio.sleep(0.001)

    seen.run(main)
    stall = seen.the_one("blocking")
    assert (stall.file, stall.line, stall.function, stall.stack) == (None, None, None, [])
    assert (stall.callback, stall.call) == ("time.sleep", "time.sleep")


def test_a_turn_of_many_short_steps(seen):
    async def short():
        time.sleep(LONG / 40)  # here

    async def main():
        await asyncio.gather(*[short() for _ in range(80)])

    seen.run(main)
    stall = seen.the_one("blocking")
    assert stall.steps > 1
    assert (stall.file, stall.line) == (__file__, line_of(test_a_turn_of_many_short_steps))


def test_the_longest_place_of_a_step_is_named(seen):
    def short():
        time.sleep(LONG / 4)

    async def main():
        short()
        block()

    seen.run(main)
    stall = seen.the_one("blocking")
    assert (stall.line, stall.function) == (line_of(block), "block")


@pytest.mark.parametrize("depth", [900])
def test_deep_stack(seen, depth):
    def sink(left):
        if left:
            sink(left - 1)
        else:
            block()

    async def main():
        here, frame = 0, sys._getframe()
        while frame is not None:  # inspect.stack() reads sources, which may be a stall of its own
            here, frame = here + 1, frame.f_back
        sink(depth - here - 20)

    seen.run(main)
    stall = assert_line(seen)
    assert len(stall.stack) == 100
    assert stall.stack[-1].function == "block"
    assert stall.stack[0].function.endswith("main")


def test_library_frames_lie_below_the_user_s(seen):
    async def main():
        import subprocess
        import sys

        subprocess.run([sys.executable, "-c", f"import time; time.sleep({LONG})"], check=True)  # here

    seen.run(main)
    stall = seen.the_one("blocking")
    assert stall.line == line_of(test_library_frames_lie_below_the_user_s)
    assert stall.code.startswith("subprocess.run(")
    assert stall.call == "subprocess.run"
    assert len(stall.stack) > 1


DRIVER = """
import time

class Connection:
    def execute(self, query):
        return self._send(query)

    def _send(self, query):
        time.sleep(0.4)
"""


def test_the_call_of_an_attribute_of_self(seen, tmp_path, monkeypatch):
    """The line is the program's, the library's frames lie below it, and what it calls is known by its name."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "driver_of_a_database.py").write_text(DRIVER)
    monkeypatch.syspath_prepend(folder)
    driver = __import__("driver_of_a_database")
    monkeypatch.delitem(sys.modules, "driver_of_a_database")

    class Database:
        def __init__(self):
            self.connection = driver.Connection()

        def fetch(self):
            self.connection.execute("select 1")  # here

    async def main():
        Database().fetch()

    seen.run(main)
    stall = seen.the_one("blocking")
    assert (stall.file, stall.line) == (__file__, line_of(test_the_call_of_an_attribute_of_self))
    assert stall.function.endswith("Database.fetch")
    assert stall.code == 'self.connection.execute("select 1")'
    assert stall.call == "driver_of_a_database.Connection.execute"
    assert [frame.function for frame in stall.stack[-2:]] == ["Connection.execute", "Connection._send"]
