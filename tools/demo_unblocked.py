"""The same ten jobs, with the blocking call in a thread: one line is different."""

import asyncio
import time


def fetch(n):
    time.sleep(0.2)  # as a client library does that knows nothing of asyncio
    return n


async def job(n):
    return await asyncio.get_running_loop().run_in_executor(None, fetch, n)


async def main():
    began = time.monotonic()
    await asyncio.gather(*[asyncio.create_task(job(n), name=f"job {n}") for n in range(10)])
    print(f"ten jobs of 0.2 s took {time.monotonic() - began:.1f} s")


asyncio.run(main())
