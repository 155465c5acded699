"""Types of engine/core.py."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from clearloop.engine.task import Task

_T = TypeVar("_T")

class Engine(asyncio.BaseEventLoop):
    """Typed after asyncio.BaseEventLoop, whose methods it has; its base at run time is a compiled class of its own."""

def eager_task_factory(
    loop: asyncio.AbstractEventLoop | None,
    coro: Coroutine[Any, Any, _T],
    *,
    name: str | None = None,
    context: Context | None = None,
    **options: Any,
) -> Task[_T]: ...
def create_task(
    coro: Coroutine[Any, Any, _T], *, name: str | None = None, context: Context | None = None, **options: Any
) -> Task[_T]: ...
