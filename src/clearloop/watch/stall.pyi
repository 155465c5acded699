"""Types of stall.py."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["VERDICTS", "Delayed", "Frame", "Stall"]

VERDICTS: tuple[str, ...]

class Frame(NamedTuple):
    file: str
    line: int
    function: str

class Delayed(NamedTuple):
    task: str | None
    callback: str | None
    seconds: float

class Stall:
    number: int
    loop: int
    began: str
    seconds: float
    ongoing: bool
    verdict: str | None
    cpu_seconds: float
    task: str | None
    callback: str | None
    steps: int
    file: str | None
    line: int | None
    function: str | None
    code: str | None
    call: str | None
    stack: list[Frame]
    delayed_count: int
    delayed: list[Delayed]
    note: str | None
    advice: str | None
    begin_ns: int
    end_ns: int
    def __init__(
        self,
        *,
        number: int = 0,
        loop: int = 0,
        began: str = "",
        seconds: float = 0.0,
        ongoing: bool = False,
        verdict: str | None = None,
        cpu_seconds: float = 0.0,
        task: str | None = None,
        callback: str | None = None,
        steps: int = 1,
        file: str | None = None,
        line: int | None = None,
        function: str | None = None,
        code: str | None = None,
        call: str | None = None,
        stack: Iterable[Frame] = (),
        delayed_count: int = 0,
        delayed: Iterable[Delayed] = (),
        note: str | None = None,
        advice: str | None = None,
        begin_ns: int = 0,
        end_ns: int = 0,
    ) -> None: ...
    @property
    def key(self) -> tuple[str | None, int | None, str | None]: ...
    @property
    def worst(self) -> Delayed | None: ...
