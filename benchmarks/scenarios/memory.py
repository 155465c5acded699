"""What waiting costs: resident bytes per task that waits, and per connection on which nothing happens."""

import asyncio
import gc

from catalog import FIGURE, IDLE, Goal, Scenario
from resident import resident
from scenarios.echo import protocol, streams


async def pending_task(bench):
    """Tasks that wait for a future each, coroutine and future included."""
    loop, create_task = bench.loop, bench.api.create_task

    async def wait(future):
        await future

    async def hold(count):
        futures = [loop.create_future() for _ in range(count)]
        tasks = [create_task(wait(future)) for future in futures]
        await asyncio.sleep(0)
        return futures, tasks

    first = await hold(bench.n // 10)  # the allocators' first arenas are not what is asked for
    gc.collect()
    before = resident()
    second = await hold(bench.n)
    figure = (resident() - before) / bench.n
    for future in first[0] + second[0]:
        future.set_result(None)
    for task in first[1] + second[1]:
        await task
    return figure


SCENARIOS = [
    Scenario(
        "memory per pending task", FIGURE, pending_task, Goal(0.75, cost=True), n=100_000, quick_n=20_000
    ),
    Scenario("memory per idle TCP connection", IDLE, protocol, Goal(1.0, cost=True), n=4_000, quick_n=300),
    Scenario("memory per idle TCP connection, streams", IDLE, streams, n=4_000, quick_n=300),
]
