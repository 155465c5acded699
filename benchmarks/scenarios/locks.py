"""Tasks that wait for each other: a queue handed over item by item, a contended lock, an event that wakes many."""

from catalog import STEPS, Goal, Scenario

WAITERS = 10_000


async def handover(bench, n):
    there, back = bench.api.Queue(), bench.api.Queue()

    async def answer():
        for _ in range(n // 2):
            await back.put(await there.get())

    task = bench.api.create_task(answer())
    for number in range(n // 2):
        await there.put(number)
        await back.get()
    await task


async def contended(bench, n):
    lock, sleep = bench.api.Lock(), bench.api.sleep

    async def take(times):
        for _ in range(times):
            async with lock:
                await sleep(0)

    tasks = [bench.api.create_task(take(max(n // 10, 1))) for _ in range(10)]
    for task in tasks:
        await task


async def broadcast(bench, n):
    waiters = min(n, WAITERS)
    events = [bench.api.Event() for _ in range(max(n // waiters, 1))]
    awake = 0
    all_awake = None

    async def wait_for_each():
        nonlocal awake
        for event in events:
            await event.wait()
            awake += 1
            if awake == waiters:
                all_awake.set_result(None)

    tasks = [bench.api.create_task(wait_for_each()) for _ in range(waiters)]
    await bench.api.sleep(0)
    for event in events:
        awake = 0
        all_awake = bench.loop.create_future()
        event.set()
        await all_awake
    for task in tasks:
        await task


SCENARIOS = [
    Scenario("clearloop.Queue hand-over", STEPS, handover, Goal(2)),
    Scenario("asyncio.Queue hand-over", STEPS, handover, api="asyncio"),
    Scenario("clearloop.Lock contended", STEPS, contended, Goal(1.8)),
    Scenario("asyncio.Lock contended", STEPS, contended, api="asyncio"),
    Scenario("clearloop.Event waking 10 000", STEPS, broadcast, Goal(1.3), n=20 * WAITERS),
    Scenario("asyncio.Event waking 10 000", STEPS, broadcast, api="asyncio", n=20 * WAITERS),
]
