"""Random programs over locks, queues, timeouts and gather do on clearloop what they do on asyncio.

A program is a few tasks, each with a list of operations on shared objects: take, wait, notify, put, get, cancel each
other, with and without a timeout around.  It runs once with asyncio's classes on asyncio's loop and once with
clearloop's, and everything that happens is written down with the turn of the loop in which it happened.  Both must tell
the same story: same results, same order, same turns.  No clock is involved: timeouts are of zero length, or never.
"""

import asyncio
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clearloop

# asyncio's own locks and wait_for were mended up to 3.13; older ones are no oracle for what the newest release promises
mended = pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio's locks of this Python are older ones")

TURNS = 60  # after these, whoever still waits is cancelled
PROFILE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def described(outcome):
    """An outcome that can be compared: exceptions by type and arguments."""
    if isinstance(outcome, list):
        return [described(item) for item in outcome]
    return (type(outcome).__name__, outcome.args) if isinstance(outcome, BaseException) else outcome


class Program:
    """One run: the shared objects, the tasks, and what happened."""

    def __init__(self, api, size):
        self.api = api
        self.turn = 0
        self.story = []
        self.tasks = []
        self.queue = api.Queue(size)
        self.priority = api.PriorityQueue(size)
        self.lock = api.Lock()
        self.semaphore = api.Semaphore(size)
        self.event = api.Event()
        self.condition = api.Condition()
        self.barrier = api.Barrier(max(size, 1))

    def tell(self, *what):
        self.story.append((self.turn, *what))

    def tick(self):
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.tick)

    async def run(self, scripts):
        self.tick()
        self.tasks = [asyncio.create_task(self.work(number, script)) for number, script in enumerate(scripts)]
        while self.turn < TURNS:
            await asyncio.sleep(0)
        self.tell("end")
        while not all(task.done() for task in self.tasks):
            for task in self.tasks:
                task.cancel("the end")
            await asyncio.sleep(0)
            if self.turn > 4 * TURNS:
                self.tell("stuck")
                break
        for primitive in (self.queue, self.lock, self.semaphore, self.event, self.condition, self.barrier):
            self.tell(repr(primitive).partition("[")[2])
        self.tell(str(self.queue), str(self.priority))
        story, self.story = self.story, []
        while left := asyncio.all_tasks() - {asyncio.current_task()}:  # what was shielded
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
        return story

    async def work(self, number, script):
        for place, (name, argument, around) in enumerate(script):
            self.tell(number, place, name, "begins")
            try:
                outcome = described(await self.perform(getattr(self, name), argument, around))
            except asyncio.CancelledError as error:
                outcome = ("cancelled", error.args, asyncio.current_task().cancelling())
                if self.turn >= TURNS:
                    self.tell(number, place, name, outcome)
                    raise
                asyncio.current_task().uncancel()
            except Exception as error:
                outcome = (type(error).__name__, type(error.__cause__).__name__)
            self.tell(number, place, name, outcome)

    async def perform(self, operation, argument, around):
        if around == "timeout":
            async with self.api.timeout(0):
                return await operation(argument)
        if around == "long timeout":
            async with self.api.timeout(1000):
                return await operation(argument)
        if around == "wait_for":
            return await self.api.wait_for(operation(argument), 1000)
        if around == "wait_for none":
            return await self.api.wait_for(asyncio.ensure_future(operation(argument)), None)
        if around == "no time":
            return await self.api.wait_for(operation(argument), 0)
        if around == "shield":
            return await self.api.shield(operation(argument))
        if around == "gather":
            return await self.api.gather(operation(argument), operation(argument), return_exceptions=argument > 1)
        return await operation(argument)

    # ---- the operations --------------------------------------------------------------------------------------------

    async def sleep(self, turns):
        for _ in range(turns):
            await asyncio.sleep(0)

    async def cancel(self, number):
        if number < len(self.tasks):
            return self.tasks[number].cancel(f"by {number}")

    async def put(self, item):
        await self.queue.put(item)

    async def get(self, _):
        return await self.queue.get()

    async def put_now(self, item):
        self.queue.put_nowait(item)

    async def get_now(self, _):
        return self.queue.get_nowait()

    async def task_done(self, _):
        self.queue.task_done()

    async def join(self, _):
        await self.queue.join()

    async def shut(self, immediate):
        self.queue.shutdown(immediate=immediate > 1)

    async def put_priority(self, item):
        await self.priority.put(item)

    async def get_priority(self, _):
        return await self.priority.get()

    async def hold_lock(self, turns):
        async with self.lock:
            self.tell("locked")
            await self.sleep(turns)

    async def acquire_lock(self, turns):
        await self.lock.acquire()
        try:
            await self.sleep(turns)
        finally:
            self.lock.release()

    async def hold_semaphore(self, turns):
        async with self.semaphore:
            self.tell("inside")
            await self.sleep(turns)

    async def acquire_semaphore(self, _):
        return await self.semaphore.acquire()

    async def release_semaphore(self, _):
        self.semaphore.release()

    async def wait_event(self, _):
        return await self.event.wait()

    async def set_event(self, clear):
        self.event.set()
        if clear > 1:
            self.event.clear()

    async def wait_condition(self, turns):
        async with self.condition:
            result = await self.condition.wait()
            await self.sleep(turns)
            return result

    async def notify(self, count):
        async with self.condition:
            self.condition.notify(count)
            await self.sleep(count)

    async def notify_all(self, _):
        async with self.condition:
            self.condition.notify_all()

    async def wait_barrier(self, _):
        return await self.barrier.wait()

    async def reset_barrier(self, abort):
        await (self.barrier.abort() if abort > 2 else self.barrier.reset())


QUEUE = ["put", "get", "put", "get", "put_now", "get_now", "task_done", "join", "shut", "put_priority", "get_priority"]
LOCKS = ["hold_lock", "acquire_lock", "hold_semaphore", "acquire_semaphore", "release_semaphore"]
SIGNALS = ["wait_event", "set_event", "wait_condition", "wait_condition", "notify", "notify_all", "wait_barrier"]
ALWAYS = ["sleep", "cancel"]
AROUND = [None, None, None, "timeout", "long timeout", "wait_for", "wait_for none", "no time", "shield", "gather"]


def scripts(names):
    operation = st.tuples(st.sampled_from([*names, *ALWAYS]), st.integers(0, 3), st.sampled_from(AROUND))
    return st.lists(st.lists(operation, min_size=1, max_size=8), min_size=2, max_size=4)


def story(api, new_loop, program, size):
    loop = new_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["message"].partition(" at 0x")[0]))
    try:
        told = loop.run_until_complete(Program(api, size).run(program))
    finally:
        loop.close()
    return told


def check(program, size, new_loop):
    expected = story(asyncio, asyncio.SelectorEventLoop, program, size)
    assert story(clearloop, new_loop, program, size) == expected


def foreign_tasks():
    """clearloop's loop with asyncio's tasks."""
    loop = clearloop.new_event_loop()
    loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
    return loop


def own_tasks():
    """asyncio's loop with clearloop's tasks."""
    loop = asyncio.SelectorEventLoop()
    loop.set_task_factory(lambda loop, coro, **options: clearloop.Task(coro, loop=loop, **options))
    return loop


LOOPS = [clearloop.new_event_loop, asyncio.SelectorEventLoop, foreign_tasks, own_tasks]
on_all_loops = pytest.mark.parametrize("new_loop", LOOPS, ids=["clearloop", "asyncio", "foreign tasks", "own tasks"])


@mended
@on_all_loops
@given(program=scripts(QUEUE), size=st.integers(0, 2))
@PROFILE
def test_queues_tell_the_same_story(new_loop, program, size):
    check(program, size, new_loop)


@mended
@on_all_loops
@given(program=scripts(LOCKS), size=st.integers(0, 2))
@PROFILE
def test_locks_tell_the_same_story(new_loop, program, size):
    check(program, size, new_loop)


@mended
@on_all_loops
@given(program=scripts([*SIGNALS, "reset_barrier"]), size=st.integers(0, 3))
@PROFILE
def test_events_conditions_and_barriers_tell_the_same_story(new_loop, program, size):
    check(program, size, new_loop)


# ---- gather, wait, as_completed, shield ------------------------------------------------------------------------------


class Family:
    """A parent that waits for children in one of the ways there are, and is cancelled at some turn."""

    def __init__(self, api):
        self.api = api
        self.turn = 0
        self.story = []

    def tick(self):
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.tick)

    def tell(self, *what):
        self.story.append((self.turn, *what))

    async def child(self, number, turns, end):
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.tell(number, "cancelled")
            if end == "stubborn":
                return "stubborn"
            raise
        self.tell(number, "ends", end)
        if end == "raise":
            raise ValueError(number)
        if end == "cancel":
            raise asyncio.CancelledError("by itself")
        return number

    async def parent(self, way, children, kept, made):
        api = self.api
        awaitables = [
            asyncio.create_task(self.child(number, *child)) if made & 1 << number else self.child(number, *child)
            for number, child in enumerate(children)
        ]
        if way == "gather":
            return await api.gather(*awaitables, return_exceptions=kept)
        if way == "gather twice":
            tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
            return await api.gather(*tasks, *tasks, return_exceptions=kept)
        if way == "gather nested":
            return await api.gather(api.gather(*awaitables, return_exceptions=kept), asyncio.sleep(0, "other"))
        if way == "shield":
            return await api.shield(api.gather(*awaitables, return_exceptions=kept))
        if way == "as_completed":
            results = []
            for result in api.as_completed([asyncio.ensure_future(awaitable) for awaitable in awaitables]):
                try:
                    results.append(await result)
                except ValueError as error:
                    results.append(error.args)
            return sorted(map(str, results))
        tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
        done, pending = await api.wait(tasks, return_when=way, timeout=None if kept else 1000)
        return [task in done for task in tasks], len(pending)

    async def run(self, way, children, kept, made, cancel_at):
        self.tick()
        parent = asyncio.create_task(self.parent(way, children, kept, made))
        while not parent.done() and self.turn < 40:
            if self.turn == cancel_at:
                parent.cancel("enough")
            await asyncio.sleep(0)
        try:
            result = await parent
        except asyncio.CancelledError as error:
            result = "cancelled", error.args
        except ValueError as error:
            result = error.args
        self.tell("parent", described(result))
        for _ in range(20):
            await asyncio.sleep(0)
        return self.story


def family_story(api, new_loop, *arguments):
    loop = new_loop()
    loop.set_exception_handler(lambda loop, context: None)
    try:
        return loop.run_until_complete(Family(api).run(*arguments))
    finally:
        loop.close()


@on_all_loops
@given(
    way=st.sampled_from(
        [
            "gather",
            "gather twice",
            "gather nested",
            "shield",
            "as_completed",
            asyncio.ALL_COMPLETED,
            asyncio.FIRST_COMPLETED,
            asyncio.FIRST_EXCEPTION,
        ]
    ),
    children=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["return", "return", "raise", "cancel", "stubborn"])),
        min_size=1,
        max_size=4,
    ),
    kept=st.booleans(),
    made=st.integers(0, 15),
    cancel_at=st.integers(0, 9),
)
@PROFILE
def test_families_tell_the_same_story(new_loop, way, children, kept, made, cancel_at):
    arguments = (way, children, kept, made, cancel_at)
    expected = family_story(asyncio, asyncio.SelectorEventLoop, *arguments)
    assert family_story(clearloop, new_loop, *arguments) == expected
