"""Types of run.py."""

from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

__all__ = ["run_async", "run_sync"]

async def run_sync(
    func: Callable[[*_Ts], _T],
    /,
    *args: *_Ts,
    executor: Executor | None = None,
    abandon_on_cancel: bool = False,
) -> _T: ...
def run_async(afunc: Callable[[*_Ts], Coroutine[Any, Any, _T]], /, *args: *_Ts) -> _T: ...
