"""Types of streams.py.  The classes are typed as asyncio's, whose methods they have."""

import asyncio
from collections.abc import Awaitable, Callable
from os import PathLike
from typing import Any

__all__ = [
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
]

class StreamReader(asyncio.StreamReader): ...
class StreamWriter(asyncio.StreamWriter): ...

class StreamReaderProtocol(asyncio.StreamReaderProtocol):
    def __init__(
        self,
        stream_reader: StreamReader,
        client_connected_cb: Callable[[StreamReader, StreamWriter], Awaitable[None] | None] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None: ...

async def open_connection(
    host: str | None = None, port: int | str | None = None, *, limit: int = 65536, **options: Any
) -> tuple[StreamReader, StreamWriter]: ...
async def open_unix_connection(
    path: str | PathLike[str] | None = None, *, limit: int = 65536, **options: Any
) -> tuple[StreamReader, StreamWriter]: ...
async def start_server(
    client_connected_cb: Callable[[StreamReader, StreamWriter], Awaitable[None] | None],
    host: str | list[str] | None = None,
    port: int | str | None = None,
    *,
    limit: int = 65536,
    **options: Any,
) -> asyncio.Server: ...
async def start_unix_server(
    client_connected_cb: Callable[[StreamReader, StreamWriter], Awaitable[None] | None],
    path: str | PathLike[str] | None = None,
    *,
    limit: int = 65536,
    **options: Any,
) -> asyncio.Server: ...
