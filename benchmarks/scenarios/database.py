"""A database's client: queries of one row by asyncpg, on several connections at once."""

import asyncio
from time import process_time

from catalog import CLIENT, Goal, Scenario

CONNECTIONS = 8


async def queries(bench, n):
    import asyncpg

    async def ask(connection, times):
        for number in range(times):
            if await connection.fetchval("SELECT $1::int", number) != number:
                raise RuntimeError("a wrong answer")

    connections = [
        await asyncpg.connect(host="127.0.0.1", port=bench.port, user="postgres", database="postgres", ssl=False)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*[ask(connection, 1) for connection in connections])  # the statement is prepared
    share, more = divmod(n, CONNECTIONS)
    began = process_time()
    await asyncio.gather(
        *[ask(connection, share + (number < more)) for number, connection in enumerate(connections)]
    )
    spent = process_time() - began
    for connection in connections:
        await connection.close()
    return spent


SCENARIOS = [
    Scenario(
        "asyncpg, one-row queries",
        CLIENT,
        queries,
        Goal(1.05),
        n=2_000,
        quick_n=64,
        load="postgres",
        requires=("asyncpg",),
    ),
]
