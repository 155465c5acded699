"""A busy, well-behaved service on a machine that has too much to do; now and then it blocks, in block() and compute().

Run by test_no_false_blame.py: python soak.py SECONDS.  It prints how often each of the two ran.  A machine that is too
slow to do both in that time gets up to five times as long.
"""

import asyncio
import gc
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import clearloop

SECONDS = float(sys.argv[1])
STOPPED = 0.3  # seconds that the process is stopped, every STOP_EVERY
STOP_EVERY = 2.0
BLOCK = 0.8  # longer than it is ever stopped: what is left is still a stall
COMPUTE = 0.4  # of its own processor time

# Stops its parent and lets it go on, until the parent is gone
STOPPER = f"""
import os, signal, time
parent = os.getppid()
while os.getppid() == parent:
    time.sleep({STOP_EVERY})
    if os.getppid() == parent:
        os.kill(parent, signal.SIGSTOP)
        time.sleep({STOPPED})
        os.kill(parent, signal.SIGCONT)
"""
SPINNER = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10000))"

deliberate = {"blocking": 0, "compute": 0}
over = threading.Event()


def block():
    deliberate["blocking"] += 1
    time.sleep(BLOCK)


def compute():
    deliberate["compute"] += 1
    end = time.thread_time() + COMPUTE
    while time.thread_time() < end:
        sum(range(1000))


def the_other():
    """First the one, then the other; then either."""
    (block if not deliberate["blocking"] else compute)()


class Node:
    """Garbage that only the collector finds."""

    def __init__(self, other=None):
        self.other = other or Node(self)


async def short_steps():
    while not over.is_set():
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(random.random() / 50)
        Node()


async def answer(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not over.is_set():
        writer.write(b"x" * 1000 + b"\n")
        assert len(await reader.readline()) == 1001
        await asyncio.sleep(random.random() / 100)
    writer.close()


async def in_threads():
    while not over.is_set():
        await clearloop.run_sync(hashlib.pbkdf2_hmac, "sha256", b"secret", b"salt", 20_000)


async def children_of_tasks():
    async def leaf():
        await asyncio.sleep(0)

    while not over.is_set():
        await asyncio.gather(*(leaf() for _ in range(50)))
        await asyncio.sleep(0.01)


async def service(deliberately):
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tasks = [asyncio.create_task(work) for work in (*(short_steps() for _ in range(40)), in_threads())]
    tasks += [asyncio.create_task(ask(port)) for _ in range(10)] + [asyncio.create_task(children_of_tasks())]
    began = time.monotonic()
    while (lasted := time.monotonic() - began) < SECONDS * 5 and not over.is_set():
        if lasted > SECONDS and (not deliberately or all(deliberate.values())):
            break
        await asyncio.sleep(0.5)
        if deliberately and lasted > 0.5:
            random.choice((block, compute))() if all(deliberate.values()) else the_other()
            await asyncio.sleep(1)
    over.set()
    await asyncio.gather(*tasks)
    server.close()


def loops_that_come_and_go():
    async def little():
        await asyncio.gather(*(asyncio.sleep(random.random() / 100) for _ in range(10)))

    while not over.is_set():
        with asyncio.Runner(loop_factory=clearloop.new_event_loop) as runner:
            runner.run(little())


def second_loop():
    with asyncio.Runner(loop_factory=clearloop.new_event_loop) as runner:
        runner.run(service(deliberately=False))


def thread_that_computes():
    while not over.is_set():
        sum(range(20_000))


def quiet_loop():
    loop = clearloop.new_event_loop()
    loop.slow_callback_duration = 0
    return loop


async def warm_up():
    """What is imported when it is first needed is a matter of another test."""
    asyncio.get_running_loop().call_later(0.3, over.set)
    await service(deliberately=False)
    over.clear()


def main():
    with asyncio.Runner(loop_factory=quiet_loop) as runner:
        runner.run(warm_up())
    gc.set_threshold(200, 5, 5)
    beside = [subprocess.Popen([sys.executable, "-c", SPINNER]) for _ in range(os.cpu_count() + 1)]
    beside.append(subprocess.Popen([sys.executable, "-c", STOPPER]))
    threads = [
        threading.Thread(target=target) for target in (loops_that_come_and_go, second_loop, thread_that_computes)
    ]
    try:
        for thread in threads:
            thread.start()
        with asyncio.Runner(loop_factory=clearloop.new_event_loop) as runner:
            runner.run(service(deliberately=True))
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for child in beside:
            child.kill()
            child.wait()
        os.kill(os.getpid(), signal.SIGCONT)
    print(json.dumps(deliberate))


main()
