"""The same ten jobs in threads: `run_in_executor` takes them off the loop, and they run at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import clearloop

all_ten = threading.Barrier(10)


def job(n):
    time.sleep(0.01)
    all_ten.wait()  # opens when ten jobs wait here together, so one after the other it never would
    return n


async def count_turns(turns):
    while True:
        turns.append("turn")
        await clearloop.sleep(0)


async def main():
    turns = []
    counter = clearloop.create_task(count_turns(turns))

    loop = clearloop.get_running_loop()
    with ThreadPoolExecutor(10) as threads:
        results = await clearloop.gather(*[loop.run_in_executor(threads, job, n) for n in range(10)])

    print("results:", *results)
    print("ten at once")
    counter.cancel()
    print("the loop went on turning" if turns else "the loop stood still")


clearloop.run(main())
