"""Lock, Event, Condition, Semaphore and Barrier: fair, and nothing is lost to a cancellation."""

import asyncio
import gc
import inspect
import weakref

import pytest

import clearloop


def suspends(coro):
    """Whether a coroutine waits for anything."""
    try:
        coro.send(None)
    except StopIteration:
        return False
    coro.close()
    return True


def test_a_free_lock_is_taken_without_a_loop_or_a_turn():
    lock = clearloop.Lock()
    assert not suspends(lock.acquire())
    assert lock.locked()

    async def hold(lock):
        async with lock:
            assert lock.locked()

    assert not suspends(hold(clearloop.Lock()))
    assert not suspends(hold(clearloop.Semaphore()))
    assert not suspends(hold(clearloop.Condition()))


def test_coroutine_methods_are_coroutine_functions():
    for method in (
        clearloop.Lock.acquire,
        clearloop.Event.wait,
        clearloop.Condition.wait,
        clearloop.Semaphore.acquire,
        clearloop.Barrier.wait,
    ):
        assert inspect.iscoroutinefunction(method)


def test_a_lock_goes_to_those_who_wait_in_their_order(run, turns):
    async def main():
        lock, order = clearloop.Lock(), []

        async def take(number):
            async with lock:
                order.append(number)
                await turns(2)

        await asyncio.gather(*[take(number) for number in range(5)])
        assert order == list(range(5))
        assert not lock.locked()

    run(main())


def test_nobody_jumps_the_queue_between_release_and_wake_up(run, turns):
    async def main():
        lock, order = clearloop.Lock(), []

        async def take(name):
            async with lock:
                order.append(name)

        await lock.acquire()
        waiting = asyncio.create_task(take("waiting"))
        await turns()
        lock.release()
        assert not lock.locked()
        await take("late")
        await waiting
        assert order == ["waiting", "late"]

    run(main())


@pytest.mark.parametrize("woken_first", [True, False])
def test_a_cancelled_waiter_leaves_the_lock_to_the_next(run, turns, woken_first):
    async def main():
        lock = clearloop.Lock()
        await lock.acquire()
        first = asyncio.create_task(lock.acquire())
        second = asyncio.create_task(lock.acquire())
        await turns()
        if woken_first:
            lock.release()
        first.cancel("go")
        if not woken_first:
            lock.release()
        assert await second
        with pytest.raises(asyncio.CancelledError, match="go"):
            await first
        assert lock.locked()
        assert "waiters" not in repr(lock)

    run(main())


def test_a_waiter_cancelled_in_the_middle_leaves_the_order_as_it_was(run, turns):
    async def main():
        lock, order = clearloop.Lock(), []

        async def take(number):
            async with lock:
                order.append(number)

        await lock.acquire()
        tasks = [asyncio.create_task(take(number)) for number in range(5)]
        await turns()
        assert "waiters:5" in repr(lock)
        for number in (2, 4, 0):
            tasks[number].cancel()
        await turns()
        assert "waiters:2" in repr(lock)
        lock.release()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == [1, 3]

    run(main())


def test_a_closed_coroutine_leaves_the_line(run, turns):
    async def main():
        lock = clearloop.Lock()
        await lock.acquire()
        coro = lock.acquire()
        coro.send(None)
        waiting = asyncio.create_task(lock.acquire())
        await turns()
        assert "waiters:2" in repr(lock)
        coro.close()
        assert "waiters:1" in repr(lock)
        lock.release()
        assert await waiting

    run(main())


def test_entering_happens_when_it_is_awaited(run):
    async def main():
        lock = clearloop.Lock()
        entering = lock.__aenter__()
        assert not lock.locked()
        del entering
        async with lock:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lock.__aenter__(), 0)
            with pytest.raises(TimeoutError):
                await clearloop.wait_for(lock.__aenter__(), 0.001)
        assert not lock.locked()

    run(main())


def test_async_with_obeys_a_subclass(run):
    class Counted(clearloop.Lock):
        taken = given = 0

        async def acquire(self):
            self.taken += 1
            return await super().acquire()

        def release(self):
            self.given += 1
            super().release()

    class CountedSemaphore(clearloop.BoundedSemaphore):
        taken = 0

        async def acquire(self):
            self.taken += 1
            return await super().acquire()

    async def main():
        lock, semaphore = Counted(), CountedSemaphore(2)
        async with lock, semaphore:
            assert lock.locked() and semaphore._value == 1
        assert (lock.taken, lock.given, semaphore.taken) == (1, 1, 1)
        assert not lock.locked() and semaphore._value == 2

    run(main())


def test_releasing_what_is_not_taken_is_an_error():
    with pytest.raises(RuntimeError, match="not acquired"):
        clearloop.Lock().release()
    with pytest.raises(ValueError, match="too many times"):
        clearloop.BoundedSemaphore(1).release()
    with pytest.raises(ValueError, match=">= 0"):
        clearloop.Semaphore(-1)
    with pytest.raises(ValueError, match=">= 1"):
        clearloop.Barrier(0)
    with pytest.raises(TypeError):
        clearloop.Lock(loop=None)
    with pytest.raises(TypeError):
        clearloop.Event(loop=None)


def test_a_lock_belongs_to_the_loop_of_its_first_wait():
    lock = clearloop.Lock()

    async def wait_for_it():
        await lock.acquire()
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(0):
                await lock.acquire()

    async def elsewhere():
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            await lock.acquire()

    clearloop.run(wait_for_it())
    clearloop.run(elsewhere())


def test_waiting_outside_a_loop_is_an_error():
    lock = clearloop.Lock()
    assert not suspends(lock.acquire())
    with pytest.raises(RuntimeError, match="no running event loop"):
        lock.acquire().send(None)


def test_an_event_wakes_everybody_who_waited_and_only_them(run, turns):
    async def main():
        event, woken = clearloop.Event(), []

        async def wait(number):
            assert await event.wait()
            woken.append(number)

        tasks = [asyncio.create_task(wait(number)) for number in range(4)]
        await turns()
        tasks[1].cancel()
        event.set()
        event.clear()
        late = asyncio.create_task(wait("late"))
        await turns(3)
        assert woken == [0, 2, 3]
        assert not event.is_set()
        event.set()
        await late
        assert await event.wait()

    run(main())


def test_an_event_wakes_thousands(run):
    async def main():
        event = clearloop.Event()
        tasks = [asyncio.create_task(event.wait()) for _ in range(5000)]
        await asyncio.sleep(0)
        event.set()
        assert await asyncio.gather(*tasks) == [True] * 5000
        assert repr(event).endswith("[set]>")

    run(main())


def test_a_semaphore_lets_in_as_many_as_it_has_units(run, turns):
    async def main():
        semaphore = clearloop.Semaphore(2)
        inside, most = 0, 0

        async def work():
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                await turns(2)
                inside -= 1

        await asyncio.gather(*[work() for _ in range(7)])
        assert (inside, most, semaphore._value) == (0, 2, 2)

    run(main())


@pytest.mark.parametrize("woken_first", [True, False])
def test_a_cancelled_waiter_gives_its_unit_to_the_next(run, turns, woken_first):
    async def main():
        semaphore = clearloop.Semaphore(0)
        first = asyncio.create_task(semaphore.acquire())
        second = asyncio.create_task(semaphore.acquire())
        await turns()
        if woken_first:
            semaphore.release()
        first.cancel()
        if not woken_first:
            semaphore.release()
        assert await second
        assert first.cancelled()
        assert semaphore._value == 0

    run(main())


def test_a_condition_wakes_as_many_as_it_is_told(run, turns):
    async def main():
        condition, woken = clearloop.Condition(), []

        async def wait(number):
            async with condition:
                await condition.wait()
                assert condition.locked()
                woken.append(number)

        tasks = [asyncio.create_task(wait(number)) for number in range(4)]
        await turns()
        async with condition:
            condition.notify(2)
        await turns(5)
        assert woken == [0, 1]
        async with condition:
            condition.notify_all()
        await asyncio.gather(*tasks)
        assert woken == [0, 1, 2, 3]

    run(main())


def test_a_cancelled_wait_takes_the_lock_back_first_and_passes_its_notification_on(run, turns):
    async def main():
        condition, seen = clearloop.Condition(), []

        async def wait(number):
            async with condition:
                try:
                    await condition.wait()
                    seen.append(number)
                except asyncio.CancelledError:
                    assert condition.locked()
                    seen.append("cancelled")
                    raise

        first, second = [asyncio.create_task(wait(number)) for number in range(2)]
        await turns()
        async with condition:
            condition.notify()
            first.cancel()
            await turns(2)
            assert not first.done()
        await second
        assert seen == ["cancelled", 1]
        assert not condition.locked()

    run(main())


def test_condition_calls_without_the_lock_are_errors(run):
    async def main():
        condition = clearloop.Condition()
        with pytest.raises(RuntimeError, match="un-acquired"):
            await condition.wait()
        with pytest.raises(RuntimeError, match="un-acquired"):
            condition.notify()

    run(main())


def test_a_condition_takes_a_lock_of_another_make(run, turns):
    async def main():
        lock = asyncio.Lock()
        condition = clearloop.Condition(lock)

        async def wait():
            async with condition:
                return await condition.wait_for(lambda: ready)

        ready = False
        task = asyncio.create_task(wait())
        await turns()
        async with lock:
            ready = True
            condition.notify()
        assert await task

    run(main())


def test_a_barrier_lets_its_parties_pass_together_again_and_again(run):
    async def main():
        barrier, passed = clearloop.Barrier(3), []

        async def walk(number):
            for lap in range(3):
                place = await barrier.wait()
                passed.append((lap, place))

        await asyncio.gather(*[walk(number) for number in range(3)])
        assert [lap for lap, _ in passed] == [0] * 3 + [1] * 3 + [2] * 3
        for lap in range(3):
            assert {place for when, place in passed if when == lap} == {0, 1, 2}
        assert (barrier.n_waiting, barrier.parties, barrier.broken) == (0, 3, False)

    run(main())


def test_a_broken_barrier_tells_everybody(run, turns):
    async def main():
        barrier = clearloop.Barrier(3)
        waiting = [asyncio.create_task(barrier.wait()) for _ in range(2)]
        await turns()
        assert barrier.n_waiting == 2
        await barrier.reset()
        for task in waiting:
            with pytest.raises(asyncio.BrokenBarrierError):
                await task
        await barrier.abort()
        assert barrier.broken
        with pytest.raises(asyncio.BrokenBarrierError):
            await barrier.wait()

    run(main())


def test_reprs_say_the_state():
    assert repr(clearloop.Lock()).endswith("[unlocked]>")
    assert repr(clearloop.Event()).endswith("[unset]>")
    assert repr(clearloop.Semaphore(3)).endswith("[unlocked, value:3]>")
    assert repr(clearloop.Condition()).endswith("[unlocked]>")
    assert repr(clearloop.Barrier(2)).endswith("[filling, waiters:0/2]>")


def test_a_lock_with_its_waiters_is_collected_when_the_loop_is_gone():
    async def main():
        lock = clearloop.Lock()
        await lock.acquire()
        for _ in range(3):
            asyncio.create_task(lock.acquire())._log_destroy_pending = False
        await asyncio.sleep(0)
        assert "waiters:3" in repr(lock)
        return weakref.ref(lock)

    loop = clearloop.new_event_loop()
    gone = loop.run_until_complete(main())
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
