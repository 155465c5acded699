"""Types of advice.py."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from clearloop.watch.stall import Stall

def advise(name: str | Callable[..., Any] | ModuleType, text: str) -> None: ...
def advice_for(stall: Stall) -> str | None: ...
def table() -> dict[str, str]: ...
