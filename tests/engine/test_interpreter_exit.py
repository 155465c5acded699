"""A program that ends with its loop left open says nothing about the insides of the loop while it is taken apart."""

import subprocess
import sys

import pytest

START = """
import asyncio, clearloop
loop = clearloop.get_event_loop()
async def for_ever():
    await loop.create_future()
async def fail():
    raise ValueError
"""
LEFT_OPEN = {
    "nothing": "loop.run_until_complete(clearloop.sleep(0))",
    "a waiting task": "kept = loop.create_task(for_ever()); loop.run_until_complete(clearloop.sleep(0))",
    "a sleeping task": "kept = loop.create_task(clearloop.sleep(100)); loop.run_until_complete(clearloop.sleep(0))",
    "a task that never ran": "kept = loop.create_task(for_ever())",
    "a failed task": "kept = loop.create_task(fail()); loop.run_until_complete(clearloop.sleep(0))",
    "a timer": "kept = loop.call_later(100, print)",
    "a server": "kept = loop.run_until_complete(loop.create_server(asyncio.Protocol, '127.0.0.1', 0))",
    "a connection": """
async def connect():
    server = await loop.create_server(asyncio.Protocol, '127.0.0.1', 0)
    return server, await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
kept = loop.run_until_complete(connect())
""",
    "a datagram endpoint": """
kept = loop.run_until_complete(loop.create_datagram_endpoint(asyncio.DatagramProtocol, ('127.0.0.1', 0)))
""",
    "a waiter of a lock": """
lock = clearloop.Lock()
async def wait():
    await lock.acquire()
    return asyncio.ensure_future(lock.acquire()), await clearloop.sleep(0)
kept = loop.run_until_complete(wait())
""",
}


@pytest.mark.parametrize("held", ["", "\nround = [loop]; round.append(round); loop.round = round"], ids=["", "cycle"])
@pytest.mark.parametrize("left", LEFT_OPEN)
def test_exit_is_quiet_about_what_is_left(left, held):
    ran = subprocess.run(
        [sys.executable, "-c", START + LEFT_OPEN[left] + held], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0
    for word in ("excepthook", "NameError", "AttributeError", "NoneType", "Exception ignored"):
        assert word not in ran.stderr, ran.stderr
