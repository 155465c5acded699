"""Types of waiting.py: asyncio's, but that wait() also takes coroutines and as_completed() is both kinds of iterator."""

from asyncio import ALL_COMPLETED as ALL_COMPLETED
from asyncio import FIRST_COMPLETED as FIRST_COMPLETED
from asyncio import FIRST_EXCEPTION as FIRST_EXCEPTION
from asyncio import Future, Task
from asyncio import wait_for as wait_for
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Iterator
from typing import Any, Protocol, TypeVar, overload

__all__ = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "as_completed", "wait", "wait_for"]

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Future[Any])

class _AsCompleted(Protocol[_T]):
    def __iter__(self) -> Iterator[Coroutine[Any, Any, _T]]: ...
    def __aiter__(self) -> AsyncIterator[Future[_T]]: ...

@overload
async def wait(  # type: ignore[overload-overlap]  # a future is awaitable too, and stays what it is
    fs: Iterable[_F], *, timeout: float | None = None, return_when: str = "ALL_COMPLETED"
) -> tuple[set[_F], set[_F]]: ...
@overload
async def wait(
    fs: Iterable[Awaitable[_T]], *, timeout: float | None = None, return_when: str = "ALL_COMPLETED"
) -> tuple[set[Task[_T]], set[Task[_T]]]: ...
def as_completed(fs: Iterable[Awaitable[_T]], *, timeout: float | None = None) -> _AsCompleted[_T]: ...
