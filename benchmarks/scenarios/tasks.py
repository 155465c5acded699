"""The life of a task: made, awaited, gathered, grouped, cancelled."""

import asyncio

from catalog import STEPS, Goal, Scenario


async def nothing():
    return None


async def create_and_await(bench, n):
    create_task = bench.api.create_task
    for _ in range(n):
        await create_task(nothing())


async def gather_thousand(bench, n):
    gather = bench.api.gather
    for _ in range(max(n // 1000, 1)):
        await gather(*[nothing() for _ in range(min(n, 1000))])


async def group_of_thousand(bench, n):
    group_class = bench.api.TaskGroup
    for _ in range(max(n // 1000, 1)):
        async with group_class() as group:
            for _ in range(min(n, 1000)):
                group.create_task(nothing())


async def cancel_and_await(bench, n):
    create_task, sleep = bench.api.create_task, bench.api.sleep
    for _ in range(n):
        task = create_task(sleep(3600))
        await sleep(0)  # it is waiting now
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass


async def with_timeout(bench, n):
    timeout, sleep = bench.api.timeout, bench.api.sleep
    for _ in range(n):
        async with timeout(10):
            await sleep(0)


async def waited_for(bench, n):
    wait_for, sleep = bench.api.wait_for, bench.api.sleep
    for _ in range(n):
        await wait_for(sleep(0), 10)


SCENARIOS = [
    Scenario("create_task + await", STEPS, create_and_await, Goal(1.5)),
    Scenario("create_task + await, asyncio.create_task", STEPS, create_and_await, api="asyncio"),
    Scenario("create_task + await, eager task factory", STEPS, create_and_await, Goal(1.2), eager=True),
    Scenario("gather of 1 000, clearloop.gather", STEPS, gather_thousand, Goal(2)),
    Scenario("gather of 1 000, asyncio.gather", STEPS, gather_thousand, Goal(1.2), api="asyncio"),
    Scenario("TaskGroup of 1 000", STEPS, group_of_thousand, Goal(1.3)),
    Scenario("create, cancel, await", STEPS, cancel_and_await, Goal(1.3), n=10_000),
    Scenario("clearloop.timeout", STEPS, with_timeout, Goal(1.5)),
    Scenario("clearloop.wait_for", STEPS, waited_for, Goal(1.5)),
    Scenario("asyncio.timeout", STEPS, with_timeout, api="asyncio"),
    Scenario("asyncio.wait_for", STEPS, waited_for, api="asyncio"),
]
