"""`gather` runs jobs side by side and gives their results in the order of the jobs, whichever ends first."""

import clearloop


async def job(name, turns):
    for _ in range(turns):
        await clearloop.sleep(0)
    print(name, "ends")
    return name


async def main():
    print(await clearloop.gather(job("slow", 30), job("quick", 10), job("middling", 20)))


clearloop.run(main())
