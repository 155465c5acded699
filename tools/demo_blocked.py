"""Ten jobs that should run side by side.  Each makes a call that blocks, so they run one after the other."""

import asyncio
import time


def fetch(n):
    time.sleep(0.2)  # as a client library does that knows nothing of asyncio
    return n


async def job(n):
    return fetch(n)


async def main():
    began = time.monotonic()
    await asyncio.gather(*[asyncio.create_task(job(n), name=f"job {n}") for n in range(10)])
    print(f"ten jobs of 0.2 s took {time.monotonic() - began:.1f} s")


asyncio.run(main())
