"""Types of engine/task.py.  Task is typed as a subclass of asyncio's, as isinstance() has it."""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

from clearloop.engine.future import Future

_T_co = TypeVar("_T_co", covariant=True)

class Task(asyncio.Task[_T_co], Future[_T_co]):  # type: ignore[type-var]  # covariant, as asyncio's is typed
    def __init__(
        self,
        coro: Generator[Any, Any, _T_co] | Coroutine[Any, Any, _T_co],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        name: str | None = None,
        context: Context | None = None,
        eager_start: bool = False,
    ) -> None: ...
    def get_context(self) -> Context: ...

def native_tasks(loop: asyncio.AbstractEventLoop) -> list[Task[Any]]: ...
def drop_tasks(loop: asyncio.AbstractEventLoop) -> None: ...
