"""The worker service of the examples: no job lost, none with its effect twice, whatever is restarted under it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import sys
import urllib.request
from pathlib import Path

import pytest
import restarted
import servers

pytest.importorskip("aiohttp", reason="aiohttp is not installed")

EXAMPLES = Path(__file__).parents[2] / "examples"
COUNT = int(os.environ.get("CLEARLOOP_FAULT_JOBS", "10000"))


@contextlib.contextmanager
def service(*words, module="service"):
    """The service in a process of its own, which has said where its page is; killed in the end if need be."""
    import clearloop

    home = str(Path(clearloop.__file__).parents[1])
    path = os.pathsep.join([str(EXAMPLES), home])
    command = [sys.executable, "-u", "-m", "worker_service", "--port", "0", "--service", module, *words]
    server = servers.Server(command, env={**os.environ, "PYTHONPATH": path})
    try:
        server.page = server.wait_for(r"http://127\.0\.0\.1:\d+").group()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.wait()
        server.process.stdout.close()


def metrics(server):
    with urllib.request.urlopen(server.page + "/metrics", timeout=30) as answer:
        lines = re.findall(r"worker_jobs_(\w+)_total (\d+)", answer.read().decode())
    return {name: int(value) for name, value in lines}


def terminate(server):
    server.process.send_signal(signal.SIGTERM)
    return server.wait()


async def until(condition, pause=0.05):
    while not condition():
        await asyncio.sleep(pause)


def test_on_its_own(tmp_path, run):
    path = tmp_path / "results.sqlite"

    async def main(server):
        await until(lambda: metrics(server).get("done") == 50)

    with service("--database", str(path)) as server:
        run(main(server))
        with urllib.request.urlopen(server.page + "/health", timeout=30) as answer:
            assert answer.read() == b"ok\n"
        assert terminate(server) == 143
        assert "Error" not in server.output and "Traceback" not in server.output
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(distinct id) from results").fetchone() == (50,)


def test_it_drains_on_sigterm(tmp_path, run):
    """What was begun is ended and stored; what was not, is left."""
    path = tmp_path / "results.sqlite"
    with service("--database", str(path), "--jobs", "1000", "--limit", "5") as server:
        run(_begun(server, 20))
        assert terminate(server) == 143
        assert "Traceback" not in server.output
    with contextlib.closing(sqlite3.connect(path)) as connection:
        stored = [row[0] for row in connection.execute("select id from results order by rowid")]
    assert 20 <= len(stored) < 1000
    assert sorted(stored, key=lambda id: int(id[4:])) == [f"job-{number}" for number in range(len(stored))]


async def _begun(server, count):
    await until(lambda: metrics(server).get("begun", 0) >= count + 5, pause=0.01)


async def publish(url, count, **job):
    aio_pika = pytest.importorskip("aio_pika")
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue("jobs", durable=True)
        for start in range(0, count, 500):
            sent = [
                channel.default_exchange.publish(
                    aio_pika.Message(
                        json.dumps({"text": f"job {number}", **job}).encode(),
                        message_id=f"job-{number}",
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    "jobs",
                )
                for number in range(start, min(start + 500, count))
            ]
            await asyncio.gather(*sent)


async def left(url):
    import aio_pika

    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        return (await channel.declare_queue("jobs", durable=True, passive=True)).declaration_result.message_count


@pytest.fixture(scope="module")
def broker():
    with restarted.rabbitmq() as broker:
        yield broker


@pytest.fixture(scope="module")
def database():
    with restarted.postgres() as database:
        yield database


async def stored(database):
    """The ids of the stored results; None while the server does not answer."""
    import asyncpg

    try:
        connection = await asyncpg.connect(database.url, timeout=5)
        try:
            return [row[0] for row in await connection.fetch("select id from results")]
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return None


@pytest.mark.timeout(600)
def test_broker_and_database_restart_while_thousands_of_jobs_flow(broker, database):
    pytest.importorskip("aio_pika")
    pytest.importorskip("asyncpg")

    async def wait_for(count):
        while len(await stored(database) or ()) < count:
            await asyncio.sleep(0.1)

    async def main():
        await publish(broker.url, COUNT, seconds=0.002)
        with service("--broker", broker.url, "--database", database.url, "--limit", "50") as server:
            await wait_for(COUNT // 10)
            database.stop(signal.SIGINT)  # its fast shutdown: connections are ended
            await asyncio.sleep(0.5)
            database.start()
            await wait_for(COUNT // 4)
            broker.stop(signal.SIGTERM)
            await asyncio.sleep(0.5)
            broker.start()
            await wait_for(COUNT // 2)
            database.stop(signal.SIGQUIT)  # immediate: as a crash, with recovery
            database.start()
            await wait_for(COUNT * 3 // 5)
            server.process.kill()  # and the service itself
            server.wait()
        with service("--broker", broker.url, "--database", database.url, "--limit", "50") as server:
            await wait_for(COUNT)
            while await left(broker.url):
                await asyncio.sleep(0.1)
            assert terminate(server) == 143, server.output
        ids = await stored(database)
        assert sorted(ids) == sorted(f"job-{number}" for number in range(COUNT)), "each once, none lost"
        assert await left(broker.url) == 0

    asyncio.run(main())


@pytest.mark.timeout(300)
def test_heartbeats_stay_alive_while_a_job_runs_and_die_in_the_twin(broker, tmp_path):
    """Several heartbeats long: the service is never disconnected; its twin is, and its message goes to another."""
    pytest.importorskip("aio_pika")

    async def main(module):
        await publish(broker.url, 1, seconds=12)
        before = broker.server.output.count("missed heartbeats from client")
        url = broker.url + "?heartbeat=2"
        with service("--broker", url, "--database", str(tmp_path / module), module=module) as server:
            begun = asyncio.get_running_loop().time()
            if module == "service":
                await until(lambda: metrics(server).get("done") == 1, pause=0.5)
                assert metrics(server)["begun"] == 1
            else:
                while broker.server.output.count("missed heartbeats from client") == before:
                    await asyncio.sleep(0.5)
                    assert asyncio.get_running_loop().time() - begun < 120
            if module == "blocked":
                server.process.kill()
            else:
                assert terminate(server) == 143
        return broker.server.output.count("missed heartbeats from client") - before

    assert asyncio.run(main("service")) == 0
    assert asyncio.run(main("blocked")) >= 1
