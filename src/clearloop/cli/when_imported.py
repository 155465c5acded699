"""Calls a function once a module has been imported, without importing it.

For modules that most programs never use and that take long to import.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

Then = Callable[[ModuleType], None]

_waiting: dict[str, Then] = {}


def when_imported(name: str, then: Then) -> None:
    """Call `then(module)` right after the module `name` was imported; now, if it is there already."""
    if name in sys.modules:
        then(sys.modules[name])
        return
    _waiting[name] = then
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    """Finds what the other finders find, and lets its loader call back."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _waiting:
            return None
        others = (finder for finder in sys.meta_path if finder is not cls)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            loader = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                # Not sooner: a program may look for the module without importing it, or fail and try again.
                then = _waiting.pop(name, None)
                if then is not None:
                    then(module)

            loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
