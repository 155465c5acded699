"""psycopg's AsyncConnection on a real PostgreSQL: it watches libpq's socket with add_reader and add_writer."""

import asyncio

import pytest

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")


@pytest.fixture(params=["tcp", "unix", "tls"])
def address(request):
    server = request.getfixturevalue("postgres_tls" if request.param == "tls" else "postgres")
    settings = {"port": server.port, "user": "postgres", "dbname": "postgres"}
    settings["host"] = server.folder if request.param == "unix" else "127.0.0.1"
    if request.param == "tls":
        settings |= {"sslmode": "verify-full", "sslrootcert": request.getfixturevalue("authority").ca_file}
    return settings


def connected(run, address, use):
    async def main():
        async with await psycopg.AsyncConnection.connect(**address) as connection:
            return await use(connection)

    return run(main())


def test_queries_and_their_types(run, address):
    async def use(connection):
        cursor = await connection.execute("select %s + 1, 'ö', array[1, 2], null", [41])
        assert await cursor.fetchone() == (42, "ö", [1, 2], None)
        rows = await (await connection.execute("select generate_series(1, 5000)")).fetchall()
        assert [row[0] for row in rows] == list(range(1, 5001))
        return connection.pgconn.ssl_in_use

    assert connected(run, address, use) == ("sslmode" in address)


def test_large_values_both_ways(run, address):
    async def use(connection):
        value = bytes(range(256)) * 40_000
        cursor = await connection.execute("select %b, length(%b)", [value, value])
        assert await cursor.fetchone() == (value, len(value))

    connected(run, address, use)


def test_copy_in_and_out(run, address):
    async def use(connection):
        await connection.execute("create temp table numbers (number int, text text)")
        async with connection.cursor() as cursor:
            async with cursor.copy("copy numbers from stdin") as copy:
                for number in range(20_000):
                    await copy.write_row((number, str(number)))
            rows = []
            async with cursor.copy("copy numbers to stdout") as copy:
                copy.set_types(["int4", "text"])
                async for row in copy.rows():
                    rows.append(row)
        assert rows == [(number, str(number)) for number in range(20_000)]

    connected(run, address, use)


def test_fifty_connections_at_once(run, address):
    async def main():
        async def one(number):
            async with await psycopg.AsyncConnection.connect(**address) as connection:
                for turn in range(10):
                    cursor = await connection.execute("select %s::int * %s::int", [number, turn])
                    assert await cursor.fetchone() == (number * turn,)
            return number

        assert await asyncio.gather(*[one(number) for number in range(50)]) == list(range(50))

    run(main())


def test_a_pipeline(run, address):
    async def use(connection):
        async with connection.pipeline():
            cursors = [await connection.execute("select %s::int", [number]) for number in range(300)]
        assert [await cursor.fetchone() for cursor in cursors] == [(number,) for number in range(300)]

    connected(run, address, use)


def test_listen_and_notify(run, address):
    async def main():
        async with (
            await psycopg.AsyncConnection.connect(**address, autocommit=True) as listener,
            await psycopg.AsyncConnection.connect(**address, autocommit=True) as speaker,
        ):
            await listener.execute("listen news")

            async def hear():
                return [notice.payload async for notice in listener.notifies(stop_after=100)]

            hearing = asyncio.create_task(hear())
            for number in range(100):
                await speaker.execute(f"notify news, '{number}'")
            assert await hearing == [str(number) for number in range(100)]

    run(main())


def test_a_cancelled_query_is_cancelled_in_the_server(run, address):
    busy = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(%%' || %s"

    async def use(connection):
        await connection.set_autocommit(True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.execute("select pg_sleep(600)")
        assert await (await connection.execute(busy, [")"])).fetchone() == (0,)

    connected(run, address, use)


def test_a_refused_connection_is_an_error(run):
    async def main():
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(host="127.0.0.1", port=1, user="nobody", dbname="nothing")

    run(main())
