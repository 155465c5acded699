"""The recorder's promises: what is in the ring, in which order, and that nothing is missing without being said.

Records are read with clearloop.show.records, as every reader of a dump does.
"""

import asyncio
import collections
import contextlib
import gc
import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time
import types
import weakref

import pytest

import clearloop
from clearloop.engine import interned
from clearloop.show import records

Record = collections.namedtuple("Record", "kind how type actor time span code place other")
NESTED = 0x40  # in `how`: inside another step
WITHIN = 0x20  # in `how`: `other` is the function of a library that waits there


def taken(loop):
    """The records of a loop, oldest first."""
    _, _, data, _, _, _ = loop._recording()
    return [Record(*fields) for fields in records.RECORD.iter_unpack(data)]


def of(kind, found):
    return [record for record in found if record.kind == kind]


def how(record):
    return record.how & records.HOW


def end(record):
    return record.time + (record.span << 10 if record.how & records.COARSE else record.span)


def called(number):
    entry = interned.table()[number]
    return entry.co_qualname if isinstance(entry, types.CodeType) else entry and entry[1]


def line_of(code, lasti):
    return next(line for start, stop, line in code.co_lines() if start <= lasti < stop)


def numbers(found):
    """{name of the coroutine: number of the task}"""
    return {called(record.code).rpartition(".")[2]: record.actor for record in of(records.TASK, found)}


def steps_of(actor, found):
    return [record for record in of(records.STEP, found) if record.actor == actor]


@contextlib.contextmanager
def new_loop():
    loop = clearloop.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def recorded(main):
    """Run `main()` on a new loop; return its records."""
    with new_loop() as loop:
        loop.run_until_complete(main())
        return taken(loop)


def all_counted(loop):
    found = taken(loop)
    steps = [record for record in of(records.STEP, found) if not record.how & NESTED]
    return len(steps) + sum(record.other for record in of(records.GAP, found)) == loop._step_count()


@pytest.fixture(autouse=True)
def defaults(monkeypatch):
    monkeypatch.delenv("CLEARLOOP_RECORD", raising=False)
    monkeypatch.delenv("CLEARLOOP_RECORD_ALL", raising=False)


@pytest.fixture
def everything(monkeypatch):
    monkeypatch.setenv("CLEARLOOP_RECORD_ALL", "1")


def run_script(source, **environment):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- steps -------------------------------------------------------------------------------------------------


def test_how_a_step_ended():
    async def returns():
        await clearloop.sleep(0)

    async def raises():
        raise KeyError

    async def is_cancelled():
        await asyncio.get_running_loop().create_future()

    async def main():
        tasks = [clearloop.create_task(coro()) for coro in (returns, raises, is_cancelled)]
        await clearloop.sleep(0)
        await clearloop.sleep(0)
        tasks[2].cancel()
        await asyncio.wait(tasks)
        tasks[1].exception()

    found = recorded(main)
    number = numbers(found)
    assert [how(step) for step in steps_of(number["returns"], found)] == [records.YIELDED, records.RETURNED]
    assert [how(step) for step in steps_of(number["raises"], found)] == [records.RAISED]
    assert [how(step) for step in steps_of(number["is_cancelled"], found)] == [records.SUSPENDED, records.CANCELLED]
    assert how(steps_of(number["main"], found)[-1]) == records.RETURNED


def test_steps_do_not_overlap_and_follow_each_other():
    async def work():
        for _ in range(5):
            await clearloop.sleep(0)

    async def main():
        await asyncio.gather(*[work() for _ in range(4)])

    steps = of(records.STEP, recorded(main))
    assert len(steps) >= 24
    for one, next_one in itertools.pairwise(steps):
        assert end(one) <= next_one.time


def test_what_a_suspended_task_waits_for():
    async def waited_for():
        await clearloop.sleep(0)

    async def main():
        await clearloop.create_task(waited_for())
        await clearloop.sleep(0.001)

    found = recorded(main)
    number = numbers(found)
    first, second, *_ = steps_of(number["main"], found)
    assert (called(first.type), first.other) == ("Task", number["waited_for"])
    assert called(second.type) == "SleepFuture"
    assert second.how & WITHIN
    assert called(second.other) == "sleep"


def test_a_task_that_awaits_what_is_done_already_has_yielded():
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        await Yields(future)

    class Yields:
        """Waits for a future even though it is done."""

        def __init__(self, future):
            self.future = future

        def __await__(self):
            self.future._asyncio_future_blocking = True
            yield self.future

    found = recorded(main)
    assert how(steps_of(numbers(found)["main"], found)[0]) == records.YIELDED


def test_a_callback_has_its_function_and_a_descriptor_its_callback():
    def callback():
        pass

    def readable():
        loop.remove_reader(reader)
        done.set_result(None)

    with new_loop() as loop:
        done = loop.create_future()
        reader, writer = os.pipe()
        try:
            loop.call_soon(callback)
            loop.add_reader(reader, readable)
            os.write(writer, b"x")
            loop.run_until_complete(done)
            steps = [step for step in of(records.STEP, taken(loop)) if step.actor == 0]
        finally:
            os.close(reader)
            os.close(writer)
    names = {called(step.code).rpartition(".")[2]: (how(step), called(step.type)) for step in steps}
    assert names["callback"] == (records.CALLBACK, "Handle")
    assert names["readable"] == (records.DESCRIPTOR, "Descriptor")


# ---- lines -------------------------------------------------------------------------------------------------


def innermost(coro):
    """(code, offset) as the interpreter's own attributes tell it."""
    while True:
        awaited = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
        if not isinstance(awaited, types.CoroutineType | types.GeneratorType):
            frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
            return frame.f_code, frame.f_lasti
        coro = awaited


@types.coroutine
def through_a_generator(future):
    yield from through_another(future)


def through_another(future):
    result = 1 + (yield from future.__await__())
    return result


async def numbers_from(future):
    yield 1
    yield await future


class Context:
    def __init__(self, future):
        self.future = future

    async def __aenter__(self):
        await self.future

    async def __aexit__(self, *error):
        pass


async def deep(future, depth):
    if depth:
        return await deep(future, depth - 1)
    return [
        1,
        await future,
    ]


async def plainly(future):
    await future


async def by_generator(future):
    await through_a_generator(future)


async def over_an_async_generator(future):
    async for _ in numbers_from(future):
        pass


async def with_a_context(future):
    async with Context(future):
        pass


async def in_try(future):
    try:
        raise KeyError
    except KeyError:
        await future


async def after_others(future):
    for _ in range(3):
        await clearloop.sleep(0)
    await deep(future, 3)


@pytest.mark.parametrize(
    "coroutine, where, line",
    [
        (plainly, plainly, 1),
        (by_generator, through_another, 1),
        (over_an_async_generator, over_an_async_generator, 1),
        (with_a_context, Context.__aenter__, 1),
        (in_try, in_try, 4),
        (after_others, deep, 5),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_line_is_that_of_the_innermost_await(coroutine, where, line):
    truth = []

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = clearloop.create_task(coroutine(future))
        for _ in range(6):
            await clearloop.sleep(0)
        truth.append(innermost(task.get_coro()))
        future.set_result(1)
        await task

    found = recorded(main)
    steps = steps_of(numbers(found)[coroutine.__name__], found)
    step = [step for step in steps if how(step) == records.SUSPENDED][-1]
    assert (interned.table()[step.code], step.place) == truth[0]
    assert interned.table()[step.code] is where.__code__
    assert line_of(where.__code__, step.place) == where.__code__.co_firstlineno + line


def test_a_chain_a_thousand_deep_and_deeper():
    async def down(future, depth):
        if depth:
            return await down(future, depth - 1)
        return await future

    async def main():
        future = asyncio.get_running_loop().create_future()
        sys.setrecursionlimit(5000)
        tasks = [clearloop.create_task(down(future, depth)) for depth in (999, 1500)]
        await clearloop.sleep(0)
        future.set_result(None)
        await asyncio.wait(tasks)

    limit = sys.getrecursionlimit()
    try:
        found = recorded(main)
    finally:
        sys.setrecursionlimit(limit)
    suspended = [step for step in of(records.STEP, found) if called(step.code or 0) and step.type]
    assert sum(called(step.code).endswith("down") for step in suspended) == 2


# ---- tasks and names ---------------------------------------------------------------------------------------


def test_a_task_has_a_parent_a_coroutine_and_a_time():
    async def child():
        pass

    async def main():
        before = time.monotonic_ns()
        task = clearloop.create_task(child())
        after = time.monotonic_ns()
        await task
        return before, after

    with new_loop() as loop:
        before, after = loop.run_until_complete(main())
        found = taken(loop)
    tasks = {called(record.code).rpartition(".")[2]: record for record in of(records.TASK, found)}
    assert tasks["main"].other == 0
    assert tasks["child"].other == tasks["main"].actor != tasks["child"].actor
    assert before <= tasks["child"].time <= after


def test_numbers_are_unique_over_loops_and_named_tasks_have_one_too():
    async def child():
        pass

    async def main():
        await asyncio.gather(*[clearloop.create_task(child(), name="the same") for _ in range(3)])

    actors = [record.actor for _ in range(2) for record in of(records.TASK, recorded(main))]
    assert len(actors) == len(set(actors)) == 8
    assert 0 not in actors


def names_of(found):
    pieces = collections.defaultdict(list)
    for record, raw in found:
        if record.kind == records.NAME:
            text = raw[records.NAME_OFFSET : records.NAME_OFFSET + record.how]
            if record.type == 0:
                pieces[record.actor] = []
            assert record.type == len(pieces[record.actor])
            pieces[record.actor].append(text)
    return {actor: b"".join(texts).decode() for actor, texts in pieces.items()}


@pytest.mark.parametrize(
    "name, told",
    [
        ("short", "short"),
        ("x" * 24, "x" * 24),
        ("y" * 25, "y" * 25),
        ("", ""),
        ("é" * 40, "é" * 40),
        ("日本" * 200, "日本" * 32),  # 192 bytes, and no half character
        ("z" + "日" * 200, "z" + "日" * 63),
        ("\ud800", "\\ud800"),
        ("<script>", "<script>"),
    ],
)
def test_a_name_is_cut_into_pieces_and_put_together_again(name, told):
    async def main():
        await clearloop.create_task(clearloop.sleep(0), name=name)

    with new_loop() as loop:
        loop.run_until_complete(main())
        data = loop._recording()[2]
    raws = [data[place : place + 32] for place in range(0, len(data), 32)]
    found = [(Record(*records.RECORD.unpack(raw)), raw) for raw in raws]
    assert list(names_of(found).values()) == [told]


def test_a_name_that_is_set_later_is_told():
    async def main():
        asyncio.current_task().set_name("later")
        await clearloop.sleep(0)

    with new_loop() as loop:
        loop.run_until_complete(main())
        data = loop._recording()[2]
    raws = [data[place : place + 32] for place in range(0, len(data), 32)]
    assert list(names_of([(Record(*records.RECORD.unpack(raw)), raw) for raw in raws]).values()) == ["later"]


def test_tasks_that_live_are_listed_with_what_they_wait_for():
    async def waits(event):
        await event.wait()

    async def main():
        event = clearloop.Event()
        task = clearloop.create_task(waits(event), name="waits")
        await clearloop.sleep(0)
        rows = asyncio.get_running_loop()._recorded_tasks()
        frame = task.get_coro().cr_frame  # of the program's own: what waits below it is a library's
        truth = frame.f_code, frame.f_lasti
        event.set()
        await task
        return rows, truth

    with new_loop() as loop:
        rows, truth = loop.run_until_complete(main())
    mine, other = rows
    assert (called(mine[3]).rpartition(".")[2], mine[1]) == ("main", 0)
    number, parent, name, coroutine, created, waits_type, waits_other, code, lasti = other
    assert (parent, name, called(waits_type), waits_other) == (mine[0], "waits", "Waiter", 0)
    assert number != parent
    assert called(coroutine).endswith("waits")
    assert (interned.table()[code], lasti) == truth
    assert abs(created - time.monotonic_ns() // 1_000_000) < 600_000


def test_eager_tasks_have_their_step_inside_another():
    async def child():
        await clearloop.sleep(0)

    async def main():
        clearloop.create_task(child())
        await clearloop.sleep(0)
        await clearloop.sleep(0)

    with new_loop() as loop:
        loop.set_task_factory(clearloop.eager_task_factory)
        loop.run_until_complete(main())
        found = taken(loop)
        assert all_counted(loop)
    number = numbers(found)
    first, last = steps_of(number["child"], found)
    assert (first.how & ~WITHIN, last.how) == (NESTED | records.YIELDED, records.RETURNED)
    outer = next(step for step in steps_of(number["main"], found) if end(step) >= end(first))
    assert outer.time <= first.time
    assert found.index(first) < found.index(outer)
    parents = {record.actor: record.other for record in of(records.TASK, found)}
    assert parents[number["child"]] == number["main"]


# ---- who woke whom -----------------------------------------------------------------------------------------


def only_wake(actor, found):
    (wake,) = [record for record in of(records.WAKE, found) if record.actor == actor]
    return wake


def test_a_task_that_wakes_another():
    async def waits(event):
        await event.wait()

    async def sets(event):
        event.set()

    async def main():
        event = clearloop.Event()
        await asyncio.wait([clearloop.create_task(waits(event)), clearloop.create_task(sets(event))])

    found = recorded(main)
    number = numbers(found)
    wake = only_wake(number["waits"], found)
    assert (how(wake), wake.other, wake.code) == (records.BY_STEP, number["sets"], 0)
    (step,) = steps_of(number["sets"], found)
    assert step.time <= wake.time <= end(step)


def test_a_callback_that_wakes_a_task():
    def callback(future):
        future.set_result(None)

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(callback, future)
        await future

    found = recorded(main)
    wake = only_wake(numbers(found)["main"], found)
    assert (how(wake), wake.other) == (records.BY_STEP, 0)
    assert called(wake.code).endswith("callback")


def test_who_cancels_wakes():
    async def waits():
        await asyncio.get_running_loop().create_future()

    async def main():
        task = clearloop.create_task(waits())
        await clearloop.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    found = recorded(main)
    number = numbers(found)
    assert only_wake(number["waits"], found).other == number["main"]


@pytest.mark.parametrize("sleep", [clearloop.sleep, asyncio.sleep], ids=["ours", "asyncio"])
def test_a_timer_wakes_at_its_deadline_also_when_the_loop_was_held(sleep):
    async def sleeps():
        nonlocal began
        began = time.monotonic_ns()
        await sleep(0.01)

    async def holds():
        time.sleep(0.05)

    async def main():
        task = clearloop.create_task(sleeps())
        await clearloop.sleep(0)
        await clearloop.create_task(holds())
        await task

    began = 0
    found = recorded(main)
    number = numbers(found)
    wake = only_wake(number["sleeps"], found)
    (held,) = steps_of(number["holds"], found)
    last = steps_of(number["sleeps"], found)[-1]
    assert how(wake) == records.BY_TIMER
    assert wake.time + 256 >= began + 10_000_000  # lateness is kept in units of 256 ns
    assert wake.time < end(held) <= last.time


def test_a_timeout_wakes_at_its_deadline():
    async def main():
        with contextlib.suppress(TimeoutError):
            async with clearloop.timeout(0.005):
                await asyncio.get_running_loop().create_future()

    found = recorded(main)
    wake = only_wake(numbers(found)["main"], found)
    assert how(wake) == records.BY_TIMER
    assert wake.time <= steps_of(wake.actor, found)[-1].time


def test_a_timer_with_a_callback_of_the_program_wakes_when_that_has_run():
    def late(future):
        future.set_result(time.monotonic_ns())

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(0.005, late, future)
        return await future

    with new_loop() as loop:
        ran = loop.run_until_complete(main())
        found = taken(loop)
    wake = only_wake(numbers(found)["main"], found)
    assert how(wake) == records.BY_STEP
    assert wake.time >= ran


def test_a_foreign_future_wakes_a_task_of_ours():
    async def main():
        loop = asyncio.get_running_loop()
        future = asyncio.futures._PyFuture(loop=loop)
        loop.call_soon(future.set_result, None)
        await future

    with new_loop() as loop:
        loop.run_until_complete(main())
        found = taken(loop)
        assert all_counted(loop)
    actor = numbers(found)["main"]
    only_wake(actor, found)
    assert [how(step) for step in steps_of(actor, found)] == [records.SUSPENDED, records.RETURNED]


def test_a_thread_wakes_a_task_once_from_when_it_was_done():
    awaited = threading.Event()

    def job():
        awaited.wait(60)
        return time.monotonic_ns()

    async def main():
        asyncio.get_running_loop().call_soon(awaited.set)  # runs when the task is suspended
        return await clearloop.run_sync(job)

    with new_loop() as loop:
        done = loop.run_until_complete(main())
        found = taken(loop)
    wakes = [wake for wake in of(records.WAKE, found) if wake.actor == numbers(found)["main"]]
    assert [how(wake) for wake in wakes][:1] == [records.BY_THREAD]
    assert len(wakes) == 1
    assert wakes[0].time >= done


# ---- nothing is missing without being said -----------------------------------------------------------------


def test_every_step_is_recorded_or_counted():
    async def work(count):
        for _ in range(count):
            await clearloop.sleep(0)

    async def main():
        await asyncio.gather(*[work(1000) for _ in range(100)])

    with new_loop() as loop:
        loop.run_until_complete(main())
        assert of(records.GAP, taken(loop))
        assert loop._step_count() > 100_000
        assert all_counted(loop)


def test_a_turn_that_is_larger_than_all_credits_is_a_gap_and_what_follows_is_recorded():
    def callback():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(20_000):
            loop.call_soon(callback)
        await clearloop.sleep(0)
        await clearloop.sleep(0.001)

    with new_loop() as loop:
        loop.run_until_complete(main())
        found = taken(loop)
        assert [gap.other for gap in of(records.GAP, found)] == [20_001]  # and the task's step behind them
        assert all_counted(loop)
    assert how(steps_of(numbers(found)["main"], found)[-1]) == records.RETURNED


def test_with_all_recorded_there_is_no_gap(everything):
    async def work():
        for _ in range(1000):
            await clearloop.sleep(0)

    async def main():
        await asyncio.gather(*[work() for _ in range(50)])

    with new_loop() as loop:
        loop.run_until_complete(main())
        assert not of(records.GAP, taken(loop))
        assert all_counted(loop)


@pytest.mark.parametrize("crowd", [1, 30_000], ids=["recorded", "gap"])
def test_turns_by_hand_inside_a_callback(crowd):
    def callback():
        pass

    def steps_the_loop():
        loop.call_soon(callback)
        loop._run_once()
        for _ in range(crowd):
            loop.call_soon(callback)
        loop._run_once()
        loop.call_soon(callback)
        loop._run_once()

    with new_loop() as loop:
        loop.call_soon(steps_the_loop)
        loop.call_soon(callback)
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        assert all_counted(loop)
        names = [called(step.code) for step in of(records.STEP, taken(loop))]
    assert sum(name.endswith("steps_the_loop") for name in names) == 1


def test_a_turn_by_hand_that_is_recorded_inside_one_that_is_not():
    def callback():
        pass

    def steps_the_loop():
        while loop._ready_count():
            loop._run_once()
        loop.call_soon(callback)
        loop._run_once()

    with new_loop() as loop:
        for number in range(30_000):
            loop.call_soon(steps_the_loop if number == 10 else callback)
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        assert loop._step_count() > 30_000
        assert all_counted(loop)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("in_task", [False, True], ids=["callback", "task"])
def test_a_step_that_ends_the_loop_is_recorded(error, in_task):
    def raises():
        raise error

    async def task_raises():
        raises()

    with new_loop() as loop:
        if in_task:
            task = loop.create_task(task_raises())
        else:
            loop.call_soon(raises)
        with pytest.raises(error):
            loop.run_forever()
        if in_task:
            task.exception()
        loop.run_until_complete(clearloop.sleep(0))
        assert all_counted(loop)
        assert any(how(step) == records.RAISED for step in of(records.STEP, taken(loop)))


def test_runs_and_waits():
    with new_loop() as loop:
        for _ in range(2):
            loop.run_until_complete(clearloop.sleep(0.005))
        found = taken(loop)
    assert [run.how for run in of(records.RUN, found)] == [records.BEGAN, records.STOPPED] * 2
    waits = of(records.WAIT, found)
    assert len(waits) >= 2
    for wait in waits:
        for step in of(records.STEP, found):
            assert end(step) <= wait.time or end(wait) <= step.time


def test_debug_mode_records_too():
    async def main():
        await clearloop.sleep(0)

    with new_loop() as loop:
        loop.set_debug(True)
        loop.run_until_complete(main())
        found = taken(loop)
        assert all_counted(loop)
    assert [how(step) for step in steps_of(numbers(found)["main"], found)] == [records.YIELDED, records.RETURNED]


def test_reading_while_it_runs_from_another_thread():
    seen = []

    async def main():
        thread = threading.Thread(target=lambda: seen.append(loop._recording()))
        thread.start()
        while thread.is_alive():
            time.sleep(0.001)

    with new_loop() as loop:
        loop.run_until_complete(main())
        actor = numbers(taken(loop))["main"]
    step = seen[0][5]
    assert step[1] == actor


# ---- bounded -----------------------------------------------------------------------------------------------


def test_the_ring_wraps_around_and_tasks_say_again_who_they_are(monkeypatch, everything):
    monkeypatch.setenv("CLEARLOOP_RECORD", "0.01")

    async def long_lived():
        for _ in range(2000):
            await clearloop.sleep(0)

    async def main():
        await clearloop.create_task(long_lived(), name="long-lived")

    with new_loop() as loop:
        loop.run_until_complete(main())
        capacity, written, data, since, _, _ = loop._recording()
        found = taken(loop)
    assert capacity == 327
    assert written > 2000
    assert len(data) == capacity * records.SIZE
    steps = of(records.STEP, found)
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    assert [run.how for run in of(records.RUN, found)] == [records.STOPPED]
    again = {called(task.code).rpartition(".")[2]: task for task in of(records.TASK, found)}
    assert again["long_lived"].how == records.RECALLED
    assert again["long_lived"].other == again["main"].actor
    assert since - 5_000_000 <= again["long_lived"].time < steps[0].time
    assert [record.actor for record in of(records.NAME, found)] == [again["long_lived"].actor]


@pytest.mark.parametrize("value", ["0", "0.0", "off", "no", "false"])
def test_recording_can_be_turned_off(monkeypatch, value):
    monkeypatch.setenv("CLEARLOOP_RECORD", value)
    with new_loop() as loop:
        loop.run_until_complete(clearloop.sleep(0.001))
        assert loop._recording() is None
        loop._record_job(0, 1, None, print)
        loop._record_stall(1)
        assert loop._recording() is None


@pytest.mark.parametrize(
    "value, mebibytes",
    [("", 8), ("8", 8), ("1", 1), ("0.5", 0.5), ("many", 8), ("-3", 8), ("nan", 8), ("0x10", 8), (" 2 ", 2)],
)
def test_the_size_of_the_ring(monkeypatch, value, mebibytes):
    monkeypatch.setenv("CLEARLOOP_RECORD", value)
    with new_loop() as loop:
        loop.run_until_complete(clearloop.sleep(0))
        assert loop._recording()[0] * records.SIZE == mebibytes * 2**20


@pytest.mark.parametrize("value", ["1e300", "inf", "1e-9"])
def test_sizes_beyond_all_reason(monkeypatch, value):
    monkeypatch.setenv("CLEARLOOP_RECORD", value)
    with new_loop() as loop:
        loop.run_until_complete(clearloop.sleep(0))  # with a ring of some size, or none: the program does not mind


def test_no_memory_for_the_ring_means_no_recording():
    assert "None" in run_script(
        """
        import resource, clearloop, asyncio
        clearloop.run(clearloop.sleep(0))
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        loop = clearloop.new_event_loop()
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), used + (64 << 20)))
        loop.run_until_complete(clearloop.sleep(0.001))
        print(loop._recording())
        loop.close()
        """,
        CLEARLOOP_RECORD="512",
        CLEARLOOP_WATCH="0",
    )


def test_no_reference_to_what_was_recorded_is_kept():
    async def main():
        class Callback:
            def __call__(self):
                pass

        class Waited(clearloop.Future):
            pass

        loop = asyncio.get_running_loop()
        callback, future = Callback(), Waited(loop=loop)
        loop.call_soon(callback)
        loop.call_soon(future.set_result, None)
        await future
        return [weakref.ref(callback), weakref.ref(future), weakref.ref(Callback), weakref.ref(Waited)]

    with new_loop() as loop:
        gone = loop.run_until_complete(main())
        found = {called(step.code) for step in of(records.STEP, taken(loop)) if step.actor == 0}
        assert any(name.endswith("Callback") for name in found)
        gc.collect()
        gc.collect()
        assert [reference() for reference in gone] == [None] * 4


def test_classes_at_one_address_keep_their_own_names():
    names = []

    async def main():
        loop = asyncio.get_running_loop()
        for number in range(200):
            name = f"Kind{number}"
            names.append(name)
            loop.call_soon(type(name, (), {"__call__": lambda self: None})())
            await clearloop.sleep(0)
            await clearloop.sleep(0)
            if number % 20 == 19:
                gc.collect()

    found = recorded(main)
    told = [called(step.code) for step in of(records.STEP, found) if step.actor == 0]
    assert [name for name in told if name.startswith("Kind")] == names


def test_the_table_of_names_is_bounded():
    assert run_script(
        """
        import clearloop, asyncio
        from clearloop.engine import interned

        async def main():
            loop = asyncio.get_running_loop()
            for number in range(20_000):
                namespace = {}
                exec(f"def f{number}(): pass", namespace)
                loop.call_soon(namespace[f"f{number}"])
                if number % 100 == 0:
                    await clearloop.sleep(0)

        clearloop.run(main())
        print(len(interned.table()))
        """,
        CLEARLOOP_RECORD_ALL="1",
    ).split() == ["16385"]


def test_a_child_has_a_ring_of_its_own():
    assert run_script(
        """
        import os, clearloop

        async def work():
            for _ in range(100):
                await clearloop.sleep(0)

        loop = clearloop.new_event_loop()
        loop.run_until_complete(work())
        before = loop._recording()[1]
        pid = os.fork()
        if pid == 0:
            loop.run_until_complete(work())
            os._exit(0 if loop._recording()[1] >= before + 100 else 1)
        status = os.waitpid(pid, 0)[1]
        print(os.waitstatus_to_exitcode(status), loop._recording()[1] - before)
        loop.close()
        """,
        PYTHONWARNINGS="ignore",
    ).split() == ["0", "0"]


def test_a_closed_loop_can_still_be_read():
    loop = clearloop.new_event_loop()
    loop.run_until_complete(clearloop.sleep(0))
    loop.close()
    assert [run.how for run in of(records.RUN, taken(loop))] == [records.BEGAN, records.STOPPED]


# ---- what other rooms record -------------------------------------------------------------------------------


def test_jobs_and_stalls_of_other_rooms():
    def function():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        loop._record_job(0, 7, None, function, dict)
        loop._record_job(1, 7, None, None, None, 99, 1000, 5_000_000_000)
        loop._record_stall(3, asyncio.current_task(), main.__code__, 12, 2000, 77)

    with new_loop() as loop:
        loop.run_until_complete(main())
        found = taken(loop)
    submitted, ran = of(records.JOB, found)
    number = numbers(found)["main"]
    assert (submitted.actor, submitted.other, called(submitted.type)) == (7, number, "dict")
    assert interned.table()[submitted.code] is function.__code__
    assert (ran.how, ran.other, ran.time) == (records.RAN | records.COARSE, 99, 1000)
    assert ran.span == 5_000_000_000 >> records.COARSE_SHIFT
    (stall,) = of(records.STALL, found)
    assert (stall.how, stall.actor, stall.place, stall.time, stall.span) == (3, number, 12, 2000, 77)
    assert interned.table()[stall.code] is main.__code__
