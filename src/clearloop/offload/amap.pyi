"""Types of amap.py."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, overload

from clearloop.offload.progress import Progress

_T = TypeVar("_T")
_R = TypeVar("_R")

__all__ = ["amap"]

class _Map(Generic[_R]):
    def __init__(
        self,
        func: object,
        items: object,
        limit: int,
        executor: Executor | None,
        ordered: bool,
        return_exceptions: bool,
        progress: object,
    ) -> None: ...
    def __await__(self) -> Generator[Any, None, list[_R]]: ...
    async def __aenter__(self) -> AsyncIterator[_R]: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None: ...

_Progress = bool | str | Callable[[Progress], object] | None

@overload
def amap(
    func: Callable[[_T], Coroutine[Any, Any, _R]],
    items: Iterable[_T] | AsyncIterable[_T],
    *,
    limit: int,
    executor: None = None,
    ordered: bool = True,
    return_exceptions: Literal[False] = False,
    progress: _Progress = None,
) -> _Map[_R]: ...
@overload
def amap(
    func: Callable[[_T], Coroutine[Any, Any, _R]],
    items: Iterable[_T] | AsyncIterable[_T],
    *,
    limit: int,
    executor: None = None,
    ordered: bool = True,
    return_exceptions: bool,
    progress: _Progress = None,
) -> _Map[_R | BaseException]: ...
@overload
def amap(
    func: Callable[[_T], _R],
    items: Iterable[_T] | AsyncIterable[_T],
    *,
    limit: int,
    executor: Executor | None = None,
    ordered: bool = True,
    return_exceptions: Literal[False] = False,
    progress: _Progress = None,
) -> _Map[_R]: ...
@overload
def amap(
    func: Callable[[_T], _R],
    items: Iterable[_T] | AsyncIterable[_T],
    *,
    limit: int,
    executor: Executor | None = None,
    ordered: bool = True,
    return_exceptions: bool,
    progress: _Progress = None,
) -> _Map[_R | BaseException]: ...
