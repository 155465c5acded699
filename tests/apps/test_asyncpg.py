"""asyncpg on a real PostgreSQL: its protocol is compiled and talks to our transports from C."""

import asyncio
import io
import os

import pytest

asyncpg = pytest.importorskip("asyncpg", reason="asyncpg is not installed")


@pytest.fixture(params=["tcp", "unix"])
def address(request, postgres):
    """How to reach the server, both ways."""
    host = "127.0.0.1" if request.param == "tcp" else postgres.folder
    return {"host": host, "port": postgres.port, "user": "postgres", "database": "postgres", "ssl": False}


@pytest.fixture
def tcp(postgres):
    return {"host": "127.0.0.1", "port": postgres.port, "user": "postgres", "database": "postgres", "ssl": False}


def connected(run, address, use, **settings):
    async def main():
        connection = await asyncpg.connect(**address)
        try:
            return await use(connection)
        finally:
            await connection.close()

    return run(main(), **settings)


def test_queries_and_their_types(run, address):
    async def use(connection):
        assert await connection.fetchval("select $1::int + 1", 41) == 42
        row = await connection.fetchrow(
            "select 'ö' as text, now() is not null as now, array[1,2] as list, null as none"
        )
        assert dict(row) == {"text": "ö", "now": True, "list": [1, 2], "none": None}
        assert [row[0] for row in await connection.fetch("select generate_series(1, 1000)")] == list(range(1, 1001))

    connected(run, address, use)


def test_a_server_without_tls_is_asked_first_and_used_without(run, tcp):
    """asyncpg's default: it offers TLS on the connection, hears no, and goes on in the clear."""

    async def use(connection):
        return await connection.fetchval("select 1")

    assert connected(run, {**tcp, "ssl": "prefer"}, use) == 1


def test_a_thousand_queries_at_once_through_a_pool(run, address):
    async def main():
        async with asyncpg.create_pool(**address, min_size=2, max_size=10) as pool:
            results = await asyncio.gather(*[pool.fetchval("select $1::int * 2", number) for number in range(1000)])
            assert pool.get_size() == 10
        assert results == [number * 2 for number in range(1000)]

    run(main())


def test_transactions_roll_back_and_nest(run, tcp):
    async def use(connection):
        await connection.execute("create temp table numbers (number int)")
        async with connection.transaction():
            await connection.execute("insert into numbers values (1)")
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with connection.transaction():
                    await connection.execute("insert into numbers values (2)")
                    await connection.execute("select 1/0")
            await connection.execute("insert into numbers values (3)")
        assert [row["number"] for row in await connection.fetch("select number from numbers")] == [1, 3]

    connected(run, tcp, use)


def test_a_cursor_fetches_piece_by_piece(run, tcp):
    async def use(connection):
        async with connection.transaction():
            found = [row[0] async for row in connection.cursor("select generate_series(1, 5000)", prefetch=100)]
        assert found == list(range(1, 5001))

    connected(run, tcp, use)


def test_large_values_both_ways(run, address):
    async def use(connection):
        for size in (1, 65_536, 8 * 1024 * 1024 + 3):
            body = os.urandom(size)
            assert await connection.fetchval("select $1::bytea", body) == body

    connected(run, address, use)


def test_copy_in_and_out(run, address):
    async def use(connection):
        await connection.execute("create temp table pairs (number int, text text)")
        rows = [(number, f"row {number}") for number in range(20_000)]
        await connection.copy_records_to_table("pairs", records=rows)
        assert await connection.fetchval("select count(*) from pairs") == 20_000

        received = bytearray()

        async def take(data):
            await asyncio.sleep(0)  # the reading side is paused meanwhile
            received.extend(data)

        await connection.copy_from_table("pairs", output=take, format="csv")
        assert received.decode() == "".join(f"{number},{text}\n" for number, text in rows)

        async def pieces():
            for start in range(0, len(received), 10_000):
                await asyncio.sleep(0)
                yield bytes(received[start : start + 10_000])

        await connection.execute("truncate pairs")
        assert await connection.copy_to_table("pairs", source=pieces(), format="csv") == "COPY 20000"
        output = io.BytesIO()
        await connection.copy_from_query("select * from pairs order by number", output=output, format="csv")
        assert output.getvalue() == received

    connected(run, address, use)


def test_a_source_that_fails_fails_the_copy_and_not_the_connection(run, tcp):
    async def use(connection):
        await connection.execute("create temp table texts (text text)")

        async def pieces():
            yield b"one\n"
            raise LookupError("no more")

        with pytest.raises(LookupError):
            await connection.copy_to_table("texts", source=pieces())
        assert await connection.fetchval("select count(*) from texts") == 0

    connected(run, tcp, use)


def test_listen_and_notify(run, address):
    async def main():
        listener, speaker = await asyncpg.connect(**address), await asyncpg.connect(**address)
        heard = asyncio.Queue()
        await listener.add_listener("news", lambda connection, pid, channel, payload: heard.put_nowait((pid, payload)))
        for number in range(100):
            await speaker.execute(f"notify news, '{number}'")
        assert [await heard.get() for _ in range(100)] == [
            (speaker.get_server_pid(), str(number)) for number in range(100)
        ]
        await listener.close()
        await speaker.close()

    run(main())


def test_cancelling_a_running_query_stops_it_on_the_server(run, address):
    async def main():
        connection, observer = await asyncpg.connect(**address), await asyncpg.connect(**address)

        async def running():
            text = "select count(*) from pg_stat_activity where pid = $1 and state = 'active' and query ~ 'pg_sleep'"
            return await observer.fetchval(text, connection.get_server_pid())

        query = asyncio.create_task(connection.fetchval("select pg_sleep(60)"))
        while not await running():
            await asyncio.sleep(0.01)
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        assert await connection.fetchval("select 1") == 1
        assert not await running()
        await connection.close()
        await observer.close()

    run(main())


def test_a_query_that_takes_too_long(run, tcp):
    async def use(connection):
        with pytest.raises(TimeoutError):
            await connection.execute("select pg_sleep(60)", timeout=0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.execute("select pg_sleep(60)")
        return await connection.fetchval("select 1")

    assert connected(run, tcp, use) == 1


def test_a_pool_survives_users_that_are_cancelled_anywhere(run, tcp):
    async def main():
        async with asyncpg.create_pool(**tcp, min_size=1, max_size=3) as pool:
            for turns in range(40):
                victim = asyncio.create_task(pool.fetchval("select pg_sleep(0.01)"))
                other = asyncio.create_task(pool.fetchval("select $1::int", turns))
                for _ in range(turns):
                    await asyncio.sleep(0)
                victim.cancel()
                results = await asyncio.gather(victim, other, return_exceptions=True)
                assert results[1] == turns
            assert await asyncio.gather(*[pool.fetchval("select $1::int", n) for n in range(30)]) == list(range(30))

    run(main())


def test_a_pool_makes_up_for_connections_that_the_server_ends(run, tcp):
    async def main():
        async with asyncpg.create_pool(**tcp, min_size=3, max_size=3) as pool:
            before = {await connection.fetchval("select pg_backend_pid()") for connection in [await pool.acquire()]}
            await asyncio.gather(*[pool.fetchval("select 1") for _ in range(10)])
            killer = await asyncpg.connect(**tcp)
            waiting = asyncio.create_task(pool.fetchval("select pg_sleep(60)"))
            text = "select pid from pg_stat_activity where query ~ 'pg_sleep' and pid <> pg_backend_pid()"
            while not (pid := await killer.fetchval(text)):
                await asyncio.sleep(0.01)
            assert pid not in before
            await killer.execute("select pg_terminate_backend($1)", pid)
            with pytest.raises((asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError)):
                await waiting
            assert await asyncio.gather(*[pool.fetchval("select 1") for _ in range(20)]) == [1] * 20
            await killer.close()
            pool.terminate()

    run(main())


def test_a_connection_that_is_terminated_fails_what_waits_on_it(run, tcp):
    async def main():
        connection = await asyncpg.connect(**tcp)
        waiting = asyncio.create_task(connection.fetchval("select pg_sleep(60)"))
        await asyncio.sleep(0)
        connection.terminate()
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError)):
            await waiting
        assert connection.is_closed()

    run(main())


def test_two_queries_at_once_on_one_connection_are_refused(run, tcp):
    async def use(connection):
        first = asyncio.create_task(connection.fetchval("select pg_sleep(0.05)"))
        await asyncio.sleep(0)
        with pytest.raises(asyncpg.InterfaceError, match="another operation"):
            await connection.fetchval("select 1")
        await first
        return await connection.fetchval("select 1")

    assert connected(run, tcp, use) == 1


def test_a_password_that_nobody_asked_for_and_a_database_that_is_not_there(run, tcp):
    async def main():
        await (await asyncpg.connect(**tcp, password="x")).close()
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(**{**tcp, "database": "nowhere"})

    run(main())
