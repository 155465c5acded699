"""Jobs run in the order in which they were started. The awaits only look at their results."""

import clearloop


async def job(name):
    print(f"  {name} starts")
    await clearloop.sleep(0)  # let the others run
    print(f"  {name} ends")
    return name


async def main():
    print("awaited in order")
    a, b, c = [clearloop.ensure_future(job(name)) for name in "ABC"]
    print(" ", await a, await b, await c)

    print("awaited out of order: the same, but for the results")
    a, b, c = [clearloop.ensure_future(job(name)) for name in "ABC"]
    print(" ", await c, await a, await b)

    print("mixed: B is a mere coroutine, which runs only when it is awaited")
    a, b, c = clearloop.ensure_future(job("A")), job("B"), clearloop.ensure_future(job("C"))
    print(" ", await a, await b, await c)


clearloop.run(main())
