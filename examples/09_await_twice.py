"""A task keeps its result and can be awaited again. A coroutine runs once: awaited again, it raises."""

import clearloop


async def job():
    print("the job runs")
    return 42


async def main():
    task = clearloop.create_task(job())
    print("task:", await task)
    print("task, again:", await task)

    coroutine = job()
    print("coroutine:", await coroutine)
    try:
        await coroutine
    except RuntimeError as error:
        print("coroutine, again: RuntimeError:", error)


clearloop.run(main())
