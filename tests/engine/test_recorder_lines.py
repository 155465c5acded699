"""Lines in the recorder: that of the innermost await, through whatever stands between."""

import asyncio
import sys
import types

import pytest

import clearloop
from clearloop.engine import interned
from clearloop.show import records
from recorded import called, how, line_of, numbers, of, recorded, steps_of


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
