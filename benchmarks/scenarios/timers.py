"""Timers: most are cancelled before they fire, some fire by the thousand, and many tasks sleep at once."""

from catalog import STEPS, Goal, Scenario


async def cancelled(bench, n):
    call_later = bench.loop.call_later
    for number in range(n):
        call_later(10, print).cancel()
        if not number % 1000:
            await bench.api.sleep(0)  # a loop that sweeps late pays in here as well


async def firing(bench, n):
    loop = bench.loop
    done = loop.create_future()
    left = n

    def fire():
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    for number in range(n):
        loop.call_later((number * 7919 % 1000) * 1e-4, fire)  # in no order, over a tenth of a second
    await done


async def sleeping(bench, n):
    sleep, create_task = bench.api.sleep, bench.api.create_task
    base = n * 1e-5  # long enough that the first still sleeps when the last begins

    async def one(number):
        await sleep(base + (number * 7919 % 1000) * 1e-4)

    tasks = [create_task(one(number)) for number in range(n)]
    for task in tasks:
        await task


SCENARIOS = [
    Scenario("call_later + cancel", STEPS, cancelled, Goal(1.1), n=50_000),
    Scenario("100 000 timers firing", STEPS, firing, Goal(1.2), n=100_000),
    Scenario("100 000 concurrent clearloop.sleep", STEPS, sleeping, Goal(2), n=100_000),
    Scenario("100 000 concurrent asyncio.sleep", STEPS, sleeping, api="asyncio", n=100_000),
]
