"""Types of supervisor.py."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeVar

_T = TypeVar("_T")

__all__ = ["Supervisor"]

class Supervisor:
    def __init__(self, *, grace: float | None = None) -> None: ...
    def __len__(self) -> int: ...
    async def __aenter__(self) -> Self: ...
    def create_task(
        self, coro: Coroutine[Any, Any, _T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[_T]: ...
    def cancel(self) -> None: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
