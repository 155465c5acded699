"""Giving up control and getting it back: the price of one `await` that really switches."""

from catalog import STEPS, Goal, Scenario


async def one_task(bench, n):
    sleep = bench.api.sleep
    for _ in range(n):
        await sleep(0)


async def hundred_tasks(bench, n):
    sleep = bench.api.sleep

    async def switch(times):
        for _ in range(times):
            await sleep(0)

    tasks = [bench.api.create_task(switch(max(n // 100, 1))) for _ in range(100)]
    for task in tasks:
        await task


async def future_wakeup(bench, n):
    loop = bench.loop
    for _ in range(n):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


async def through_twenty(bench, n):
    sleep = bench.api.sleep

    async def descend(depth):
        if depth:
            await descend(depth - 1)
        else:
            for _ in range(n):
                await sleep(0)

    await descend(19)


SCENARIOS = [
    Scenario("sleep(0), one task", STEPS, one_task, Goal(1.6), n=50_000),
    Scenario("sleep(0), one task, asyncio.sleep", STEPS, one_task, api="asyncio", n=50_000),
    Scenario("sleep(0), 100 tasks", STEPS, hundred_tasks, Goal(1.5), n=50_000),
    Scenario("sleep(0), 100 tasks, asyncio.sleep", STEPS, hundred_tasks, api="asyncio", n=50_000),
    Scenario("future set_result → await", STEPS, future_wakeup, Goal(1.4)),
    Scenario("resume through 20 awaits", STEPS, through_twenty, Goal(1.2), n=50_000),
]
