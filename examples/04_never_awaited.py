"""The forgotten `await`: the job never runs. Python says so, in a RuntimeWarning that names the line."""

import clearloop


async def save():
    print("saved")


async def main():
    print("saving")
    save()
    print("not saved: the await was forgotten")
    await save()


clearloop.run(main())
