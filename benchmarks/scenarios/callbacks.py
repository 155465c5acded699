"""Plain callbacks: one after the other, many at once, and from another thread."""

import threading

from catalog import STEPS, Goal, Scenario


async def chain(bench, n):
    call_soon = bench.loop.call_soon
    done = bench.loop.create_future()
    left = n

    def link():
        nonlocal left
        left -= 1
        if left:
            call_soon(link)
        else:
            done.set_result(None)

    call_soon(link)
    await done


def ignore():
    pass


async def queued(bench, n):
    call_soon = bench.loop.call_soon
    done = bench.loop.create_future()
    for _ in range(n - 1):
        call_soon(ignore)
    call_soon(done.set_result, None)
    await done


async def from_a_thread(bench, n):
    call = bench.loop.call_soon_threadsafe
    done = bench.loop.create_future()

    def send():
        for _ in range(n - 1):
            call(ignore)
        call(done.set_result, None)

    thread = threading.Thread(target=send)
    thread.start()
    await done
    thread.join()


SCENARIOS = [
    Scenario("call_soon chain", STEPS, chain, Goal(1.1), n=100_000),
    Scenario("call_soon, 100 000 queued", STEPS, queued, Goal(1.1), n=100_000),
    Scenario("call_soon_threadsafe from a second thread", STEPS, from_a_thread, Goal(1.0), n=100_000),
]
