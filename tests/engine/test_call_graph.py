"""asyncio's call graph (from Python 3.14) sees who waits for whom, through everything that waits for others.

Each case runs with clearloop's own functions and with asyncio's, on clearloop's loop: the graph is the same.
"""

import asyncio
import gc
import io
import subprocess
import sys
import weakref

import pytest

import clearloop

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "capture_call_graph"), reason="asyncio has no call graph yet")
BOTH = pytest.mark.parametrize("kit", [clearloop, asyncio], ids=["clearloop", "asyncio"])


def names(graph):
    """The graph as (name of the task, coroutines from the innermost, those who await it)."""
    return (
        graph.future.get_name() if isinstance(graph.future, asyncio.Task) else "future",
        [entry.frame.f_code.co_name for entry in graph.call_stack],
        sorted(names(parent) for parent in graph.awaited_by),
    )


def parents(future):
    return sorted(parent.future.get_name() for parent in asyncio.capture_call_graph(future).awaited_by)


def run(main):
    async def limited():
        async with asyncio.timeout(20):
            return await main

    return clearloop.run(limited())


async def job(future):
    return await future


async def settle():
    for _ in range(3):
        await asyncio.sleep(0)


async def direct(kit, task):
    await task


async def in_gather(kit, task):
    await kit.gather(task, kit.sleep(0))


async def in_nested_gather(kit, task):
    await kit.gather(kit.gather(task), kit.sleep(0))


async def in_wait(kit, task):
    await kit.wait([task])


async def in_wait_with_timeout(kit, task):
    await kit.wait([task], timeout=10, return_when=kit.FIRST_COMPLETED)


async def in_shield(kit, task):
    await kit.shield(task)


async def in_wait_for(kit, task):
    await kit.wait_for(task, 10)


async def in_shielded_wait_for(kit, task):
    await kit.wait_for(kit.shield(task), 10)


async def in_timeout(kit, task):
    async with kit.timeout(10):
        await task


async def in_as_completed(kit, task):
    for result in kit.as_completed([task]):
        await result


WAYS = [value for name, value in list(globals().items()) if name == "direct" or name.startswith("in_")]

PATIENT = [in_wait, in_wait_with_timeout, in_shield, in_shielded_wait_for, in_as_completed]  # others cancel the task


@BOTH
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_who_waits_is_seen_and_forgotten_when_it_waits_no_more(kit, way):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = asyncio.create_task(job(future), name="job")
        waiting = [asyncio.create_task(way(kit, task), name=f"waiter {number}") for number in range(2)]
        await settle()
        assert parents(task) == ["waiter 0", "waiter 1"]
        graph = names(asyncio.capture_call_graph(future))
        assert graph[:2] == ("future", [])
        [(name, frames, waiters)] = graph[2]
        assert (name, frames) == ("job", ["job"])
        assert [waiter[1][-1] for waiter in waiters] == [way.__name__] * 2
        future.set_result(None)
        await asyncio.gather(task, *waiting)
        assert parents(task) == []

    run(main())


@BOTH
@pytest.mark.parametrize("way", PATIENT, ids=lambda way: way.__name__)
def test_who_is_cancelled_is_forgotten(kit, way):
    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(job(future), name="job")
        one, other = [asyncio.create_task(way(kit, task), name=name) for name in ("one", "other")]
        await settle()
        assert parents(task) == ["one", "other"]
        one.cancel()
        await asyncio.wait([one])
        assert parents(task) == ["other"]
        future.set_result(None)
        await other

    run(main())


@BOTH
def test_a_task_group_is_awaited_by_its_task(kit):
    async def main():
        future = asyncio.get_running_loop().create_future()
        asyncio.current_task().set_name("parent")
        async with kit.TaskGroup() as group:
            task = group.create_task(job(future))
            await settle()
            assert parents(task) == ["parent"]
            assert names(asyncio.capture_call_graph(task))[2][0][0] == "parent"
            future.set_result(None)
        assert parents(task) == []

    run(main())


@BOTH
def test_a_wait_without_time_left_waits_for_the_cancellation(kit):
    async def main():
        stop = asyncio.get_running_loop().create_future()

        async def slow_to_go():
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await stop
                raise

        task = asyncio.create_task(slow_to_go())
        await settle()
        waiter = asyncio.create_task(kit.wait_for(task, 0), name="waiter")
        await settle()
        assert parents(task) == ["waiter"]
        stop.set_result(None)
        with pytest.raises(TimeoutError):
            await waiter
        assert parents(task) == []

    run(main())


@BOTH
def test_stacks_reach_into_queues_locks_and_generators(kit):
    async def take(queue):
        return await queue.get()

    async def hold(lock):
        async with lock:
            pass

    async def numbers(future):
        yield await future

    async def iterate(future):
        async for _ in numbers(future):
            pass

    async def main():
        queue, lock = kit.Queue(), kit.Lock()
        future = asyncio.get_running_loop().create_future()
        await lock.acquire()
        tasks = [asyncio.create_task(coro) for coro in (take(queue), hold(lock), iterate(future))]
        await settle()
        stacks = [names(asyncio.capture_call_graph(task))[1] for task in tasks]
        assert stacks[0][-1] == "take" and "get" in stacks[0]
        assert stacks[1][-1] == "hold"
        assert stacks[2][-1] == "iterate"
        queue.put_nowait(1)
        lock.release()
        future.set_result(2)
        await asyncio.gather(*tasks)

    run(main())


def test_asyncios_own_futures_and_tasks_know_our_tasks():
    async def main():
        loop = asyncio.get_running_loop()
        foreign = asyncio.Future(loop=loop)
        theirs = asyncio.Task(job(foreign), loop=loop, name="theirs")
        ours = asyncio.create_task(direct(None, theirs), name="ours")
        also_ours = asyncio.create_task(in_gather(asyncio, foreign), name="also ours")
        await settle()
        assert parents(theirs) == ["ours"]
        assert parents(foreign) == ["also ours", "theirs"]
        [graph] = [one for one in names(asyncio.capture_call_graph(foreign))[2] if one[0] == "theirs"]
        assert [one[0] for one in graph[2]] == ["ours"]
        foreign.set_result(None)
        await asyncio.gather(ours, also_ours)
        assert parents(foreign) == parents(theirs) == []

    run(main())


def test_what_is_written_down_by_hand():
    async def main():
        loop = asyncio.get_running_loop()
        future, current = loop.create_future(), asyncio.current_task()
        current.set_name("me")
        for mixed in (future, asyncio.Future(loop=loop)):
            asyncio.future_add_to_awaited_by(mixed, current)
            asyncio.future_add_to_awaited_by(mixed, current)
            assert parents(mixed) == ["me"]
            asyncio.future_discard_from_awaited_by(mixed, current)
            asyncio.future_discard_from_awaited_by(mixed, current)  # not there any more: nothing happens
            assert parents(mixed) == []
            asyncio.future_add_to_awaited_by(mixed, None)  # nobody
            asyncio.future_add_to_awaited_by(None, mixed)
            assert parents(mixed) == []

    run(main())


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("end", ["result", "error", "cancel"])
def test_what_was_written_down_is_gone_when_the_future_is_done(end, several):
    """It stands where a future that is done keeps the traceback or the cancellation: neither is taken for the other."""

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        waiters = [asyncio.create_task(job(loop.create_future()), name=f"w{number}") for number in range(1 + several)]
        for waiter in waiters:
            asyncio.future_add_to_awaited_by(future, waiter)
        assert parents(future) == ["w0", "w1"][: 1 + several]
        gone = [weakref.ref(waiter) for waiter in waiters]
        if end == "result":
            future.set_result(7)
        elif end == "error":
            future.set_exception(ZeroDivisionError())
        else:
            future.cancel("enough")
        assert parents(future) == []
        asyncio.future_add_to_awaited_by(future, waiters[0])
        asyncio.future_discard_from_awaited_by(future, waiters[0])
        for waiter in waiters:
            waiter.cancel()
        await asyncio.wait(waiters)
        del waiters, waiter
        await settle()
        gc.collect()
        assert [reference() for reference in gone] == [None] * len(gone)
        if end == "result":
            assert await future == 7
        elif end == "error":
            with pytest.raises(ZeroDivisionError):
                await future
        else:
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await future

    run(main())


def test_a_task_that_ends_while_written_down_keeps_its_outcome():
    async def main():
        me = asyncio.current_task()

        async def end(how):
            await asyncio.sleep(0)
            raise how

        for how in (ValueError("v"), asyncio.CancelledError("c")):
            task = asyncio.create_task(end(how))
            asyncio.future_add_to_awaited_by(task, me)
            await asyncio.wait([task])
            assert parents(task) == []
            with pytest.raises(type(how), match=how.args[0]) as raised:
                await task
            assert raised.value is how

    run(main())


def test_on_asyncios_own_loop_nothing_changes():
    async def main():
        task = asyncio.create_task(job(asyncio.get_running_loop().create_future()), name="job")
        waiter = asyncio.create_task(in_gather(asyncio, task), name="waiter")
        await settle()
        assert parents(task) == ["waiter"]
        waiter.cancel()
        await asyncio.wait([waiter])
        assert parents(task) == []

    asyncio.run(main(), loop_factory=asyncio.SelectorEventLoop)


def test_the_current_task_and_the_printed_form():
    async def inner():
        printed = io.StringIO()
        asyncio.print_call_graph(file=printed)
        return printed.getvalue()

    async def main():
        asyncio.current_task().set_name("parent")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(inner(), name="child")
        text = task.result()
        assert "Task(name='child'" in text and "Task(name='parent'" in text and "inner()" in text
        assert text.index("child") < text.index("parent")

    run(main())


@pytest.mark.parametrize("limit", [None, 0, 1, 2, -1, -2])
def test_limits_are_as_on_asyncios_tasks(limit):
    async def three(future):
        await future

    async def two(future):
        await three(future)

    async def one(future):
        await two(future)

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(one(future), name="task")
        waiter = asyncio.create_task(direct(None, task), name="waiter")
        await settle()
        graph = names(asyncio.capture_call_graph(task, limit=limit))
        future.set_result(None)
        await waiter
        return graph

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        theirs = runner.run(main())
    assert run(main()) == theirs


def test_what_is_no_future_is_refused():
    async def main():
        with pytest.raises(TypeError):
            asyncio.capture_call_graph(5)

    run(main())


def test_a_graph_keeps_nothing_alive():
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(job(loop.create_future()), name="job")
        waiter = asyncio.create_task(in_gather(asyncio, task))
        await settle()
        assert len(parents(task)) == 1
        waiter.cancel()
        await asyncio.wait([waiter])
        gone = [weakref.ref(task), weakref.ref(waiter)]
        del task, waiter
        await settle()
        gc.collect()
        assert [reference() for reference in gone] == [None, None]

    run(main())


def test_another_process_sees_tasks_of_asyncios_own_on_our_loop():
    """`python -m asyncio ps` reads the memory of asyncio's own task class; a task factory brings it."""
    program = """if True:
        import asyncio, clearloop, os, subprocess, sys
        async def nap():
            await asyncio.sleep(60)
        async def main():
            asyncio.create_task(nap(), name="napping")
            await asyncio.sleep(0)
            ps = [sys.executable, "-m", "asyncio", "ps", str(os.getpid())]
            print((await asyncio.to_thread(subprocess.run, ps, capture_output=True, text=True)).stdout)
        loop = clearloop.new_event_loop()
        loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
        loop.run_until_complete(main())
    """
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    if not seen.stdout.strip():
        pytest.skip(f"this process may not read another's memory: {seen.stderr[-300:]}")
    assert "napping" in seen.stdout
