"""Tasks in the recorder: numbers, parents, names, those that live, those that start eagerly."""

import asyncio
import collections
import time

import pytest

import clearloop
from clearloop.engine import interned
from clearloop.show import records
from recorded import (
    NESTED,
    WITHIN,
    Record,
    all_counted,
    called,
    end,
    new_loop,
    numbers,
    of,
    recorded,
    steps_of,
    taken,
)


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
