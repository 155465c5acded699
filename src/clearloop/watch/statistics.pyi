"""Types of statistics.py."""

from asyncio import AbstractEventLoop
from typing import NamedTuple

PERCENTILES: tuple[int, ...]

class TaskStats(NamedTuple):
    name: str
    coroutine: str
    file: str | None
    line: int | None
    function: str | None
    waits_at: str | None
    steps: int | None
    busy_seconds: float | None
    waiting_seconds: float | None

class Stats(NamedTuple):
    running: bool
    utilisation: float | None
    busy_seconds: float
    waiting_seconds: float
    lag: dict[int, float] | None
    turns: int
    steps: int
    stalls: dict[str, int]
    tasks: int
    ready: int
    timers: int
    offloaded: int
    per_task: list[TaskStats] | None

def stats(loop: AbstractEventLoop | None = None, *, per_task: bool = False) -> Stats: ...
def time_tasks(loop: AbstractEventLoop | None = None, enabled: bool = True) -> None: ...
