"""Debug mode, statement by statement: https://docs.python.org/3/library/asyncio-dev.html"""

import asyncio
import gc
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest

import clearloop


def debugging(main, **options):
    """Run a coroutine function on a loop in debug mode; return what was logged."""
    seen = []

    class Keep(logging.Handler):
        def emit(self, record):
            seen.append(record)

    keep = Keep()
    logger = logging.getLogger("asyncio")
    logger.addHandler(keep)
    try:
        clearloop.run(main(), debug=True, **options)
    finally:
        logger.removeHandler(keep)
    return seen


def output(program, *options, **environment):
    """What a program writes to stderr; the time it may take is no part of the test."""
    env = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, timeout=60, env=env, check=True
    )
    return done.stderr


# ---- how it is switched on -------------------------------------------------------------------------------------------

SHOW = "import clearloop as c, sys; loop = c.new_event_loop(); print(loop.get_debug(), file=sys.stderr); loop.close()"


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ([], {}, "False"),
        ([], {"PYTHONASYNCIODEBUG": "1"}, "True"),
        (["-X", "dev"], {}, "True"),
    ],
)
def test_switched_on_from_outside(options, environment, expected):
    environment = {"PYTHONASYNCIODEBUG": "", "PYTHONDEVMODE": "", **environment}
    assert output(SHOW, *options, **environment).strip() == expected


def test_switched_on_by_run_by_a_runner_and_while_the_loop_runs():
    async def main():
        loop = asyncio.get_running_loop()
        depth = sys.get_coroutine_origin_tracking_depth()
        seen = [loop.get_debug(), depth > 0]
        loop.set_debug(not loop.get_debug())
        await asyncio.sleep(0)
        return [*seen, loop.get_debug(), sys.get_coroutine_origin_tracking_depth() > 0]

    assert clearloop.run(main(), debug=True) == [True, True, False, False]
    assert clearloop.run(main(), debug=False) == [False, False, True, True]
    with clearloop.Runner(debug=True) as runner:
        assert runner.run(main()) == [True, True, False, False]
    assert sys.get_coroutine_origin_tracking_depth() == 0


# ---- the wrong thread ------------------------------------------------------------------------------------------------

CALLS = {
    "call_soon": lambda loop, future: loop.call_soon(print),
    "call_later": lambda loop, future: loop.call_later(10, print),
    "call_at": lambda loop, future: loop.call_at(loop.time() + 10, print),
    "a result": lambda loop, future: future.set_result(1),
    "an exception": lambda loop, future: future.set_exception(ValueError()),
    "a cancellation": lambda loop, future: future.cancel(),
    "a callback of a done future": lambda loop, future: loop.done.add_done_callback(print),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_not_for_other_threads_raises_there(name):
    raised = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.done = loop.create_future()
        loop.done.set_result(None)
        future = loop.create_future()
        future.add_done_callback(lambda future: None)

        def elsewhere():
            try:
                CALLS[name](loop, future)
            except RuntimeError as error:
                raised.append(str(error))
            if future.done() and not future.cancelled():
                future.exception()

        await asyncio.to_thread(elsewhere)

    debugging(main)
    assert len(raised) == 1 and "Non-thread-safe operation" in raised[0]


def test_create_task_in_another_thread_raises_there():
    async def job():
        pass

    async def main():
        loop = asyncio.get_running_loop()

        def elsewhere():
            coro = job()
            try:
                with pytest.raises(RuntimeError, match="Non-thread-safe operation"):
                    loop.create_task(coro)
            finally:
                coro.close()

        await asyncio.to_thread(elsewhere)
        assert len(asyncio.all_tasks()) == 1

    debugging(main)


def test_what_is_for_other_threads_does_not_raise():
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def elsewhere():
            loop.call_soon_threadsafe(done.set_result, 5)
            return asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 6), loop).result(10)

        assert await asyncio.to_thread(elsewhere) == 6
        assert await done == 5

    debugging(main)


# ---- what cannot be a callback ---------------------------------------------------------------------------------------


def test_coroutines_and_what_cannot_be_called_are_no_callbacks():
    async def job():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        coro = job()
        for call in (
            loop.call_soon,
            loop.call_soon_threadsafe,
            lambda what: loop.call_later(1, what),
            lambda what: loop.call_at(1, what),
            lambda what: loop.run_in_executor(None, what),
        ):
            for what, complaint in ((coro, "coroutines cannot"), (job, "coroutines cannot"), (5, "callable")):
                with pytest.raises(TypeError, match=complaint):
                    call(what)
        with pytest.raises(TypeError, match="coroutines cannot"):
            loop.add_signal_handler(10, job)
        coro.close()

    debugging(main)


# ---- slow callbacks --------------------------------------------------------------------------------------------------


def slow_ones(records):
    return [record.getMessage() for record in records if "Executing" in record.getMessage()]


def test_callbacks_and_steps_that_take_longer_than_their_limit_are_named():
    def slow_callback():
        time.sleep(0.03)

    async def slow_task():
        time.sleep(0.03)

    async def main():
        loop = asyncio.get_running_loop()
        assert loop.slow_callback_duration == 0.1
        loop.slow_callback_duration = 0.02
        loop.call_soon(slow_callback)
        loop.call_later(0, slow_callback)
        await loop.create_task(slow_task(), name="the slow one")
        loop.slow_callback_duration = 10
        loop.call_soon(slow_callback)
        await asyncio.sleep(0)

    said = slow_ones(debugging(main))
    assert sum("slow_callback" in line and "took 0." in line for line in said) == 2
    assert sum("name='the slow one'" in line for line in said) == 1
    assert all(
        record.levelno == logging.WARNING for record in debugging(main) if "Executing" in record.getMessage()
    )


def test_slow_callbacks_of_transports_are_named_too():
    class Slow(asyncio.Protocol):
        def data_received(self, data):
            time.sleep(0.03)
            asyncio.get_running_loop().received.set_result(data)

    async def main():
        loop = asyncio.get_running_loop()
        loop.received = loop.create_future()
        loop.slow_callback_duration = 0.02
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(Slow, sock=ours)
        theirs.send(b"x")
        await loop.received
        transport.close()
        theirs.close()

    assert any("StreamTransport" in line for line in slow_ones(debugging(main)))


def test_a_poll_that_takes_too_long_is_told():
    async def main():
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.0  # then each is too long: the kernel takes some microseconds
        await asyncio.sleep(0.001)
        loop.slow_callback_duration = 10
        await asyncio.sleep(0.001)

    told = [record for record in debugging(main) if "Polling for events took" in record.getMessage()]
    assert told and all(record.levelno == logging.WARNING for record in told)


# ---- where things come from ------------------------------------------------------------------------------------------


def made_here():
    return asyncio.get_running_loop().create_future()


def test_everything_remembers_where_it_was_made():
    async def job():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        task = loop.create_task(job())
        things = [
            made_here(),
            clearloop.Future(),
            task,
            loop.call_soon(int),
            loop.call_later(10, print),
            loop.call_at(loop.time() + 10, print),
            loop.call_soon_threadsafe(int),
            clearloop.gather(made_here()),
            clearloop.shield(made_here()),
        ]
        for thing in things:
            frames = thing._source_traceback
            assert frames[-1].filename.endswith("test_debug_mode.py"), (thing, frames[-1])
        assert things[0]._source_traceback[-1].name == "made_here"
        assert "created at" in repr(things[3])
        await task
        loop.set_debug(False)
        assert not made_here()._source_traceback and not loop.call_soon(int)._source_traceback

    debugging(main)


def test_an_error_that_nobody_fetched_says_where_its_task_was_made():
    async def fails():
        raise ValueError("lost")

    def makes_it():
        asyncio.get_running_loop().create_task(fails())

    async def main():
        makes_it()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    said = [record.getMessage() for record in debugging(main)]
    [text] = [text for text in said if "exception was never retrieved" in text]
    assert "Object created at" in text and "makes_it" in text


def test_a_callback_that_fails_says_where_it_was_scheduled():
    def fails():
        raise ValueError

    def schedules_it():
        asyncio.get_running_loop().call_soon(fails)

    async def main():
        schedules_it()
        await asyncio.sleep(0)

    [text] = [record.getMessage() for record in debugging(main) if "fails" in record.getMessage()]
    assert "created at" in text and "schedules_it" in text


def test_a_task_that_dies_pending_says_where_it_was_made():
    program = """if True:
        import asyncio, clearloop, gc
        async def waits():
            await asyncio.get_running_loop().create_future()
        def makes_it(loop):
            loop.create_task(waits())
        loop = clearloop.new_event_loop()
        loop.set_debug(True)
        loop.call_soon(makes_it, loop)
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.close()
        gc.collect()
    """
    said = output(program)
    assert "Task was destroyed but it is pending!" in said
    assert "makes_it" in said and "Object created at" in said


def test_a_coroutine_that_was_never_awaited_says_where_it_was_made():
    program = """if True:
        import clearloop
        async def job(): pass
        def makes_it():
            job()
        async def main():
            makes_it()
        clearloop.run(main(), debug=%s)
    """
    said = output(program % "True")
    assert "coroutine 'job' was never awaited" in said and "Coroutine created at" in said and "makes_it" in said
    assert "Coroutine created at" not in output(program % "False")


# ---- what was left open ----------------------------------------------------------------------------------------------


async def connection(loop):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    return transport, theirs


async def endpoint(loop):
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    return transport, None


@pytest.mark.parametrize("make", [connection, endpoint], ids=["stream", "datagrams"])
@pytest.mark.parametrize("debug", [False, True])
def test_transports_that_are_never_closed_warn(make, debug):
    async def main():
        transport, other = await make(asyncio.get_running_loop())
        return transport, other

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        held = clearloop.run(main(), debug=debug)
        other = held[1]
        del held
        gc.collect()
    messages = [str(one.message) for one in caught if one.category is ResourceWarning]
    assert [message for message in messages if message.startswith("unclosed transport")], messages
    if other is not None:
        other.close()


def test_loops_that_are_never_closed_warn():
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        clearloop.new_event_loop()
        gc.collect()


def test_async_generators_begun_after_their_shutdown_warn():
    async def numbers():
        yield 1

    async def main():
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        with pytest.warns(ResourceWarning, match="after loop.shutdown_asyncgens"):
            async for _ in numbers():
                pass

    debugging(main)


# ---- sockets and records ---------------------------------------------------------------------------------------------


def test_sockets_that_block_are_refused():
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            for call in (
                lambda: loop.sock_recv(sock, 1),
                lambda: loop.sock_recv_into(sock, bytearray(1)),
                lambda: loop.sock_recvfrom(sock, 1),
                lambda: loop.sock_recvfrom_into(sock, bytearray(1)),
                lambda: loop.sock_sendall(sock, b"x"),
                lambda: loop.sock_sendto(sock, b"x", ("127.0.0.1", 9)),
                lambda: loop.sock_connect(sock, ("127.0.0.1", 9)),
                lambda: loop.sock_accept(sock),
                lambda: loop.sock_sendfile(sock, None),
            ):
                with pytest.raises(ValueError, match="must be non-blocking"):
                    await call()

    debugging(main)


def test_what_is_made_is_logged_at_its_level():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        datagrams, _ = await endpoint(loop)
        transport.pause_reading()
        transport.resume_reading()
        for one in (transport, datagrams, server):
            one.close()
        await server.wait_closed()

    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    try:
        said = [(record.levelname, record.getMessage()) for record in debugging(main)]
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
    for level, part in (
        ("INFO", "is serving"),
        ("INFO", "Datagram endpoint"),
        ("DEBUG", "connected to 127.0.0.1"),
        ("DEBUG", "pauses reading"),
        ("DEBUG", "resumes reading"),
    ):
        assert any(line[0] == level and part in line[1] for line in said), (level, part, said)


def test_logging_in_a_thread_of_its_own_is_no_wrong_thread():
    """The page advises a listener for slow handlers: its thread only sees records."""
    import logging.handlers
    import queue

    records = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    listener = logging.handlers.QueueListener(records, logging.NullHandler())
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    listener.start()
    try:

        async def main():
            asyncio.get_running_loop().slow_callback_duration = 0.0
            await asyncio.sleep(0.001)

        assert debugging(main)
        assert threading.active_count() >= 2
    finally:
        logger.removeHandler(handler)
        listener.stop()
