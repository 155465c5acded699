"""Where results go: PostgreSQL, or SQLite; under the job's id, once."""

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import clearloop

TABLE = "create table if not exists results (id text primary key, result text not null)"


@contextlib.asynccontextmanager
async def open_store(where):
    """The store behind a postgresql:// URL or a path."""
    if not where.startswith("postgres"):
        # SQLite blocks: it has a thread of its own, and so its statements come one after the other.
        with ThreadPoolExecutor(1, thread_name_prefix="sqlite") as thread:
            store = await clearloop.run_sync(SQLite, where, thread, executor=thread)
            try:
                yield store
            finally:
                await clearloop.run_sync(store.connection.close, executor=thread)
        return
    import asyncpg

    async with asyncpg.create_pool(where, min_size=1, max_size=8, command_timeout=30) as pool:
        await pool.execute(TABLE)
        yield PostgreSQL(pool)


class PostgreSQL:
    def __init__(self, pool):
        import asyncpg

        self.pool = pool
        self.errors = (
            OSError,
            TimeoutError,
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        )

    async def put(self, id, result):
        """Store a result; one that is there stays as it is."""
        statement = "insert into results values ($1, $2) on conflict (id) do nothing"
        await self.pool.execute(statement, id, result)


class SQLite:
    errors = (sqlite3.OperationalError,)

    def __init__(self, path, thread):
        self.thread = thread
        self.connection = sqlite3.connect(path)
        self.connection.execute(TABLE)

    async def put(self, id, result):
        """Store a result; one that is there stays as it is."""
        await clearloop.run_sync(self._put, id, result, executor=self.thread)

    def _put(self, id, result):
        with self.connection:
            self.connection.execute("insert or ignore into results values (?, ?)", (id, result))
