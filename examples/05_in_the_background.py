"""A job in the background: it starts when this function next waits, and its result is fetched later.

`create_task` needs a running loop; `ensure_future` does the same and also takes what is a future already.
"""

import clearloop


async def job():
    print("A: the job runs")
    await clearloop.sleep(0.01)
    return "B: the job's result"


async def main():
    task = clearloop.create_task(job())
    print("C: the job was started, but has not run yet")
    print(await task)


clearloop.run(main())
