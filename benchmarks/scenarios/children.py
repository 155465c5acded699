"""Pipes and child processes: messages through a pipe, starting a program and waiting for its end, and talking to one.

What counts is this process's CPU time; what the children spend is theirs.  The bare cost of vfork, execve and waitpid
in a C program is some 40 of the 90 us.
"""

import asyncio
import os
import subprocess

from catalog import STEPS, Goal, Scenario

MESSAGE = bytes(1024)
AMOUNT = bytes(4 << 20)


class Answer(asyncio.Protocol):
    """Sends back by the other pipe what comes in by this one."""

    writer = None

    def data_received(self, data):
        self.writer.write(data)


class Count(asyncio.Protocol):
    """Sends the next message when the last one has come back."""

    def __init__(self, n, done):
        self.left = n
        self.done = done
        self.writer = None

    def data_received(self, data):
        self.left -= 1
        if self.left > 0:
            self.writer.write(MESSAGE)
        else:
            self.done.set_result(None)


async def round_trips(bench, n):
    loop = bench.loop
    there, back = os.pipe(), os.pipe()
    done = loop.create_future()
    count, answer = Count(n, done), Answer()
    opened = [
        await loop.connect_read_pipe(lambda: answer, open(there[0], "rb", 0)),
        await loop.connect_read_pipe(lambda: count, open(back[0], "rb", 0)),
    ]
    count.writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, open(there[1], "wb", 0))
    answer.writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, open(back[1], "wb", 0))
    count.writer.write(MESSAGE)
    await done
    for transport in (count.writer, answer.writer, *(transport for transport, _ in opened)):
        transport.close()


async def start_and_wait(bench, n):
    for _ in range(n):
        process = await bench.api.create_subprocess_exec("/bin/true")
        await process.wait()


async def communicate(bench, n):
    for _ in range(n):
        process = await bench.api.create_subprocess_exec("/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        await process.communicate(MESSAGE)


async def communicate_much(bench, n):
    for _ in range(n):
        process = await bench.api.create_subprocess_exec("/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        await process.communicate(AMOUNT)


SCENARIOS = [
    Scenario("pipe round trips, 1 KiB", STEPS, round_trips),
    Scenario("start a program and wait, clearloop", STEPS, start_and_wait, Goal(1.3), n=200, quick_n=20),
    Scenario("start a program and wait, asyncio", STEPS, start_and_wait, Goal(1.3), api="asyncio", n=200, quick_n=20),
    Scenario("communicate 1 KiB, clearloop", STEPS, communicate, Goal(1.2), n=100, quick_n=10),
    Scenario("communicate 1 KiB, asyncio", STEPS, communicate, Goal(1.2), api="asyncio", n=100, quick_n=10),
    Scenario("communicate 4 MiB, clearloop", STEPS, communicate_much, Goal(1.2), n=40, quick_n=4),
]
