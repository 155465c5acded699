"""Types of run.py."""

from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, overload

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Ts = TypeVarTuple("_Ts")

__all__ = ["run_async", "run_sync", "unblocked"]

async def run_sync(
    func: Callable[[*_Ts], _T],
    /,
    *args: *_Ts,
    executor: Executor | None = None,
    abandon_on_cancel: bool = False,
) -> _T: ...
@overload
def unblocked(
    func: Callable[_P, _T], /, *, executor: None = None, abandon_on_cancel: bool = False
) -> Callable[_P, Coroutine[Any, Any, _T]]: ...
@overload
def unblocked(
    func: None = None,
    /,
    *,
    executor: Executor | Callable[[], Executor] | None = None,
    abandon_on_cancel: bool = False,
) -> Callable[[Callable[_P, _T]], Callable[_P, Coroutine[Any, Any, _T]]]: ...
def run_async(afunc: Callable[[*_Ts], Coroutine[Any, Any, _T]], /, *args: *_Ts) -> _T: ...
