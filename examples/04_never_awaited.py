"""The forgotten `await`: the job never runs. clearloop says so, and so does Python in a RuntimeWarning."""

import clearloop


async def save():
    print("saved")


async def main():
    print("saving")
    save()
    print("not saved: the await was forgotten")
    await save()


clearloop.run(main())
