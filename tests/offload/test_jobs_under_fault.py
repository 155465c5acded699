"""Ten thousand jobs with random errors, cancellations and killed processes: each is accounted for exactly once."""

import asyncio
import os
import random
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import jobs
import pytest

import clearloop
from clearloop.offload import broken

COUNT = int(os.environ.get("CLEARLOOP_FAULT_JOBS", "10000"))


async def account(executor, may_kill, replace=None):
    """Run every job until it is done, failed or cancelled; return how often each came to which end."""
    ends = Counter()
    todo = list(range(COUNT))
    rounds = 0
    while todo:
        rounds += 1
        assert rounds < 200
        executor = replace() if replace is not None and rounds > 1 else executor

        async def one(item, executor=executor):
            call = asyncio.ensure_future(clearloop.run_sync(jobs.unreliable, item, may_kill, executor=executor))
            if item % 20 == 0:
                asyncio.get_running_loop().call_soon(call.cancel)  # it has set off, and cannot be back yet
            elif random.random() < 0.1:
                asyncio.get_running_loop().call_later(random.random() * 0.01, call.cancel)
            try:
                assert await call == 2 * item
            except asyncio.CancelledError:
                return item, "cancelled"
            except LookupError as error:
                assert error.args == (item,)
                return item, "failed"
            except (BrokenProcessPool, clearloop.JobLost, RuntimeError):
                return item, "again"
            return item, "done"

        again = []
        async with clearloop.amap(one, todo, limit=64, ordered=False) as results:
            async for item, end in results:
                if end == "again":
                    again.append(item)
                else:
                    ends[item, end] += 1
        todo = again
    return ends, rounds


def check(run, ends):
    late = re.compile(r"\) raised after the call was cancelled(, and so did \d+ more of its pool)?$")
    assert all(late.search(report["message"]) for report in run.reported), run.reported
    run.expect(len(run.reported))
    assert sorted(item for item, _ in ends) == list(range(COUNT)), "each once, and under one heading"
    assert set(ends.values()) == {1}
    by_kind = Counter(end for _, end in ends)
    assert all(by_kind[end] > COUNT / 100 for end in ("done", "failed", "cancelled")), by_kind


@pytest.mark.parametrize("own", [True, False], ids=["own threads", "ThreadPoolExecutor"])
def test_threads(run, own):
    async def main():
        if own:
            return await account(None, False)
        with ThreadPoolExecutor(8) as pool:
            return await account(pool, False)

    ends, rounds = run(main())
    assert rounds == 1
    check(run, ends)


@pytest.mark.timeout(300)
def test_processes_that_are_killed(run):
    pools = []

    def new_pool():
        if pools:
            pools[-1].shutdown(wait=False)
        pools.append(ProcessPoolExecutor(2, get_context("forkserver")))
        return pools[-1]

    async def main():
        return await account(new_pool(), True, new_pool)

    try:
        ends, rounds = run(main())
    finally:
        for pool in pools:
            pool.shutdown(wait=True)
    check(run, ends)
    assert rounds > 1 or COUNT < 5000, "nothing was killed"


def test_a_pool_that_breaks_while_a_cancelled_job_is_queued_fails_the_others(run, tmp_path):
    go = tmp_path / "go"

    async def main():
        calls = [asyncio.ensure_future(clearloop.run_sync(jobs.wait_and_kill, go, executor=pool))]
        calls += [asyncio.ensure_future(clearloop.run_sync(jobs.double, n, executor=pool)) for n in range(20)]
        await asyncio.sleep(0)
        calls[10].cancel()
        await asyncio.sleep(0)
        go.touch()
        return await asyncio.gather(*calls, return_exceptions=True)

    with ProcessPoolExecutor(1, get_context("forkserver")) as pool:
        ends = run(main())
    assert isinstance(ends.pop(10), asyncio.CancelledError)
    assert {type(end) for end in ends} == {BrokenProcessPool}


def test_a_pool_that_breaks_under_cancelled_calls_is_told_once_with_their_number(run, tmp_path):
    """Those that run or stand in the pool's pipe cannot be taken back: they end when it breaks, all with one error."""
    go = tmp_path / "go"

    async def main():
        calls = [asyncio.ensure_future(clearloop.run_sync(jobs.wait_and_kill, go, executor=pool)) for _ in range(2)]
        await wait_until_running(pool, 2)
        for call in calls:
            call.cancel()
        await asyncio.sleep(0)
        go.touch()
        return await asyncio.gather(*calls, return_exceptions=True)

    run.expect(1)
    with ProcessPoolExecutor(2, get_context("forkserver")) as pool:
        ends = run(main())
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert isinstance(run.reported[0]["exception"], BrokenProcessPool)
    message = run.reported[0]["message"]
    assert message.startswith("wait_and_kill()")
    assert message.endswith(") raised after the call was cancelled, and so did 1 more of its pool")
    assert not broken._groups


async def wait_until_running(pool, count):
    while sum(item.future.running() for item in list(pool._pending_work_items.values())) < count:
        await asyncio.sleep(0.001)


def test_amap_itself_counts_each_item(run):
    async def main():
        with ThreadPoolExecutor(8) as pool:
            seen = Counter()

            def work(item):
                seen[item] += 1
                if random.random() < 0.1:
                    raise LookupError(item)
                return item

            results = await clearloop.amap(work, range(COUNT), limit=50, executor=pool, return_exceptions=True)
        assert [r if isinstance(r, int) else r.args[0] for r in results] == list(range(COUNT))
        assert set(seen.values()) == {1} and len(seen) == COUNT

    run(main())
