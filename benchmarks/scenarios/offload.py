"""A round trip to a thread and back."""

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


SCENARIOS = [
    Scenario("run_in_executor round trip", STEPS, default_round_trip, Goal(1.3), n=2_000, quick_n=200),
    Scenario("run_in_executor round trip, one thread", STEPS, round_trip, n=2_000, quick_n=200),
]
