"""A pool in which every worker waits for work queued behind it is named with its lines, and nothing hangs."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import clearloop
from clearloop.offload import exhaustion


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(exhaustion, "LOOK_EVERY", 0.02)


def leaf():
    return "leaf"


def all_raised(results):
    assert {type(result) for result in results} == {clearloop.PoolExhausted}
    return str(results[0])


@pytest.mark.parametrize("shape", ["await", "task", "gather", "group", "amap"])
def test_every_thread_waits_in_run_async(run, shape):
    async def main():
        with ThreadPoolExecutor(2) as pool:

            async def inner():
                work = clearloop.run_sync(leaf, executor=pool)
                if shape == "await":
                    return await work
                if shape == "task":
                    return await asyncio.ensure_future(work)
                if shape == "gather":
                    return await clearloop.gather(work, asyncio.sleep(0))
                if shape == "group":
                    async with asyncio.TaskGroup() as group:
                        group.create_task(work)
                else:
                    work.close()
                    await clearloop.amap(lambda item: item, [1], limit=1, executor=pool)

            def outer():
                return clearloop.run_async(inner)

            calls = [clearloop.run_sync(outer, executor=pool) for _ in range(2)]
            return await asyncio.gather(*calls, return_exceptions=True)

    results = run(main())
    if shape in ("group", "amap"):
        results = [error for group in results for error in group.exceptions]
    text = all_raised(results)
    assert text.startswith("all 2 threads of the pool wait for work that is queued behind them")
    worker = r"runs .*outer\(\) \(.*test_exhaustion.py:\d+\), and waits at .*test_exhaustion.py:\d+"
    assert len(re.findall(worker, text)) == 2
    assert len(re.findall(r"queued: .*\(.*test_exhaustion.py:\d+\)", text)) == 2
    if shape == "await":
        assert len(re.findall(r"sent by Task-\d+ at .*test_exhaustion.py:\d+", text)) == 2


def test_the_loops_own_threads(run):
    async def inner():
        return await clearloop.run_sync(leaf)

    async def main():
        results = await asyncio.gather(
            *[clearloop.run_sync(clearloop.run_async, inner) for _ in range(40)], return_exceptions=True
        )
        return results

    results = run(main())
    assert all_raised([result for result in results if result != "leaf"])


def test_run_coroutine_threadsafe_counts_as_waiting(run):
    async def main():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:

            async def inner():
                return await clearloop.run_sync(leaf, executor=pool)

            def outer():
                return asyncio.run_coroutine_threadsafe(inner(), loop).result()

            return await asyncio.gather(clearloop.run_sync(outer, executor=pool), return_exceptions=True)

    all_raised(run(main()))


def test_the_result_of_a_job_submitted_to_the_own_pool():
    from clearloop.offload.threads import ThreadPool

    async def main():
        pool = ThreadPool(1)
        try:

            def outer():
                return pool.submit(leaf).result()

            async with clearloop.timeout(30):
                # something of the loop's stands in line too, so that somebody looks
                return await asyncio.gather(
                    clearloop.run_sync(outer, executor=pool), clearloop.run_sync(leaf, executor=pool),
                    return_exceptions=True,
                )
        finally:
            pool.shutdown()

    failed, fine = clearloop.run(main())
    assert isinstance(failed, clearloop.PoolExhausted) and fine == "leaf"


def test_a_pool_that_is_merely_busy_is_left_alone(run):
    async def main():
        go = threading.Event()
        with ThreadPoolExecutor(2) as pool:
            calls = [asyncio.ensure_future(clearloop.run_sync(go.wait, executor=pool)) for _ in range(5)]
            await asyncio.sleep(0.3)  # many looks
            go.set()
            return await asyncio.gather(*calls)

    assert run(main()) == [True] * 5


def test_one_thread_that_can_go_on_is_enough(run):
    async def main():
        go = threading.Event()
        with ThreadPoolExecutor(2) as pool:

            async def inner():
                return await clearloop.run_sync(leaf, executor=pool)

            first = asyncio.ensure_future(clearloop.run_sync(clearloop.run_async, inner, executor=pool))
            second = asyncio.ensure_future(clearloop.run_sync(go.wait, executor=pool))
            await asyncio.sleep(0.3)
            assert not first.done()
            go.set()
            assert await second
            return await first

    assert run(main()) == "leaf"


def test_threads_that_all_seem_to_wait_are_warned_of(run, caplog, monkeypatch):
    monkeypatch.setattr(exhaustion, "SUSPICION", 2)

    async def main():
        hidden = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            first = asyncio.ensure_future(clearloop.run_sync(hidden.wait, executor=pool))
            second = asyncio.ensure_future(clearloop.run_sync(hidden.set, executor=pool))
            while "wait perhaps for work" not in caplog.text:
                await asyncio.sleep(0.01)
            hidden.set()
            await asyncio.gather(first, second)

    run(main())
    assert "waits at" in caplog.text or "and waits" in caplog.text
