"""Queue, PriorityQueue, LifoQueue: no item and no wake-up is lost."""

import asyncio
import gc
import inspect
import weakref
from collections import deque

import pytest

import clearloop

KINDS = [clearloop.Queue, clearloop.PriorityQueue, clearloop.LifoQueue]


def test_items_come_in_the_order_of_the_kind(run):
    async def main():
        for kind, expected in zip(KINDS, [[2, 3, 1], [1, 2, 3], [1, 3, 2]], strict=True):
            queue = kind()
            for item in (2, 3, 1):
                await queue.put(item)
            assert [await queue.get() for _ in range(3)] == expected

    run(main())


def test_put_and_get_do_not_suspend_when_they_need_not():
    queue = clearloop.Queue(1)
    for coro in (queue.put("item"), queue.get(), clearloop.Queue().join()):
        with pytest.raises(StopIteration):
            coro.send(None)
    assert inspect.iscoroutinefunction(clearloop.Queue.put)
    assert inspect.iscoroutinefunction(clearloop.Queue.get)
    assert inspect.iscoroutinefunction(clearloop.Queue.join)


def test_a_full_queue_makes_putters_wait_in_order(run, turns):
    async def main():
        queue = clearloop.Queue(1)
        putters = [asyncio.create_task(queue.put(number)) for number in range(5)]
        await turns()
        assert queue.full() and "_putters[4]" in repr(queue)
        assert [await queue.get() for _ in range(5)] == list(range(5))
        await asyncio.gather(*putters)
        assert queue.empty()

    run(main())


def test_getters_are_served_in_order(run, turns):
    async def main():
        queue, got = clearloop.Queue(), []

        async def get(number):
            got.append((number, await queue.get()))

        getters = [asyncio.create_task(get(number)) for number in range(4)]
        await turns()
        assert "_getters[4]" in repr(queue)
        for item in "abcd":
            queue.put_nowait(item)
        await asyncio.gather(*getters)
        assert got == list(enumerate("abcd"))

    run(main())


@pytest.mark.parametrize("woken_first", [True, False])
def test_a_cancelled_getter_leaves_the_item_to_the_next(run, turns, woken_first):
    async def main():
        queue = clearloop.Queue()
        first, second = [asyncio.create_task(queue.get()) for _ in range(2)]
        await turns()
        if woken_first:
            queue.put_nowait("item")
        first.cancel()
        if not woken_first:
            queue.put_nowait("item")
        assert await second == "item"
        assert first.cancelled()

    run(main())


@pytest.mark.parametrize("woken_first", [True, False])
def test_a_cancelled_putter_leaves_the_room_to_the_next(run, turns, woken_first):
    async def main():
        queue = clearloop.Queue(1)
        await queue.put(0)
        first, second = [asyncio.create_task(queue.put(number)) for number in (1, 2)]
        await turns()
        if woken_first:
            assert queue.get_nowait() == 0
        first.cancel()
        if not woken_first:
            assert queue.get_nowait() == 0
        await second
        assert queue.get_nowait() == 2
        assert first.cancelled()

    run(main())


def test_a_get_that_times_out_takes_nothing(run):
    async def main():
        queue = clearloop.Queue()
        for waiting in (clearloop.wait_for(queue.get(), 0), clearloop.wait_for(queue.get(), 0.001)):
            with pytest.raises(TimeoutError):
                await waiting
        queue.put_nowait("item")
        assert await clearloop.wait_for(queue.get(), 0.001) == "item"

    run(main())


def test_nowait_calls_say_empty_and_full():
    queue = clearloop.Queue(1)
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    queue.put_nowait(1)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(2)
    assert (queue.qsize(), queue.maxsize) == (1, 1)


@pytest.mark.parametrize("maxsize", [0, -1, float("inf")])
def test_no_limit(maxsize):
    queue = clearloop.Queue(maxsize)
    for number in range(100):
        queue.put_nowait(number)
    assert not queue.full()


def test_join_waits_for_all_work_to_be_done(run, turns):
    async def main():
        queue = clearloop.Queue()
        for number in range(2):
            queue.put_nowait(number)
        joining = asyncio.create_task(queue.join())
        for _ in range(2):
            await turns(2)
            assert not joining.done()
            queue.get_nowait()
            queue.task_done()
        await joining
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()

    run(main())


def test_shutdown_lets_the_rest_be_fetched(run, turns):
    async def main():
        queue = clearloop.Queue(1)
        queue.put_nowait("last")
        putting = asyncio.create_task(queue.put("never"))
        await turns()
        queue.shutdown()
        with pytest.raises(clearloop.QueueShutDown):
            await putting
        with pytest.raises(clearloop.QueueShutDown):
            queue.put_nowait("never")
        assert await queue.get() == "last"
        with pytest.raises(clearloop.QueueShutDown):
            await queue.get()
        with pytest.raises(clearloop.QueueShutDown):
            queue.get_nowait()
        assert str(queue) == "<Queue maxsize=1 tasks=1 shutdown>"

    run(main())


def test_immediate_shutdown_wakes_everybody(run, turns):
    async def main():
        empty, full = clearloop.Queue(), clearloop.Queue(1)
        full.put_nowait("dropped")
        getters = [asyncio.create_task(empty.get()) for _ in range(3)]
        joining = asyncio.create_task(full.join())
        await turns()
        empty.shutdown(immediate=True)
        full.shutdown(immediate=True)
        for getter in getters:
            with pytest.raises(clearloop.QueueShutDown):
                await getter
        await joining
        assert full.empty()

    run(main())


def test_shut_down_is_asyncios_own_exception_where_it_has_one():
    assert clearloop.QueueShutDown is getattr(asyncio, "QueueShutDown", clearloop.QueueShutDown)
    assert clearloop.QueueEmpty is asyncio.QueueEmpty
    assert clearloop.QueueFull is asyncio.QueueFull


class Unique(clearloop.Queue):
    """What many programs do: a queue of their own idea, by way of _init, _put and _get."""

    def _init(self, maxsize):
        self._queue = {}

    def _put(self, item):
        self._queue[item] = True

    def _get(self):
        return self._queue.popitem()[0]


class Biggest(clearloop.PriorityQueue):
    def _put(self, item):
        super()._put(-item)

    def _get(self):
        return -super()._get()


class Noted(clearloop.Queue):
    notes = ()

    def put_nowait(self, item):
        self.notes += (item,)
        super().put_nowait(item)


class Marked(clearloop.LifoQueue):
    """Changes nothing of what a queue does."""

    mark = "x"


def test_a_subclass_has_its_own_idea_of_the_order(run):
    async def main():
        unique = Unique(2)
        for item in ("a", "a"):
            await unique.put(item)
        assert unique.qsize() == 1
        assert await unique.get() == "a"
        biggest = Biggest()
        for item in (2, 3, 1):
            await biggest.put(item)
        assert [await biggest.get() for _ in range(3)] == [3, 2, 1]
        noted = Noted()
        await noted.put("a")
        assert (await noted.get(), noted.notes) == ("a", ("a",))
        marked = Marked()
        for item in (1, 2):
            await marked.put(item)
        assert [await marked.get(), await marked.get()] == [2, 1]

    run(main())


def test_the_items_can_be_reached_and_replaced_as_programs_do():
    queue = clearloop.Queue()
    queue.put_nowait(1)
    assert queue._queue == deque([1])
    queue._queue.clear()
    assert queue.empty()
    queue._queue = deque([5, 6])
    assert [queue.get_nowait(), queue.get_nowait()] == [5, 6]


def test_an_item_that_cannot_be_compared_is_an_error_and_harms_nothing():
    queue = clearloop.PriorityQueue()
    queue.put_nowait(1)
    with pytest.raises(TypeError):
        queue.put_nowait("a")
    assert repr(queue).startswith("<PriorityQueue at 0x")


def test_a_queue_belongs_to_the_loop_of_its_first_wait():
    queue = clearloop.Queue()

    async def wait():
        with pytest.raises(TimeoutError):
            async with clearloop.timeout(0):
                await queue.get()

    async def elsewhere():
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            await queue.get()

    clearloop.run(wait())
    clearloop.run(elsewhere())


def test_items_and_waiters_are_collected():
    class Item:
        pass

    async def main():
        queue = clearloop.Queue(1)
        item = Item()
        item.queue = queue
        queue.put_nowait(item)
        asyncio.create_task(queue.put(item))._log_destroy_pending = False
        await asyncio.sleep(0)
        return weakref.ref(item), weakref.ref(queue)

    loop = clearloop.new_event_loop()
    gone = loop.run_until_complete(main())
    loop.close()
    del loop
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
