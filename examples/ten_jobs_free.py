"""The same ten jobs in threads: `clearloop run --timeline free.html examples/ten_jobs_free.py` shows no red."""

import time
from concurrent.futures import ThreadPoolExecutor

import clearloop


async def job(threads):
    await clearloop.get_running_loop().run_in_executor(threads, time.sleep, 0.2)


async def main():
    with ThreadPoolExecutor(10) as threads:
        await clearloop.get_running_loop().run_in_executor(threads, int)  # the first one imports what it needs
        await clearloop.gather(*[clearloop.create_task(job(threads), name=f"job {n}") for n in range(1, 11)])


clearloop.run(main())
print("ten jobs at once")
