"""Which poller a loop gets, and what the one over `selectors` makes up for.

All other tests hold for both: they run with CLEARLOOP_POLLER=selectors as well.
"""

import asyncio
import gc
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading

import pytest

import clearloop
from clearloop.system.poller import HAS_EPOLL
from descriptors import far_away

KINDS = [
    kind
    for name in ("EpollSelector", "PollSelector", "SelectSelector", "KqueueSelector")
    if (kind := getattr(selectors, name, None)) is not None
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def selector(request):
    return request.param()


def run(main, **settings):
    with asyncio.Runner(loop_factory=lambda: clearloop.new_event_loop(**settings)) as runner:
        return runner.run(main)


async def echo():
    """Bytes through a server by streams, and through bare sockets; a timer and a thread beside it."""

    async def serve(reader, writer):
        writer.write(await reader.readexactly(300_000))
        await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x" * 300_000)
    got = await reader.read(-1)
    writer.close()
    server.close()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        waiting = asyncio.ensure_future(loop.sock_recv(one, 10))
        await asyncio.sleep(0.001)
        await loop.run_in_executor(None, other.send, b"hello")
        return len(got), await waiting


def test_any_selector_carries_a_program(selector):
    assert run(echo(), poller=selector) == (300_000, b"hello")


def test_a_selector_of_the_program_is_closed_with_the_loop(selector):
    loop = clearloop.new_event_loop(poller=selector)
    one, other = socket.socketpair()
    with one, other:
        loop.add_reader(one, print)
        assert one.fileno() in selector.get_map()
        loop.close()
        assert not selector.get_map()


def test_pollers_by_name():
    for name in ("selectors", *(["epoll"] if HAS_EPOLL else [])):
        assert run(echo(), poller=name) == (300_000, b"hello")
        loop = clearloop.EventLoop(poller=name)
        loop.close()


@pytest.mark.parametrize("wrong", ["kqueue!", ""])
def test_a_poller_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match="poller"):
        clearloop.new_event_loop(poller=wrong)


REPORT = """
import clearloop, selectors
made = []
init = selectors.DefaultSelector.__init__
selectors.DefaultSelector.__init__ = lambda self: (made.append(self), init(self))[1]
clearloop.new_event_loop().close()
print(len(made))
"""


def test_the_environment_chooses():
    def made(**more):
        environment = {name: value for name, value in os.environ.items() if name != "CLEARLOOP_POLLER"}
        ran = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, text=True, env=environment | more)
        return ran.stdout.strip() or ran.stderr

    assert made(CLEARLOOP_POLLER="selectors") == "1"
    assert "no poller is called 'iouring'" in made(CLEARLOOP_POLLER="iouring")
    if HAS_EPOLL:
        assert made() == made(CLEARLOOP_POLLER="epoll") == "0"


def test_a_descriptor_that_is_closed_while_it_is_watched_stops_nobody(selector):
    loop = clearloop.new_event_loop(poller=selector)
    one, other = socket.socketpair()
    third, fourth = socket.socketpair()
    heard = []

    def hear():
        heard.append(fourth.recv(10))
        loop.stop()

    loop.add_reader(one.fileno(), lambda: None)
    loop.add_reader(fourth.fileno(), hear)
    one.close()
    loop.call_later(0.01, third.send, b"still here")
    loop.run_forever()
    loop.close()
    for sock in (other, third, fourth):
        sock.close()
    assert heard == [b"still here"]


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="only epoll keeps what nobody can name")
def test_a_file_that_lives_on_in_a_duplicate_does_not_keep_the_loop_busy(monkeypatch):
    asked = []

    class Counting(selectors.DefaultSelector):
        def select(self, timeout=None):
            asked.append(timeout)
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Counting)
    loop = clearloop.new_event_loop(poller="selectors")
    one, other = socket.socketpair()
    one = far_away(one)
    other.send(b"so it is readable for ever")
    loop.add_reader(one.fileno(), lambda: None)
    number = one.fileno()
    duplicate = os.dup(number)
    one.close()
    loop.remove_reader(number)  # too late: epoll has the file, and no number for it any more
    filler = far_away(socket.socket())  # nothing else that is watched gets the number
    assert filler.fileno() == number
    loop.call_later(0.2, loop.stop)
    loop.run_forever()
    assert 1 < len(asked) < 50  # it was busy, noticed, and is idle since
    filler.close()
    os.close(duplicate)
    other.close()
    loop.close()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="only epoll refuses a number that it has")
def test_a_number_that_a_duplicate_brought_back_is_watched_again():
    loop = clearloop.new_event_loop(poller="selectors")
    one, other = socket.socketpair()
    one = far_away(one)
    number, duplicate = one.fileno(), os.dup(one.fileno())
    loop.add_reader(number, lambda: None)
    one.close()
    loop.remove_reader(number)
    os.dup2(duplicate, number)  # the same open file under the same number: epoll has never let go of it
    heard = []
    loop.add_reader(number, lambda: (heard.append(os.read(number, 10)), loop.stop()))
    loop.call_soon(other.send, b"again")
    loop.run_forever()
    loop.close()
    os.close(number)
    os.close(duplicate)
    other.close()
    assert heard == [b"again"]


def test_many_descriptors_may_be_ready_at_once(selector):
    loop = clearloop.new_event_loop(poller=selector)
    pairs = [socket.socketpair() for _ in range(150)]
    heard = set()

    def hear(place):
        heard.add((place, pairs[place][0].recv(10)))
        if len(heard) == len(pairs):
            loop.stop()

    for place, (one, other) in enumerate(pairs):
        loop.add_reader(one, hear, place)
        other.send(b"%d" % place)
    loop.run_forever()
    loop.close()
    for pair in pairs:
        for end in pair:
            end.close()
    assert heard == {(place, b"%d" % place) for place in range(150)}


def test_threads_wake_a_loop_however_often(selector):
    loop = clearloop.new_event_loop(poller=selector)
    came = []

    def shout():
        for number in range(2000):
            loop.call_soon_threadsafe(came.append, number)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=shout)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()
    assert came == list(range(2000))


def test_a_signal_handler_of_the_program_wakes_a_sleeping_loop(selector):
    loop = clearloop.new_event_loop(poller=selector)
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: loop.call_soon(loop.stop))
    try:
        killer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
        loop.call_soon(killer.start)
        loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, previous)
        loop.close()


def test_no_descriptor_is_left_behind(selector):
    clearloop.new_event_loop(poller=selector).close()  # what is made once
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        loop = clearloop.new_event_loop(poller=type(selector)())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    dropped = clearloop.new_event_loop(poller=type(selector)())
    with pytest.warns(ResourceWarning):
        del dropped
        gc.collect()
    assert len(os.listdir("/dev/fd")) == before


def test_a_poller_that_cannot_be_made_leaves_nothing_open():
    class Broken(selectors.DefaultSelector):
        def register(self, fileobj, events, data=None):
            raise OSError("out of order")

    before = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="out of order"):
        clearloop.new_event_loop(poller=Broken())
    gc.collect()
    assert len(os.listdir("/dev/fd")) == before
