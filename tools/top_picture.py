"""Makes the pictures of `clearloop top` in docs/images, from a real process: python tools/top_picture.py

A shop with a forgotten blocking call is watched until that call holds the loop. Needs the extra clearloop[top].
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = (104, 30)


async def program():
    """What is watched."""
    import clearloop

    queue, stock = clearloop.Queue(20), clearloop.Lock()
    numbers = random.Random(4)

    async def take_order(n):
        while True:
            await asyncio.sleep(numbers.uniform(0.01, 0.1))
            await queue.put(n)

    async def pack(n):
        while True:
            await queue.get()
            async with stock:
                await asyncio.sleep(0.02)

    async def price_list():
        while True:
            await asyncio.sleep(2)
            time.sleep(1.2)

    async def bill():
        while True:
            await asyncio.sleep(0.3)
            sum(n * n for n in range(200_000))

    async with asyncio.TaskGroup() as group:
        for n in range(6):
            group.create_task(take_order(n), name=f"order {n + 1}")
        for n in range(3):
            group.create_task(pack(n), name=f"packer {n + 1}")
        group.create_task(price_list(), name="price list")
        group.create_task(bill(), name="bill")


async def take_pictures(pid):
    from clearloop.show.top import Top

    app = Top(pid, 0.5)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(9)
        while not app.part("#held").display or "0." in str(app.part("#held").render())[:20]:
            await pilot.pause(0.05)
        save(app, "top.svg")
        names = [app.table.get_row_at(row)[0].plain for row in range(app.table.row_count)]
        app.table.move_cursor(row=names.index("packer 2"))
        await pilot.press("enter")
        await pilot.pause(3)
        save(app, "top-task.svg")


def save(app, name):
    picture = app.export_screenshot(title="clearloop top")
    # the font would be fetched from a network
    picture = re.sub(r"@font-face\s*{[^}]*}", "", picture)
    (IMAGES / name).write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n")


def main():
    if "--program" in sys.argv:
        import clearloop

        clearloop.run(program())
    IMAGES.mkdir(exist_ok=True)
    child = subprocess.Popen(
        [sys.executable, os.path.relpath(__file__), "--program"],
        env={**os.environ, "CLEARLOOP_LIVE": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(2)
        asyncio.run(take_pictures(child.pid))
    finally:
        child.kill()
        child.wait()


if __name__ == "__main__":
    main()
