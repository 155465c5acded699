"""What the tests of pipes and children share: a loop with an end, protocols that record, a count of what is open."""

import asyncio
import contextlib
import fcntl
import gc
import os
import subprocess
import sys
import time

import clearloop
from descriptors import open_descriptors, opened_since


def run(main, limit=60, **options):
    """Run a coroutine on a fresh clearloop loop, with an end if it hangs."""

    async def limited():
        async with asyncio.timeout(limit):
            return await main

    with asyncio.Runner(loop_factory=clearloop.new_event_loop, **options) as runner:
        return runner.run(limited())


async def until(condition):
    """Turn after turn until `condition()` holds; the test's limit ends it if it never does."""
    while not condition():
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def reports():
    """The contexts that the running loop's exception handler is given."""
    loop = asyncio.get_running_loop()
    found = []
    loop.set_exception_handler(lambda loop, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


def children():
    """The pids of this process's children, zombies included."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
            found.extend(map(int, file.read().split()))
    return sorted(found)


@contextlib.contextmanager
def nothing_left():
    """No descriptor and no child more than before; what others had before may go meanwhile."""
    gc.collect()
    before, theirs = open_descriptors(), set(children())
    yield
    for _ in range(200):
        gc.collect()
        descriptors, ours = opened_since(before), set(children()) - theirs
        if not descriptors and not ours:
            return
        time.sleep(0.01)  # a thread of somebody else's pool may be on its way out
    raise AssertionError(f"left: descriptors {descriptors}, children {ours}")


class Reader(asyncio.Protocol):
    """Keeps what a read pipe calls, in order; `lost` is done when it closes."""

    def __init__(self):
        self.calls = []
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data):
        assert type(data) is bytes
        self.calls.append("data")
        self.data += data

    def eof_received(self):
        self.calls.append("eof")
        return True  # a pipe has no other direction to stay open for

    def connection_lost(self, error):
        self.calls.append("lost")
        self.lost.set_result(error)


class Writer(asyncio.BaseProtocol):
    """The same for a write pipe."""

    def __init__(self):
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, error):
        self.calls.append("lost")
        self.lost.set_result(error)


def small_pipe(size=4096):
    """A pipe that holds `size` bytes: (reading end, writing end)."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
    return reading, writing


async def read_end(fd, protocol=Reader):
    return await asyncio.get_running_loop().connect_read_pipe(protocol, open(fd, "rb", 0))


async def write_end(fd, protocol=Writer):
    return await asyncio.get_running_loop().connect_write_pipe(protocol, open(fd, "wb", 0))


def drain(fd):
    """What can be read from a descriptor without waiting."""
    os.set_blocking(fd, False)
    parts = []
    with contextlib.suppress(BlockingIOError):
        while part := os.read(fd, 1 << 20):
            parts.append(part)
    return b"".join(parts)


def python(code):
    return sys.executable, "-c", code


async def output(*args, api=clearloop, **options):
    """(exit code, stdout, stderr) of a program."""
    process = await api.create_subprocess_exec(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    out, err = await process.communicate()
    return process.returncode, out, err


class Recorder(asyncio.SubprocessProtocol):
    def __init__(self):
        self.calls = []
        self.data = {1: b"", 2: b""}
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")

    def pipe_data_received(self, fd, data):
        self.calls.append(("data", fd))
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.calls.append(("closed", fd))

    def process_exited(self):
        self.calls.append("exited")

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)
