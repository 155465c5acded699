"""`wait` over a list: it tells which jobs are done and which are not. Coroutines may stand in the list."""

import clearloop


async def square(n):
    await clearloop.sleep(0.01)
    return n * n


async def main():
    done, pending = await clearloop.wait([square(1), square(2), square(3)])
    print(sorted(task.result() for task in done), "and", len(pending), "pending")

    # Without waiting for the last one:
    bell = clearloop.Event()
    done, pending = await clearloop.wait(
        [square(4), bell.wait()],
        return_when=clearloop.FIRST_COMPLETED,
    )
    print([task.result() for task in done], "and", len(pending), "pending")

    bell.set()
    done, pending = await clearloop.wait(pending)
    print([task.result() for task in done], "and", len(pending), "pending")


clearloop.run(main())
