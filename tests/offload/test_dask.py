"""A Dask cluster with worker processes over TCP: nothing that happens there is silent, and no await hangs."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter

import jobs
import pytest

import clearloop

distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")

COUNT = int(os.environ.get("CLEARLOOP_FAULT_JOBS", "10000"))
SETTINGS = {
    "distributed.scheduler.allowed-failures": 2,
    "distributed.comm.timeouts.connect": "2s",
    "distributed.worker.daemon": True,
}

# A scheduler and its workers, to be killed from outside; the address comes first, then it waits for the end of stdin.
CLUSTER = """
import sys
if __name__ == "__main__":
    import dask
    dask.config.set({settings!r})
    from distributed import LocalCluster
    sys.path.insert(0, {here!r})
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=True, host="127.0.0.1", protocol="tcp://",
                      dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@contextlib.contextmanager
def started():
    here = os.path.dirname(__file__)
    text = CLUSTER.format(settings=SETTINGS, here=here)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))}
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=env,
        start_new_session=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address, "the cluster did not start"
        yield address, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture(scope="module")
def address():
    with started() as (address, _):
        yield address


@contextlib.contextmanager
def connected(address):
    import dask

    with dask.config.set(SETTINGS):
        client = distributed.Client(address, set_as_default=False)
        try:
            yield client
        finally:
            client.close(timeout=2)


@pytest.fixture(autouse=True)
def quiet():
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "distributed.protocol.pickle")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def executor(address):
    with connected(address) as client:
        yield client.get_executor(pure=False)


def test_results_errors_and_names(run, executor):
    async def main():
        assert await clearloop.run_sync(jobs.double, 4, executor=executor) == 8
        assert await clearloop.run_sync(jobs.process_id, executor=executor) != os.getpid()
        with pytest.raises(LookupError, match="in the worker"):
            await clearloop.run_sync(jobs.raises, executor=executor)
        with pytest.raises(clearloop.NotPicklable, match=r"argument 1 of take\(\) .*, a lock,"):
            await clearloop.run_sync(jobs.take, threading.Lock(), executor=executor)
        with pytest.raises(clearloop.NotPicklable, match=r"the result of a_lock\(\) .*, a lock,"):
            await clearloop.run_sync(jobs.a_lock, executor=executor)
        assert await clearloop.amap(jobs.double, range(50), limit=8, executor=executor) == [2 * n for n in range(50)]

    run(main())


def test_equal_calls_run_as_often_as_they_are_made(run, address, tmp_path):
    def note(path):
        with open(path, "a") as file:
            file.write("once\n")

    async def main():
        with_clients = connected(address)
        client = await clearloop.run_sync(with_clients.__enter__)
        try:
            executor = client.get_executor()  # without pure=False: a Client's default joins equal calls
            await asyncio.gather(*[clearloop.run_sync(note, str(tmp_path / "n"), executor=executor) for _ in range(7)])
        finally:
            await clearloop.run_sync(with_clients.__exit__, None, None, None)

    run(main())
    assert (tmp_path / "n").read_text() == "once\n" * 7


def test_the_cluster_is_never_called_on_the_loops_thread(run, executor, monkeypatch):
    client, called = executor._client, []

    def noting(name, original):
        def call(*args, **kwargs):
            called.append((name, threading.get_ident()))
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr(client, "submit", noting("submit", client.submit))
    monkeypatch.setattr(
        distributed.Future, "cancel", noting("cancel", distributed.Future.cancel)
    )

    async def main():
        await clearloop.run_sync(jobs.double, 1, executor=executor)
        task = asyncio.ensure_future(clearloop.run_sync(jobs.rest, 2, executor=executor))
        while len(called) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while "cancel" not in dict(called):
            await asyncio.sleep(0.01)

    run(main())
    assert threading.get_ident() not in {thread for _, thread in called}


def test_cancelling_reaches_the_cluster(run, address, executor, tmp_path):
    async def main():
        begun, go = tmp_path / "begun", tmp_path / "go"
        four = [  # all threads of the cluster
            asyncio.ensure_future(
                clearloop.run_sync(jobs.touch_and_wait, f"{begun}{n}", str(go), executor=executor)
            )
            for n in range(4)
        ]
        while len(list(tmp_path.glob("begun*"))) < 4:
            await asyncio.sleep(0.01)
        never = tmp_path / "never"
        task = asyncio.ensure_future(clearloop.run_sync(jobs.touch_and_wait, str(never), str(go), executor=executor))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.2)
        go.touch()
        assert await asyncio.gather(*four) == ["ended"] * 4
        assert await clearloop.run_sync(jobs.double, 1, executor=executor) == 2
        assert not never.exists()

    run(main())


def test_a_killed_worker_is_an_error_and_the_next_job_runs(run, executor):
    async def main():
        with pytest.raises(distributed.KilledWorker):
            await clearloop.run_sync(jobs.kill_own_process, executor=executor)
        assert await clearloop.run_sync(jobs.double, 1, executor=executor) == 2

    run(main())


def test_a_job_that_the_cluster_drops_is_an_error(run, executor):
    async def main():
        task = asyncio.ensure_future(clearloop.run_sync(jobs.rest, 2, executor=executor))
        client = executor._client
        while not client.futures:
            await asyncio.sleep(0.01)
        keys = list(client.futures)
        await clearloop.run_sync(lambda: client.cancel([distributed.Future(key, client) for key in keys], force=True))
        with pytest.raises(clearloop.JobLost, match=r"rest\(\) .* was dropped by the cluster"):
            await task

    run(main())


def test_a_client_that_is_closed_fails_what_is_away(run, address):
    async def main():
        context = connected(address)
        client = await clearloop.run_sync(context.__enter__)
        executor = client.get_executor(pure=False)
        tasks = [asyncio.ensure_future(clearloop.run_sync(jobs.rest, 60, executor=executor)) for _ in range(10)]
        while len(client.futures) < 10:
            await asyncio.sleep(0.01)
        await clearloop.run_sync(client.close)
        for task in tasks:
            with pytest.raises(clearloop.JobLost, match="client was closed"):
                await task
        with pytest.raises(Exception, match=r"[Cc]losed|shutdown"):
            await clearloop.run_sync(jobs.double, 1, executor=executor)

    run(main())


def test_a_scheduler_that_dies_fails_what_is_away(run):
    async def main():
        with started() as (address, process):
            context = connected(address)
            client = await clearloop.run_sync(context.__enter__)
            try:
                executor = client.get_executor(pure=False)
                tasks = [asyncio.ensure_future(clearloop.run_sync(jobs.rest, 60, executor=executor)) for _ in range(6)]
                while len(client.futures) < 6:
                    await asyncio.sleep(0.01)
                os.killpg(process.pid, signal.SIGKILL)
                for task in tasks:
                    with pytest.raises(clearloop.JobLost, match=r"scheduler was lost|client was closed"):
                        await task
                # what is sent while it looks for the scheduler does not hang either
                with pytest.raises(Exception):  # noqa: B017
                    await clearloop.run_sync(jobs.double, 1, executor=executor)
            finally:
                await clearloop.run_sync(context.__exit__, None, None, None)

    run(main())


@pytest.mark.timeout(400)
def test_thousands_of_jobs_under_errors_cancellations_and_killed_workers(address, tmp_path):
    """Each is done, failed with its reason, or cancelled: once."""
    reported = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        context = connected(address)
        client = await clearloop.run_sync(context.__enter__)
        executor = client.get_executor(pure=False)
        ends = Counter()

        async def one(item):
            call = asyncio.ensure_future(clearloop.run_sync(jobs.unreliable, item, True, executor=executor))
            if random.random() < 0.05:
                asyncio.get_running_loop().call_later(random.random() * 0.05, call.cancel)
            try:
                assert await call == 2 * item
            except asyncio.CancelledError:
                return item, "cancelled"
            except LookupError as error:
                assert error.args == (item,)
                return item, "failed"
            except (distributed.KilledWorker, clearloop.JobLost):
                return item, "lost"
            return item, "done"

        async with clearloop.amap(one, range(COUNT), limit=100, ordered=False) as results:
            async for item, end in results:
                ends[item, end] += 1
        await clearloop.run_sync(context.__exit__, None, None, None)
        assert clearloop.get_running_loop().offloaded == 0
        return ends

    ends = clearloop.run(main())
    assert sorted(item for item, _ in ends) == list(range(COUNT))
    assert set(ends.values()) == {1}
    by_kind = Counter(end for _, end in ends)
    assert all(by_kind[end] > COUNT / 200 for end in ("done", "failed", "cancelled")), by_kind
    assert by_kind["lost"] < COUNT / 50, by_kind
