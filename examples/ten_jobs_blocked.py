"""Ten jobs that hold the loop: `clearloop run --timeline blocked.html examples/ten_jobs_blocked.py` shows it."""

import time

import clearloop


async def job():
    time.sleep(0.2)


async def main():
    await clearloop.gather(*[clearloop.create_task(job(), name=f"job {n}") for n in range(1, 11)])


clearloop.run(main())
print("ten jobs, one after the other")
