"""What a scenario is, and the goal that stands beside it.

A scenario is data plus one body.  The data says how it is driven (`kind`), in which unit its figure is
given and which direction is better; the body is the only code that touches a loop, so every loop runs the
very same lines.

Spellings: `api="own"` gives clearloop's own functions when the loop is clearloop's (`clearloop.gather`),
asyncio's on every other loop; `api="asyncio"` gives asyncio's everywhere.  A peer therefore does the same
in both, and the harness measures it once for the two rows when they share a body.
"""



from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

THEMES = (
    "switching",
    "tasks",
    "callbacks",
    "timers",
    "locks",
    "offload",
    "echo",
    "tls",
    "bulk",
    "names",
    "web",
    "database",
    "children",
    "memory",
    "startup",
)

STEPS = "steps"  # body(bench, n) does n operations: thousand operations per second of CPU time
SERVER = "server"  # body(bench) -> address, under load from outside: microseconds of CPU time per request
CLIENT = "client"  # body(bench, n) makes n requests to a server outside: microseconds of CPU time each
FIGURE = "figure"  # body(bench) -> the figure itself
IDLE = "idle"  # body(bench) -> address; harness opens connections and leaves them: bytes per connection
STARTUP = "startup"  # body(module) -> the text of a program that prints its own figure: milliseconds

UNITS = {STEPS: "k/s", SERVER: "µs", CLIENT: "µs", FIGURE: "B", IDLE: "B", STARTUP: "ms"}


@dataclass(frozen=True)
class Goal:
    """What a row must reach, as a factor of the best peer's figure, of the C server's (`against="floor"`), or of one
    peer's, by its name.

    Against peers it is an advantage (at least so many times better), or with `cost` a ratio of costs (memory:
    at most 0.75 of the peer's); against the floor it is always a ratio of costs.
    """

    factor: float = 1.0
    against: str = "peer"
    cost: bool = False

    def __str__(self) -> str:
        whom = self.against
        sign = "≤" if self.cost or self.against == "floor" else "≥"
        return f"{sign} {self.factor:g}× {whom}"


@dataclass(frozen=True)
class Scenario:
    name: str
    kind: str
    body: Callable[..., Any]
    goal: Goal = Goal()
    api: str = "own"
    n: int = 20_000  # operations per batch, or items held
    quick_n: int = 1_000
    load: str = ""  # what the other side does: see SPEAKERS in harness.py
    connections: int = 0
    size: int = 1024  # bytes of an echo, or of the body of an HTTPS answer
    sockets: bool = False  # needs the network although its kind does not say so
    requires: tuple[str, ...] = ()  # modules beside the loop; where one is missing the row is skipped
    eager: bool = False  # with an eager task factory
    note: str = ""

    @property
    def unit(self) -> str:
        return UNITS[self.kind]

    @property
    def more_is_better(self) -> bool:
        return self.kind == STEPS

    @property
    def has_heap_states(self) -> bool:
        return self.kind == SERVER

    @property
    def networked(self) -> bool:
        """Whether a peer that only replaces transports can differ from the loop below it."""
        return self.sockets or self.kind in (SERVER, CLIENT, IDLE)

    def measurement(self, loop: str) -> tuple[Any, ...]:
        """What two rows must share for one measurement to serve both."""
        api = self.api if loop.startswith("clearloop") else ""
        variant = loop if api and loop != "clearloop" else ""
        return (self.body, self.kind, api, variant, self.n, self.load, self.connections, self.size, self.eager)


def every_scenario() -> list[Scenario]:
    themes = [importlib.import_module(f"scenarios.{theme}") for theme in THEMES]
    return [scenario for theme in themes for scenario in theme.SCENARIOS]


def chosen(scenarios: list[Scenario], globs: list[str]) -> list[Scenario]:
    """Those whose name matches one of the globs in any case; a word without wildcards matches anywhere."""
    if not globs:
        return scenarios
    patterns = [(glob if any(mark in glob for mark in "*?[") else f"*{glob}*").lower() for glob in globs]
    return [s for s in scenarios if any(fnmatch.fnmatchcase(s.name.lower(), pattern) for pattern in patterns)]
