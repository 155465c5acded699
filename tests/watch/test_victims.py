"""Who waited: ready tasks and callbacks, timers that came due, descriptors that were ready; each with its delay."""

import asyncio
import socket
import time

import clearloop

from .held import LONG, THRESHOLD

# A delay is known to one look of the watchdog; it is late by as much as the machine likes, so tests ask for half
HALF = LONG / 2


def test_ten_jobs_of_which_one_sleeps(seen):
    async def job(number):
        if number == 0:
            await asyncio.sleep(0)
            time.sleep(LONG)
        else:
            await asyncio.sleep(0)

    async def main():
        tasks = [asyncio.create_task(job(number), name=f"job {number}") for number in range(10)]
        await asyncio.gather(*tasks)

    seen.run(main)
    stall = seen.the_one("blocking")
    assert stall.task == "job 0"
    assert stall.delayed_count == 9
    assert sorted(victim.task for victim in stall.delayed) == [f"job {number}" for number in range(1, 10)]
    assert all(HALF <= victim.seconds <= stall.seconds for victim in stall.delayed)


def test_who_waits_for_several_waits_for_the_last_of_them(seen):
    async def job(number):
        if number in (5, 9):
            time.sleep(LONG)

    async def main():
        tasks = [asyncio.create_task(job(number), name=f"job {number}") for number in range(10)]
        await clearloop.gather(*tasks)

    seen.run(main)
    first, second = seen.blamed
    assert sorted(victim.task for victim in first.delayed) == [f"job {number}" for number in range(6, 10)]
    assert first.delayed_count == 4
    assert (second.delayed_count, second.delayed) == (0, []), "and not who gathers: the last job has just ended"


def test_what_the_block_made_ready_at_its_end_did_not_wait(seen):
    async def late():
        pass

    async def main():
        time.sleep(LONG)
        await asyncio.create_task(late(), name="late")

    seen.run(main)
    assert seen.the_one().delayed_count == 0


def test_timers_that_came_due_in_their_order(seen):
    async def sleeper(seconds):
        await clearloop.sleep(seconds)

    async def other(seconds):
        await asyncio.sleep(seconds)

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(LONG / 2, late_timer)
        tasks = [
            asyncio.create_task(sleeper(LONG / 4), name="ours"),
            asyncio.create_task(other(LONG / 8), name="of asyncio"),
            asyncio.create_task(sleeper(10 * LONG), name="not due"),
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(LONG)
        await asyncio.wait(tasks[:2])
        tasks[2].cancel()

    def late_timer():
        pass

    seen.run(main)
    stall = seen.the_one()
    named = [victim.task or victim.callback for victim in stall.delayed]
    assert named == ["of asyncio", "ours", "test_timers_that_came_due_in_their_order.<locals>.late_timer"]
    delays = [victim.seconds for victim in stall.delayed]
    assert delays == sorted(delays, reverse=True)
    assert delays[0] <= stall.seconds


def test_cancelled_ones_do_not_count(seen):
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_soon(print, "never").cancel()
        loop.call_later(0.001, print, "never").cancel()
        time.sleep(LONG)

    seen.run(main)
    assert seen.the_one().delayed_count == 0


def test_descriptors_that_were_ready(seen):
    async def main():
        loop = asyncio.get_running_loop()
        mine, theirs = socket.socketpair()
        done = loop.create_future()

        def readable():
            loop.remove_reader(mine)
            done.set_result(None)

        with mine, theirs:
            loop.add_reader(mine, readable)
            theirs.send(b"x")
            time.sleep(LONG)
            await done

    seen.run(main)
    stall = seen.the_one()
    assert stall.delayed_count == 1
    assert stall.delayed[0].callback.endswith("readable")
    assert HALF <= stall.delayed[0].seconds <= stall.seconds


def test_a_hundred_in_the_record_and_all_in_the_number(seen):
    async def main():
        for _ in range(500):
            asyncio.get_running_loop().call_soon(int)
        time.sleep(LONG)
        await asyncio.sleep(0)

    seen.run(main)
    stall = seen.the_one()
    assert stall.delayed_count == 500
    assert len(stall.delayed) == 100


def test_a_ring_that_grows_during_the_block(seen):
    """Marks are indices of the ready ring: they stay true when it is made larger."""

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(50):
            loop.call_soon(int)
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            for _ in range(20):
                loop.call_soon_threadsafe(int)
            time.sleep(THRESHOLD / 20)
        await asyncio.sleep(0)

    seen.run(main)
    stall = seen.the_one("blocking")
    assert stall.delayed_count > 500
    assert stall.delayed[0].seconds >= HALF


def test_hostile_names_and_reprs(seen):
    class Hostile:
        def __call__(self):
            pass

        def __repr__(self):
            raise SystemExit("asked for its repr")

        __str__ = __repr__

        def __getattr__(self, name):
            raise SystemExit(f"asked for {name}")

        __class__ = property(lambda self: 1 / 0)

    class Name(str):
        def __repr__(self):
            raise SystemExit

        def __str__(self):
            raise SystemExit

        def __len__(self):
            raise SystemExit

        def __format__(self, how):
            raise SystemExit

    class Meta(type):
        def __getattribute__(cls, name):
            if name in ("__name__", "__module__", "__qualname__", "__mro__"):
                raise SystemExit(name)
            return super().__getattribute__(name)

    class OfMeta(metaclass=Meta):
        def __call__(self):
            pass

    async def job():
        pass

    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(job())
        named = asyncio.create_task(job(), name="x" * 10_000)
        loop.call_soon(Hostile())
        loop.call_soon(OfMeta())
        loop.call_soon(OfMeta().__call__)
        hostile = Hostile()
        time.sleep(LONG)
        del hostile
        await task
        await named

    seen.run(main)
    stall = seen.the_one("blocking")
    assert stall.delayed_count == 5
    assert all(len(victim.task or victim.callback) <= 200 for victim in stall.delayed)
