"""Supervisor: a failing job is reported at once and the others go on; leaving waits, then cancels."""

import asyncio

import pytest

import clearloop


async def fails():
    raise LookupError("job")


def test_a_failing_job_is_reported_at_once_and_the_others_go_on(run):
    run.expect(1)

    async def main():
        async with clearloop.Supervisor() as jobs:
            go = asyncio.Event()
            other = jobs.create_task(go.wait(), name="other")
            jobs.create_task(fails(), name="bad")
            while not run.reported:
                await asyncio.sleep(0)
            assert not other.done() and len(jobs) == 1
            go.set()
        assert other.result() is True

    run(main())
    assert "background job 'bad' has failed" in run.reported[0]["message"]
    assert str(run.reported[0]["exception"]) == "job"


def test_leaving_waits_for_the_jobs_and_for_those_that_they_start(run):
    async def main():
        done = []

        async def job(depth):
            await asyncio.sleep(0.001)
            if depth:
                jobs.create_task(job(depth - 1))
            done.append(depth)

        async with clearloop.Supervisor() as jobs:
            jobs.create_task(job(5))
        assert sorted(done) == [0, 1, 2, 3, 4, 5]

    run(main())


@pytest.mark.parametrize("grace", [0, 0.01])
def test_after_the_grace_they_are_cancelled(run, grace):
    async def main():
        seen = []

        async def forever():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                seen.append("tidied up")

        async with clearloop.Supervisor(grace=grace) as jobs:
            task = jobs.create_task(forever())
            await asyncio.sleep(0)
        assert task.cancelled() and seen == ["tidied up"]

    run(main())


def test_a_cancelled_block_still_gives_its_jobs_grace(run):
    async def main():
        finished = []

        async def job():
            await asyncio.sleep(0.02)
            finished.append(True)

        async def service():
            async with clearloop.Supervisor(grace=10) as jobs:
                jobs.create_task(job())
                await asyncio.Event().wait()

        task = asyncio.ensure_future(service())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert finished == [True]

    run(main())


def test_a_second_cancellation_ends_the_grace(run):
    async def main():
        async def service():
            async with clearloop.Supervisor(grace=1000) as jobs:
                jobs.create_task(asyncio.Event().wait())
                await asyncio.Event().wait()

        task = asyncio.ensure_future(service())
        for _ in range(2):
            await asyncio.sleep(0.005)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_block_that_fails_cancels_at_once(run):
    async def main():
        with pytest.raises(LookupError):
            async with clearloop.Supervisor(grace=1000) as jobs:
                task = jobs.create_task(asyncio.Event().wait())
                raise LookupError
        assert task.cancelled()

    run(main())


def test_it_takes_jobs_only_while_it_is_open(run):
    async def main():
        jobs = clearloop.Supervisor()
        with pytest.raises(RuntimeError, match="before it is entered"):
            jobs.create_task(fails())
        async with jobs:
            pass
        with pytest.raises(RuntimeError, match="any more"):
            jobs.create_task(fails())
        with pytest.raises(RuntimeError, match="entered already"):
            async with jobs:
                pass

    run(main())


@pytest.mark.parametrize("grace", [-1, float("nan"), "1"])
def test_a_grace_that_is_none(grace):
    with pytest.raises(ValueError, match="grace must be"):
        clearloop.Supervisor(grace=grace)
