"""A round trip to a thread and back."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from catalog import STEPS, Goal, Scenario


def nothing():
    return None


async def round_trip(bench, n):
    run_in_executor = bench.loop.run_in_executor
    with ThreadPoolExecutor(1) as pool:
        for _ in range(n):
            await run_in_executor(pool, nothing)


async def default_round_trip(bench, n):
    run_in_executor = bench.loop.run_in_executor
    for _ in range(n):
        await run_in_executor(None, nothing)


async def run_sync_round_trip(bench, n):
    """clearloop.run_sync, which carries the context along, beside a peer's plain run_in_executor."""
    run_sync = getattr(bench.api, "run_sync", None)
    if run_sync is None:
        return await default_round_trip(bench, n)
    for _ in range(n):
        await run_sync(nothing)


async def trivial(item):
    return item


async def amap_trivial(bench, n):
    """n items through amap, 100 at once; elsewhere asyncio.gather behind a Semaphore, as one writes it."""
    amap = getattr(bench.api, "amap", None)
    if amap is not None:
        await amap(trivial, range(n), limit=100)
        return
    semaphore = asyncio.Semaphore(100)

    async def bounded(item):
        async with semaphore:
            return await trivial(item)

    await asyncio.gather(*[bounded(item) for item in range(n)])


SCENARIOS = [
    Scenario("run_sync round trip", STEPS, run_sync_round_trip, Goal(1.3), n=2_000, quick_n=200),
    Scenario("amap, 100 at once", STEPS, amap_trivial, Goal(2.0), n=100_000, quick_n=5_000),
    Scenario("run_in_executor round trip", STEPS, default_round_trip, Goal(1.3), n=2_000, quick_n=200),
    Scenario("run_in_executor round trip, one thread", STEPS, round_trip, n=2_000, quick_n=200),
]
