"""anyio's own primitives, run by its pytest plugin on clearloop's loop.

anyio looks inside tasks (`_fut_waiter`, `_must_cancel`, `_coro`) to deliver its level cancellation: what is right for
asyncio's documented ways can still be wrong here.
"""

import asyncio
import contextvars
import os
import signal
import socket
import threading
import time

import pytest
from chosen import FACTORIES, LOOP

anyio = pytest.importorskip("anyio", reason="anyio is not installed")
from anyio import from_thread, to_thread  # noqa: E402
from anyio.abc import SocketAttribute  # noqa: E402
from anyio.lowlevel import checkpoint  # noqa: E402
from anyio.streams.buffered import BufferedByteReceiveStream  # noqa: E402

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": FACTORIES[LOOP]})


async def test_the_plugin_uses_our_loop():
    assert type(asyncio.get_running_loop()).__module__.split(".")[0] == LOOP


# ---- task groups and cancel scopes -----------------------------------------------------------------------------------


async def test_a_task_group_waits_for_all_and_cancels_the_others_when_one_fails():
    ended = []

    async def sleeper(name):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(name)

    async def fail():
        await checkpoint()
        raise LookupError("one of them")

    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as group:
            for name in range(10):
                group.start_soon(sleeper, name)
            group.start_soon(fail)
    assert caught.group_contains(LookupError, match="one of them", depth=1)
    assert sorted(ended) == list(range(10))


async def test_start_waits_until_the_task_says_that_it_runs():
    async def serve(number, *, task_status):
        await checkpoint()
        task_status.started(number * 2)
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        assert [await group.start(serve, number) for number in range(5)] == [0, 2, 4, 6, 8]
        group.cancel_scope.cancel()


async def test_what_raises_before_started_raises_from_start():
    async def serve(*, task_status):
        await checkpoint()
        raise LookupError("never started")

    async with anyio.create_task_group() as group:
        with pytest.raises(LookupError):
            await group.start(serve)


async def test_a_cancelled_scope_cancels_again_at_every_await():
    caught = 0
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(5):
            try:
                await anyio.sleep(60)
            except asyncio.CancelledError:
                caught += 1
        await checkpoint()
    assert scope.cancelled_caught and caught == 5
    await checkpoint()


async def test_a_shielded_scope_holds_the_outer_cancellation_off():
    done = []
    with anyio.CancelScope() as outer:
        with anyio.CancelScope(shield=True) as inner:
            outer.cancel()
            await anyio.sleep(0.01)
            done.append("in the shield")
            with anyio.move_on_after(0.01) as limit:
                await anyio.sleep(60)
            done.append("limited in the shield")
        await checkpoint()
        done.append("never")
    assert done == ["in the shield", "limited in the shield"]
    assert outer.cancelled_caught and limit.cancelled_caught and not inner.cancelled_caught


async def test_lifting_the_shield_lets_the_cancellation_in():
    with anyio.CancelScope() as outer:
        with anyio.CancelScope(shield=True) as inner:
            outer.cancel()
            await checkpoint()
            inner.shield = False
            await anyio.sleep(60)
    assert outer.cancelled_caught


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_of_nested_scopes_the_cancelled_one_catches(which):
    reached = []
    scopes = [anyio.CancelScope() for _ in range(3)]
    with scopes[0]:
        with scopes[1]:
            with scopes[2]:
                scopes[which].cancel()
                await anyio.sleep(60)
            reached.append(1)
            await checkpoint()
        reached.append(0)
        await checkpoint()
    assert [scope.cancelled_caught for scope in scopes] == [number == which for number in range(3)]
    assert reached == {0: [], 1: [0], 2: [1, 0]}[which]
    assert asyncio.current_task().cancelling() == 0


async def test_move_on_after_and_fail_after():
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(60)
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.01):
            await anyio.sleep(60)
    with anyio.fail_after(60):
        await checkpoint()
    with anyio.move_on_after(60) as scope:
        scope.deadline = anyio.current_time()
        await anyio.sleep(60)
    assert scope.cancelled_caught


async def test_a_timeout_of_asyncio_inside_a_scope_and_a_scope_inside_a_timeout():
    with anyio.move_on_after(60) as scope:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anyio.sleep(60)
    assert not scope.cancelled_caught
    async with asyncio.timeout(60) as limit:
        with anyio.move_on_after(0.01) as scope:
            await asyncio.sleep(60)
        assert scope.cancelled_caught
        await checkpoint()
    assert not limit.expired()


async def test_a_native_cancel_goes_through_a_task_group():
    ended = []

    async def host():
        async with anyio.create_task_group() as group:

            async def child():
                try:
                    await anyio.sleep_forever()
                finally:
                    ended.append(True)

            group.start_soon(child)
            group.start_soon(child)
            await anyio.sleep_forever()

    task = asyncio.create_task(host())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True, True]


async def test_a_scope_cancelled_while_its_task_waits_for_a_child_task():
    async def child():
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
            asyncio.get_running_loop().call_soon(scope.cancel)
    assert scope.cancelled_caught


async def test_cancelled_before_its_first_step():
    ran = []

    async def child():
        ran.append("began")
        await checkpoint()
        ran.append("went on")

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        group.cancel_scope.cancel()
    assert "went on" not in ran


async def test_a_thousand_tasks_in_a_group():
    total = 0

    async def add(number):
        nonlocal total
        await checkpoint()
        total += number

    async with anyio.create_task_group() as group:
        for number in range(1000):
            group.start_soon(add, number)
    assert total == sum(range(1000))


async def test_task_info_names_parents_and_cancellation():
    async def child():
        info = anyio.get_current_task()
        assert info.name == "the child" and info.parent_id == parent.id
        group.cancel_scope.cancel()
        assert info.has_pending_cancellation()

    parent = anyio.get_current_task()
    async with anyio.create_task_group() as group:
        group.start_soon(child, name="the child")
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope(shield=True):
            assert parent.id in {info.id for info in anyio.get_running_tasks()}


# ---- threads ---------------------------------------------------------------------------------------------------------


async def test_to_thread_carries_the_context_and_results_and_errors():
    variable = contextvars.ContextVar("variable")
    variable.set("from the loop")
    assert await to_thread.run_sync(variable.get) == "from the loop"
    assert await to_thread.run_sync(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await to_thread.run_sync(lambda: 1 / 0)


async def test_threads_are_limited():
    running = peak = 0
    lock = threading.Lock()
    limiter = anyio.CapacityLimiter(3)

    def work():
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(lambda: to_thread.run_sync(work, limiter=limiter))
    assert 1 <= peak <= 3


async def test_cancellation_waits_for_the_thread_unless_it_is_abandoned():
    release = threading.Event()
    with anyio.move_on_after(0.01):
        await to_thread.run_sync(release.wait, 20, abandon_on_cancel=True)
    assert not release.is_set()
    release.set()
    finished = []
    with anyio.move_on_after(0.01):
        await to_thread.run_sync(lambda: (time.sleep(0.05), finished.append(True)))
    assert finished == [True]


async def test_from_thread_calls_back_into_the_loop():
    async def double(number):
        await checkpoint()
        return number * 2

    def work():
        assert from_thread.run(double, 21) == 42
        return from_thread.run_sync(threading.get_ident)

    assert await to_thread.run_sync(work) == threading.get_ident()


async def test_a_blocking_portal_from_many_threads():
    async def double(number):
        await anyio.sleep(0.001)
        return number * 2

    async with from_thread.BlockingPortal() as portal:

        def work():
            return [portal.call(double, number) for number in range(20)]

        async with anyio.create_task_group() as group:
            results = []

            async def one():
                results.append(await to_thread.run_sync(work))

            for _ in range(8):
                group.start_soon(one)
    assert results == [[number * 2 for number in range(20)]] * 8


@pytest.mark.anyio(False)
def test_a_portal_that_runs_a_loop_of_its_own():
    with from_thread.start_blocking_portal("asyncio", {"loop_factory": FACTORIES[LOOP]}) as portal:
        assert portal.call(anyio.sleep, 0) is None
        future = portal.start_task_soon(anyio.sleep_forever)
        assert future.cancel()
        group = portal.call(anyio.create_task_group)
        with portal.wrap_async_context_manager(group):
            portal.call(group.start_soon, anyio.sleep, 0.001)


# ---- memory streams and locks ----------------------------------------------------------------------------------------


async def test_memory_streams_hand_over_everything_once():
    send, receive = anyio.create_memory_object_stream[int](10)
    got = []

    async def take():
        async with receive.clone() as mine:
            async for item in mine:
                got.append(item)

    async def give(start):
        async with send.clone() as mine:
            for number in range(start, start + 200):
                await mine.send(number)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(take)
        for start in range(0, 1000, 200):
            group.start_soon(give, start)
        await anyio.wait_all_tasks_blocked()
        send.close()
        receive.close()
    assert sorted(got) == list(range(1000))


async def test_a_cancelled_receiver_loses_no_item():
    send, receive = anyio.create_memory_object_stream[int](0)
    got = []

    async def take():
        with anyio.move_on_after(0.001):
            while True:
                got.append(await receive.receive())

    async with send, receive:
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            sent = 0
            with anyio.move_on_after(0.02):
                while True:
                    await send.send(sent)
                    sent += 1
    assert got == list(range(sent))


async def test_locks_conditions_events_and_semaphores():
    order = []
    lock, condition, event, semaphore = anyio.Lock(), anyio.Condition(), anyio.Event(), anyio.Semaphore(2)

    async def one(number):
        async with lock:
            order.append(number)
            await checkpoint()
        async with condition:
            await condition.wait()
        async with semaphore:
            await checkpoint()
        await event.wait()

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(one, number)
        await anyio.wait_all_tasks_blocked()
        async with condition:
            condition.notify_all()
        await anyio.wait_all_tasks_blocked()
        event.set()
    assert order == list(range(10))
    assert semaphore.value == 2 and not lock.locked()


# ---- sockets ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["tcp", "unix"])
async def pair(request, tmp_path):
    """A listener, and a way to connect to it."""
    if request.param == "tcp":
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        port = listener.extra(SocketAttribute.local_port)
        yield listener, lambda: anyio.connect_tcp("127.0.0.1", port)
    else:
        listener = await anyio.create_unix_listener(tmp_path / "listener.sock")
        yield listener, lambda: anyio.connect_unix(tmp_path / "listener.sock")
    await listener.aclose()


async def test_an_echo_listener_serves_many(pair):
    listener, connect = pair

    async def serve(stream):
        async with stream:
            async for data in stream:
                await stream.send(data)

    async def ask(number):
        async with await connect() as stream:
            body = bytes([number]) * 100_000
            buffered = BufferedByteReceiveStream(stream)
            async with anyio.create_task_group() as inner:
                inner.start_soon(stream.send, body)
                assert await buffered.receive_exactly(len(body)) == body
            await stream.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()

    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        async with anyio.create_task_group() as clients:
            for number in range(50):
                clients.start_soon(ask, number)
        group.cancel_scope.cancel()


async def test_a_send_that_nobody_reads_can_be_cancelled(pair):
    listener, connect = pair

    async def hold(stream):
        async with stream:
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, hold)
        stream = await connect()
        with anyio.move_on_after(0.05) as scope:
            while True:
                await stream.send(bytes(65_536))
        assert scope.cancelled_caught
        await anyio.aclose_forcefully(stream)
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send(b"x")
        group.cancel_scope.cancel()


async def test_receiving_is_one_at_a_time_and_ends_when_closed(pair):
    listener, connect = pair

    async def hold(stream):
        async with stream:
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, hold)
        stream = await connect()

        async def receive():
            with pytest.raises(anyio.ClosedResourceError):
                await stream.receive()

        async with anyio.create_task_group() as inner:
            inner.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await stream.receive()
            await stream.aclose()
        group.cancel_scope.cancel()


async def test_happy_eyeballs_of_anyio():
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        async with anyio.create_task_group() as group:

            async def greet(stream):
                async with stream:
                    await stream.send(b"hello")

            group.start_soon(listener.serve, greet)
            async with await anyio.connect_tcp("localhost", listener.extra(SocketAttribute.local_port)) as stream:
                assert await stream.receive() == b"hello"
            group.cancel_scope.cancel()


async def test_datagrams():
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as server:
        port = server.extra(SocketAttribute.local_port)
        async with await anyio.create_connected_udp_socket("127.0.0.1", port) as client:
            for number in range(20):
                await client.send(b"%d" % number)
                data, sender = await server.receive()
                await server.sendto(data * 2, *sender)
                assert await client.receive() == b"%d" % number * 2


async def test_waiting_for_a_plain_socket_and_for_its_end():
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        await anyio.wait_writable(left)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.wait_readable, left)
            await anyio.wait_all_tasks_blocked()
            right.send(b"x")
        assert left.recv(1) == b"x"
        with anyio.move_on_after(0.01) as scope:
            await anyio.wait_readable(left)
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:

            async def wait():
                with pytest.raises(anyio.ClosedResourceError):
                    await anyio.wait_readable(left)

            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            anyio.notify_closing(left)


# ---- signals, subprocess-free ----------------------------------------------------------------------------------------


async def test_signals_arrive_as_a_stream():
    with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as signals:
        got = []
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            os.kill(os.getpid(), number)
            async for one in signals:
                got.append(one)
                break
    assert got == [signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1]


async def test_files(tmp_path):
    path = anyio.Path(tmp_path / "file.txt")
    async with await anyio.open_file(path, "w") as file:
        for number in range(100):
            await file.write(f"{number}\n")
    assert [line.strip() async for line in await anyio.open_file(path)] == [str(number) for number in range(100)]
    assert await path.exists()
