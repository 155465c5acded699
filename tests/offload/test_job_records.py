"""Jobs off the loop are in the recorder: who sent them where, which worker ran them when, and what became of them."""

import asyncio
import concurrent.futures
import os
import re
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import jobs
import pytest

import clearloop
from clearloop.offload.executor import default_executor
from clearloop.show import records
from clearloop.watch import dumping
from dumped import Dumped

SUBMITTED, RAN, DELIVERED, DROPPED = range(4)


def taken():
    return Dumped(b"".join(dumping.collect()))


def recorded(main):
    """Run a coroutine, and return the dump of its loop's end, only with this loop's records."""

    async def whole():
        await main
        return asyncio.get_running_loop()._watch_number(), taken()

    number, found = clearloop.run(whole())
    found.records = found.loops[number]
    return found


def the_job(found, function):
    """The records of the one job that called a function of this name."""
    [job] = [job for job in found.jobs().values() if job[0].code and found.name(job[0].code).endswith(function)]
    return job


def hows(job):
    return [record.how for record in job]


def sleeps(seconds=0.02):
    began = time.monotonic_ns()
    time.sleep(seconds)
    return threading.get_native_id(), began, time.monotonic_ns()


def fails():
    raise ValueError


def in_executor(executor=None):
    return lambda function: asyncio.get_running_loop().run_in_executor(executor, function)


WAYS = {
    "run_in_executor": in_executor(),
    "run_sync": clearloop.run_sync,
    "to_thread": asyncio.to_thread,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_job_in_a_thread_from_its_task_to_its_end(way):
    seen = []

    async def sender():
        seen.append(await way(sleeps))

    async def main():
        await asyncio.create_task(sender(), name="sender")

    before = time.monotonic_ns()
    found = recorded(main())
    [(worker, began, ended)] = seen
    calls = [job for job in found.jobs().values() if found.name(job[0].type) == "ThreadPool"]
    [job] = calls
    assert hows(job) == [SUBMITTED, RAN, DELIVERED]
    submitted, ran, delivered = job
    assert found.names()[submitted.other] == "sender"
    if way is not asyncio.to_thread:  # which sends contextvars.Context.run
        assert found.name(submitted.code) == "sleeps"
    assert before <= submitted.time <= ran.time <= began
    assert ended <= ran.time + ran.span <= delivered.time
    assert ran.other == worker
    assert found.dump.workers[worker].startswith("asyncio_")


def test_the_task_that_awaits_a_job_names_it():
    async def main():
        await clearloop.run_sync(sleeps)

    found = recorded(main())
    job = the_job(found, "sleeps")
    waits = [step for step in found.of(records.STEP) if step.how == 0 and step.other == job[0].actor]
    assert len(waits) == 1
    assert found.name(waits[0].type) == "Call"


def test_each_worker_by_its_name():
    both = threading.Barrier(2, timeout=60)

    async def main():
        with ThreadPoolExecutor(2, "mine") as pool:
            await clearloop.gather(
                clearloop.run_sync(both.wait, executor=pool), in_executor(pool)(both.wait), in_executor()(int)
            )

    found = recorded(main())
    ran = [(record, found.dump.workers[record.other]) for record in found.of(records.JOB) if record.how == RAN]
    assert sorted(name[:-2] for _, name in ran) == ["asyncio", "mine", "mine"]
    assert len({record.other for record, _ in ran}) == 3
    assert {found.name(job[0].type) for job in found.jobs().values()} == {"ThreadPool", "ThreadPoolExecutor"}


def test_a_job_that_fails_ran_all_the_same():
    async def main():
        for way in (clearloop.run_sync, in_executor()):
            with pytest.raises(ValueError):
                await way(fails)

    found = recorded(main())
    assert [hows(job) for job in found.jobs().values()] == [[SUBMITTED, RAN, DELIVERED]] * 2


def test_a_queued_job_that_is_cancelled_is_dropped_and_never_ran():
    async def main():
        begun, done = threading.Event(), threading.Event()
        with ThreadPoolExecutor(1) as pool:
            first = in_executor(pool)(lambda: (begun.set(), done.wait(60)))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            queued = in_executor(pool)(sleeps)
            queued.cancel()
            done.set()
            await first
            with pytest.raises(asyncio.CancelledError):
                await queued

    found = recorded(main())
    assert hows(the_job(found, "sleeps")) == [SUBMITTED, DROPPED]


@pytest.mark.parametrize("abandon", [False, True])
def test_a_running_job_that_is_cancelled_ran_and_was_dropped(abandon):
    begun, done = threading.Event(), threading.Event()

    def held():
        begun.set()
        done.wait(60)

    async def main():
        task = asyncio.create_task(clearloop.run_sync(held, abandon_on_cancel=abandon))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        if abandon:
            with pytest.raises(asyncio.CancelledError):
                await task
        done.set()
        if not abandon:
            with pytest.raises(asyncio.CancelledError):
                await task
        while asyncio.get_running_loop().offloaded:
            await asyncio.sleep(0.001)

    found = recorded(main())
    assert hows(the_job(found, "held")) == [SUBMITTED, RAN, DROPPED]


def test_an_executor_that_takes_no_more():
    async def main():
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        own = default_executor(asyncio.get_running_loop())
        await in_executor()(int)
        own.shutdown()
        with pytest.raises(RuntimeError):
            await in_executor(pool)(sleeps)
        with pytest.raises(RuntimeError):
            await in_executor()(fails)

    found = recorded(main())
    assert hows(the_job(found, "sleeps")) == [SUBMITTED, DROPPED]
    assert hows(the_job(found, "fails")) == [SUBMITTED, DROPPED]


def test_a_process_tells_when_it_ran_the_job():
    async def main():
        with ProcessPoolExecutor(1) as pool:
            pids.append(await clearloop.run_sync(os.getpid, executor=pool))
            assert await clearloop.run_sync(jobs.double, 4, executor=pool) == 8
            assert await in_executor(pool)(os.getpid) == pids[0]

    pids = []
    before = time.monotonic_ns()
    found = recorded(main())
    first, second, plain = found.jobs().values()
    for job in (first, second):
        assert hows(job) == [SUBMITTED, RAN, DELIVERED]
        assert job[1].other == pids[0]
        assert before <= job[0].time <= job[1].time
        assert job[1].time + job[1].span <= job[2].time
    assert found.dump.workers[pids[0]] == f"process {pids[0]}"
    assert hows(plain) == [SUBMITTED, DELIVERED]  # the pool calls the function itself
    assert {found.name(job[0].type) for job in found.jobs().values()} == {"ProcessPoolExecutor"}


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters came with 3.14")
def test_an_interpreter_has_a_lane_as_a_thread_has():
    async def main():
        with concurrent.futures.InterpreterPoolExecutor(1) as pool:
            slow = [clearloop.run_sync(time.sleep, 0.05, executor=pool) for _ in range(5)]
            await asyncio.gather(*slow)

    found = recorded(main())
    ran = [record for job in found.jobs().values() for record in job if record.how == RAN]
    # Only of a job that has to wait for its worker: one that is taken the moment it is queued may be without
    assert ran
    [name] = {found.dump.workers[record.other] for record in ran}
    assert re.fullmatch(r"InterpreterPoolExecutor-\d+_0", name)  # pools are counted


class Odd(concurrent.futures.Executor):
    """Runs what it gets at once, or refuses it."""

    def submit(self, func, /, *args):
        future = concurrent.futures.Future()
        if func is fails:
            raise RuntimeError("no")
        future.set_running_or_notify_cancel()
        future.set_result(func(*args))
        return future


def test_an_executor_that_nothing_is_known_of():
    async def main():
        pool = Odd()
        await in_executor(pool)(sleeps)
        await clearloop.run_sync(jobs.double, 2, executor=pool)
        with pytest.raises(RuntimeError):
            await in_executor(pool)(fails)

    found = recorded(main())
    assert hows(the_job(found, "sleeps")) == [SUBMITTED, DELIVERED]
    assert hows(the_job(found, "double")) == [SUBMITTED, DELIVERED]
    assert hows(the_job(found, "fails")) == [SUBMITTED, DROPPED]
    assert {found.name(job[0].type) for job in found.jobs().values()} == {"Odd"}


def test_amap_sends_each_item_as_a_job():
    async def main():
        assert await clearloop.amap(abs, range(-5, 0), limit=2) == [5, 4, 3, 2, 1]

    found = recorded(main())
    assert [hows(job) for job in found.jobs().values()] == [[SUBMITTED, RAN, DELIVERED]] * 5


def test_without_recording_jobs_have_no_numbers(monkeypatch):
    monkeypatch.setenv("CLEARLOOP_RECORD", "0")

    async def main():
        call = in_executor()(int)
        assert call._job == 0
        assert await call == 0
        assert asyncio.get_running_loop()._recording() is None

    clearloop.run(main())


def test_a_name_that_is_in_use_again_is_the_newest():
    from clearloop.engine import workers

    for number in range(workers.MOST + 10):
        workers.note(-1 - number, f"worker {number}")
    assert len(workers.known) <= workers.MOST
    assert workers.known[-1 - (workers.MOST + 9)] == f"worker {workers.MOST + 9}"
    for number in list(workers.known):
        if number < 0:
            del workers.known[number]
