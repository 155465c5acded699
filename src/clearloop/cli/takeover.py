"""Makes a program run on clearloop even where it picks a loop by itself.

`clearloop.install()` reaches what asks asyncio for "a loop". Servers often go further: uvicorn takes uvloop
when it is there and `asyncio.SelectorEventLoop` when not, and starts its workers as fresh interpreters.
Somebody who typed `clearloop run` meant those too. A class of the program's own, derived from asyncio's loop,
stays what it is, and so does a selector loop that is given its selector.
"""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import clearloop
from clearloop import graceful
from clearloop.cli.when_imported import when_imported
from clearloop.installation import install
from clearloop.watch import settings


def take_over() -> None:
    """Let every way to a loop lead to clearloop, in this process and in those that multiprocessing starts."""
    settings.terminal = True
    install(legacy=True)
    _replace_functions()
    _replace_selector_loop()
    graceful.take_over()
    when_imported("uvloop", _replace_uvloop)
    when_imported("multiprocessing.spawn", _reach_spawned)


def _replace_functions() -> None:
    # What runs on asyncio's own functions runs on a clearloop loop too, only slower.
    for name in ("gather", "sleep"):
        own = getattr(clearloop, name)
        setattr(asyncio, name, own)
        setattr(asyncio.tasks, name, own)


def _replace_selector_loop() -> None:
    plain: Any = asyncio.SelectorEventLoop

    def new(cls: type, selector: object = None) -> object:
        # An object of another class: Python then leaves it alone, and __init__ is not called.
        return clearloop.EventLoop() if cls is plain and selector is None else object.__new__(cls)

    plain.__new__ = new


def _replace_uvloop(uvloop: ModuleType) -> None:
    # The name through which its run(), new_event_loop() and policy make their loops.
    uvloop.Loop = clearloop.EventLoop  # type: ignore[attr-defined]


def _reach_spawned(spawn: ModuleType) -> None:
    prepare = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, object]:
        return {**prepare(name), "clearloop": _Messenger()}

    spawn.get_preparation_data = get_preparation_data  # type: ignore[attr-defined]


class _Messenger:
    """Travels with what multiprocessing sends to a fresh interpreter; unpacked there, it takes over."""

    def __reduce__(self) -> tuple[Any, ...]:
        return take_over, ()
