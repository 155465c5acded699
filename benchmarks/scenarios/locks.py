"""Tasks that wait for each other: a queue handed over item by item, a contended lock, an event that wakes
many.
"""

from time import process_time

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
    """Gives the CPU seconds between `set` and the last waiter's end: making the waiters does not count."""
    spent = 0.0
    for _ in range(max(n // WAITERS, 1)):
        event = bench.api.Event()

        async def wait(event=event):
            await event.wait()

        tasks = [bench.api.create_task(wait()) for _ in range(min(n, WAITERS))]
        await bench.api.sleep(0)
        before = process_time()
        event.set()
        await tasks[-1]
        spent += process_time() - before
    return spent


SCENARIOS = [
    Scenario("clearloop.Queue hand-over", STEPS, handover, Goal(2)),
    Scenario("asyncio.Queue hand-over", STEPS, handover, api="asyncio"),
    Scenario("clearloop.Lock contended", STEPS, contended, Goal(1.8)),
    Scenario("asyncio.Lock contended", STEPS, contended, api="asyncio"),
    Scenario("clearloop.Event waking 10 000", STEPS, broadcast, Goal(1.3), n=4 * WAITERS),
    Scenario("asyncio.Event waking 10 000", STEPS, broadcast, api="asyncio", n=4 * WAITERS),
]
