"""Types of decorator.py."""

from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar, overload

_T = TypeVar("_T")
_P = ParamSpec("_P")

__all__ = ["unblocked"]

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
