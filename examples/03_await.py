"""`await` runs something to its end and gives its result. Only then does the function go on."""

import clearloop


async def fetch(what):
    print("  fetching", what)
    await clearloop.sleep(0.01)
    print("  fetched", what)
    return what.upper()


async def main():
    print("first")
    tea = await fetch("tea")
    print("second")
    milk = await fetch("milk")
    print("have", tea, "and", milk)


clearloop.run(main())
