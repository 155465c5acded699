"""communicate(): output of every size comes through whole, and the pipes that much goes through are widened."""

import asyncio
import fcntl
import functools
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from process_tools import nothing_left, run, until

import clearloop
from clearloop.net.pipe_transport import Collector

PART = 4 * 64 * 1024 + 64
USUAL, WIDE, MOST_WIDE = 64 * 1024, 256 * 1024, 16

linux = pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes can be widened on Linux alone")


def cat(**options):
    return clearloop.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def width(process, number):
    return fcntl.fcntl(process._transport.get_pipe_transport(number)._fileno, fcntl.F_GETPIPE_SZ)


def ends_closed(processes):
    ends = [process._transport.get_pipe_transport(number) for process in processes for number in (0, 1)]
    return all(end._fileno < 0 for end in ends)


# ---- what comes out --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 1000, USUAL, PART - USUAL, PART - 1, PART, PART + 1, 9 << 20]), max_size=6))
def test_a_collector_gives_back_what_was_put_in(sizes):
    collector, rest = Collector(), random.Random(1)
    pieces = [bytes([rest.randrange(256)]) * size for size in sizes]
    for _ in range(2):  # once finished, it begins anew
        for piece in pieces:
            collector.add(piece)
        assert collector.finish() == b"".join(pieces)


def test_a_collector_needs_no_finish():
    collector = Collector()
    collector.add(b"x" * (1 << 20))
    del collector


NO_MEMORY = """
import resource
from clearloop.net.pipe_transport import Collector

piece, collector = b"x" * (20 << 20), Collector()
collector.add(piece)
collector.add(piece)  # now its object is full
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
usual = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), usual[1]))
try:
    collector.add(piece)
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, usual)
    print(collector.finish())
    collector.add(b"anew")
    print(collector.finish())
"""


@linux
def test_a_collector_that_cannot_grow_is_empty():
    """And gives back nothing that was never written."""
    said = subprocess.run([sys.executable, "-c", NO_MEMORY], capture_output=True, check=True, timeout=60).stdout
    assert said.split() == [b"b''", b"b'anew'"]


# The ends of the first part, of those that are kept for the next output, and of the last one before it is one object
@pytest.mark.parametrize("size", [0, 1, PART - USUAL, PART, PART + 1, 4 * PART, (8 << 20) + 12345, 40 << 20])
def test_output_of_every_size(size):
    async def main():
        data = random.Random(size).randbytes(size)
        for _ in range(2):  # the second finds the first one's parts
            process = await cat()
            assert (await process.communicate(data))[0] == data

    with nothing_left():
        run(main())


def test_outputs_at_the_same_time_do_not_meet():
    """Neither among each other, nor an output with what was read into the same part later."""

    async def one(number):
        process = await cat()
        return (await process.communicate(bytes([number]) * 3_000_000))[0]

    async def main():
        first = await asyncio.gather(*map(one, range(1, 9)))
        second = await asyncio.gather(*map(one, range(11, 19)))
        for number, output in [*enumerate(first, 1), *enumerate(second, 11)]:
            assert output == bytes([number]) * 3_000_000

    with nothing_left():
        run(main())


@pytest.mark.parametrize("size", [100_000, 3_000_000, 20_000_000])
def test_cancelled_it_leaves_all_that_came_to_the_stream_in_order(size):
    async def main():
        code = (
            f"import random, sys; sys.stdout.buffer.write(random.Random(7).randbytes({size})); "
            "sys.stdout.flush(); sys.stdin.read()"
        )
        process = await clearloop.create_subprocess_exec(
            sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stdin = os.dup(process._transport.get_pipe_transport(0)._fileno)  # communicate() closes the other
        task = asyncio.create_task(process.communicate())
        pipe = process._transport.get_pipe_transport(1)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            await until(lambda: fcntl.fcntl(pipe._fileno, fcntl.F_GETPIPE_SZ) != USUAL)  # some of it has come
        else:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.close(stdin)
        assert await process.stdout.read() == random.Random(7).randbytes(size)
        assert await process.wait() == 0

    with nothing_left():
        run(main())


# ---- how wide the pipes are ------------------------------------------------------------------------------------------


@linux
def test_pipes_of_little_are_left_as_they_are():
    async def main():
        process = await cat()
        task = asyncio.create_task(process.communicate(b"x" * 1000))
        await asyncio.sleep(0)
        assert width(process, 1) == USUAL
        assert (await task)[0] == b"x" * 1000

    with nothing_left():
        run(main())


@linux
def test_the_pipe_of_much_is_widened():
    async def main():
        process = await cat()
        process.stdin.write(bytes(WIDE + USUAL))
        await until(lambda: width(process, 0) == WIDE)
        assert (await process.communicate())[0] == bytes(WIDE + USUAL)

    with nothing_left():
        run(main())


@linux
@pytest.mark.parametrize("wanted", [4096, USUAL, 2 * USUAL])
def test_a_width_that_was_asked_for_stays(wanted):
    async def main():
        process = await cat(pipesize=wanted)
        process.stdin.write(bytes(2 << 20))
        await asyncio.sleep(0)
        assert (width(process, 0), width(process, 1)) == (wanted, wanted)
        kept = os.dup(process._transport.get_pipe_transport(1)._fileno)  # of the pipe, beyond its transport's end
        try:
            assert (await process.communicate())[0] == bytes(2 << 20)
            assert fcntl.fcntl(kept, fcntl.F_GETPIPE_SZ) == wanted
        finally:
            os.close(kept)

    with nothing_left():
        run(main())


@linux
def test_few_are_wide_at_a_time_and_the_room_is_given_back():
    async def main():
        for _ in range(2):
            processes = [await cat() for _ in range(MOST_WIDE + 4)]
            for process in processes:
                process.stdin.write(bytes(2 << 20))  # more than the child passes on: nobody reads its output yet
            await asyncio.sleep(0)
            assert [width(process, 0) for process in processes] == [WIDE] * MOST_WIDE + [USUAL] * 4
            outputs = await asyncio.gather(*(process.communicate() for process in processes))
            assert [len(output) for output, _ in outputs] == [2 << 20] * len(processes)
            await until(functools.partial(ends_closed, processes))

    with nothing_left():
        run(main())
