"""A loop that is dropped without close() says so and goes, with all that waits in its queues.

The queues are C memory.  The collector sees them through the loop, or the loop would hold itself for ever.
"""

import asyncio
import gc
import socket
import warnings
import weakref

import pytest

import clearloop
from descriptors import left_open, open_descriptors


class Payload:
    """Something that a callback holds; it goes when the callback goes."""


def leave_call_soon(loop, payload):
    loop.call_soon(lambda: payload)


def leave_call_soon_threadsafe(loop, payload):
    loop.call_soon_threadsafe(lambda: payload)


def leave_callback_of_a_done_future(loop, payload):
    future = loop.create_future()
    future.add_done_callback(lambda future: payload)
    future.set_result(None)


def leave_call_later(loop, payload):
    loop.call_later(1000, lambda: payload)


def leave_cancelled_timer(loop, payload):
    loop.call_later(1000, lambda: payload).cancel()


def leave_held_timer(loop, payload):
    payload.handle = loop.call_later(1000, lambda: (payload, loop))


def leave_reader(loop, payload):
    ours, theirs = socket.socketpair()
    payload.sockets = (ours, theirs)
    loop.add_reader(ours, lambda: (payload, loop))


def leave_signal_handler(loop, payload):
    import signal

    loop.add_signal_handler(signal.SIGUSR1, lambda: (payload, loop))


def leave_unstarted_connection(loop, payload):
    from clearloop.net.transport import make_stream

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

    ours, theirs = socket.socketpair()
    protocol = Protocol()
    protocol.held = (payload, loop)
    protocol.other = theirs
    ours.setblocking(False)
    make_stream(loop, ours, protocol)


def leave_lost_connection(loop, payload):
    leave_unstarted_connection(loop, payload)
    run_a_little(loop)
    for transport in loop._transports.held():
        transport.abort()


def leave_waiting_task(loop, payload):
    async def wait():
        held = (payload, loop)
        await loop.create_future()
        return held

    loop.create_task(wait())._log_destroy_pending = False
    run_a_little(loop)


def leave_sleeping_task(loop, payload):
    async def wait():
        held = (payload, loop)
        await clearloop.sleep(1000)
        return held

    loop.create_task(wait())._log_destroy_pending = False
    run_a_little(loop)


def leave_task_in_timeout(loop, payload):
    async def wait():
        held = (payload, loop)
        async with clearloop.timeout(1000):
            await loop.create_future()
        return held

    loop.create_task(wait())._log_destroy_pending = False
    run_a_little(loop)


def leave_unstarted_task(loop, payload):
    async def wait():
        return payload, loop

    task = loop.create_task(wait())
    task._log_destroy_pending = False
    task.get_coro().close()


def leave_timers_of_a_run(loop, payload):
    async def main():
        loop.call_later(1000, lambda: (payload, loop))
        loop.call_soon(lambda: loop.call_soon(lambda: (payload, loop)))

    loop.run_until_complete(main())


def leave_exception_in_future(loop, payload):
    future = loop.create_future()
    future.payload = payload
    future.me = future
    future.set_exception(ValueError(payload, future))
    future.exception()


def run_a_little(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


LEAVINGS = [value for name, value in sorted(globals().items()) if name.startswith("leave_")]


@pytest.mark.parametrize("leave", LEAVINGS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("times_run", [0, 1])
def test_a_dropped_loop_is_collected_with_what_it_holds(leave, times_run):
    loop = clearloop.new_event_loop()
    for _ in range(times_run):
        run_a_little(loop)
    payload = Payload()
    leave(loop, payload)
    gone = [weakref.ref(loop), weakref.ref(payload)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop, payload
        gc.collect()
        said = [str(warning.message) for warning in caught if isinstance(warning.message, ResourceWarning)]
        caught.clear()  # a warning holds its source; from 3.15 weak references to it still work then
        for _ in range(3):
            gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert any("unclosed event loop" in text for text in said)


@pytest.mark.parametrize("leave", LEAVINGS, ids=lambda f: f.__name__)
def test_a_closed_loop_holds_nothing(leave):
    loop = clearloop.new_event_loop()
    payload = Payload()
    leave(loop, payload)
    loop.close()
    gone = [weakref.ref(loop), weakref.ref(payload)]
    del loop, payload
    for _ in range(3):
        gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_descriptors_of_dropped_loops_are_given_back():
    def dropped():
        loop = clearloop.new_event_loop()
        leave_waiting_task(loop, Payload())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dropped()
        gc.collect()
        before = open_descriptors()
        for _ in range(20):
            dropped()
        for _ in range(3):
            gc.collect()
    assert left_open(before) == set()


def test_a_pending_task_of_a_dropped_loop_is_reported():
    reports = []

    def dropped():
        loop = clearloop.new_event_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))

        async def wait():
            await loop.create_future()

        loop.create_task(wait())
        run_a_little(loop)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dropped()
        for _ in range(3):
            gc.collect()
    assert reports == ["Task was destroyed but it is pending!"]


def test_collecting_while_the_loop_is_busy_takes_nothing_away():
    fired = []

    async def job(number):
        await clearloop.sleep(0.001)
        await asyncio.sleep(0.001)
        gc.collect()
        fired.append(number)

    async def main():
        loop = asyncio.get_running_loop()
        for number in range(30):
            loop.create_task(job(number))  # nobody holds it
            loop.call_later(0.001, fired.append, -1)
            gc.collect(0)
        del loop
        gc.collect()
        while len(fired) < 60:
            await asyncio.sleep(0.001)

    clearloop.run(main())
    assert sorted(fired) == [-1] * 30 + list(range(30))
