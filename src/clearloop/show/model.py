"""What a dump tells, as columns: lanes, spans, jobs.  The page, the Perfetto export and the commands draw from it.

Times are ns since the model's start (`Model.start_ns` on the monotonic clock), which all loops share.  Columns of one
table have the same length; they are arrays, since a million records must not become a million objects.  Text is kept
once, in `Model.strings`; a column that holds text holds indexes into it.  How records become columns stands in
`building.py`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

from clearloop.show.dump import Dump, Head

# Spans.kind
RUN, AWAIT, HELD, READY, UNKNOWN = range(5)
KINDS = ("run", "await", "held", "ready", "unknown")
# Tasks.outcome.  LOST: it has ended, but its last step was not recorded
ALIVE, RETURNED, RAISED, CANCELLED, LOST = range(5)
OUTCOMES = ("alive", "returned", "raised", "cancelled", "lost")
# Jobs.outcome
PENDING, RAN, DELIVERED, DROPPED = range(4)
JOB_OUTCOMES = ("pending", "ran", "delivered", "dropped")

CALLBACKS = -1  # the lane of what is no task's step
NONE = -1  # no index; no time


def ints() -> array[int]:
    return array("i")


def times() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Tasks:
    """A row for each task, in the order of the task tree: depth first, each parent before its children."""

    id: array[int] = field(default_factory=lambda: array("I"))
    parent: array[int] = field(default_factory=ints)  # row of the task that created it, or -1
    depth: array[int] = field(default_factory=ints)  # 0: a root
    name: array[int] = field(default_factory=ints)  # string
    coro: array[int] = field(default_factory=ints)  # string: the coroutine's qualified name ("" unknown)
    place: array[int] = field(default_factory=ints)  # place of the coroutine's first line, or -1
    created: array[int] = field(default_factory=times)  # -1: unknown; less: before the model's start
    ended: array[int] = field(default_factory=times)  # -1: it has not, or unknown
    outcome: array[int] = field(default_factory=lambda: array("B"))
    busy: array[int] = field(default_factory=times)  # ns that it ran
    waiting: array[int] = field(default_factory=times)  # ns that it awaited something
    held: array[int] = field(default_factory=times)  # ns that it could have run but the loop was held
    steps: array[int] = field(default_factory=ints)  # recorded ones

    def __len__(self) -> int:
        return len(self.id)


@dataclass(slots=True)
class Spans:
    """The stretches of all lanes, sorted by lane (callbacks last) and, within one, by their begin."""

    lane: array[int] = field(default_factory=ints)  # row of the task; CALLBACKS
    kind: array[int] = field(default_factory=lambda: array("B"))
    begin: array[int] = field(default_factory=times)
    end: array[int] = field(default_factory=times)
    # AWAIT: what it awaits.  RUN of a callback: its function.  RUN of a task with by -1: what woke it, "timer",
    # "another thread" or ""
    label: array[int] = field(default_factory=ints)
    # RUN of a task: where the step ended in an await (of a stall: the blocking line).  Others: where the task stands
    place: array[int] = field(default_factory=ints)
    # HELD: the RUN span that held it (the longest, of several about as long the first).  RUN: the RUN span whose step
    # woke it.  -1: none
    by: array[int] = field(default_factory=ints)

    def __len__(self) -> int:
        return len(self.lane)


@dataclass(slots=True)
class Jobs:
    """Blocking functions that were sent off the loop, in order of submission."""

    id: array[int] = field(default_factory=lambda: array("I"))
    worker: array[int] = field(default_factory=ints)  # index into LoopModel.workers, or -1
    task: array[int] = field(default_factory=ints)  # row of the task that sent it, or -1
    function: array[int] = field(default_factory=ints)  # string
    executor: array[int] = field(default_factory=ints)  # string: its type
    submitted: array[int] = field(default_factory=times)  # -1: unknown, as the next two
    begin: array[int] = field(default_factory=times)
    end: array[int] = field(default_factory=times)
    outcome: array[int] = field(default_factory=lambda: array("B"))

    def __len__(self) -> int:
        return len(self.id)


@dataclass(slots=True)
class Stretches:
    """Waits in the kernel, the loop's runs, and (with steps) gaps: turns that were not recorded."""

    begin: array[int] = field(default_factory=times)
    end: array[int] = field(default_factory=times)
    steps: array[int] = field(default_factory=times)  # gaps only; -1: unknown

    def __len__(self) -> int:
        return len(self.begin)


@dataclass(slots=True)
class Stall:
    """One stall, with the watchdog's report of it (the fields of docs/report-format.md that were there)."""

    begin: int
    end: int
    span: int  # the RUN span that held the loop (of a turn of several: one of them), or -1: overwritten, or short ones
    task: int  # row of the task, or -1
    verdict: str
    place: int  # the blocking line, or -1
    report: dict[str, Any]


@dataclass(slots=True)
class Strip:
    """Utilisation and lag over the loop's time, in equal buckets from the loop's `begin`."""

    width: int = 1  # ns of a bucket
    # share of the bucket in which the loop did not wait in the kernel, 0 to 1; -1: it was not running, or no record
    utilisation: array[float] = field(default_factory=lambda: array("f"))
    lag: array[int] = field(default_factory=times)  # longest time that something ready had to wait, or a step took

    def __len__(self) -> int:
        return len(self.lag)


@dataclass(slots=True)
class LoopModel:
    number: int
    thread: str
    begin: int = 0  # what the records cover
    end: int = 0
    written: int = 0  # records ever written
    overwritten: int = 0
    tasks: Tasks = field(default_factory=Tasks)
    spans: Spans = field(default_factory=Spans)
    # spans of task i: range(first[i], first[i + 1]); of the callbacks: range(first[-2], first[-1])
    first: array[int] = field(default_factory=ints)
    jobs: Jobs = field(default_factory=Jobs)
    workers: list[tuple[int, str]] = field(default_factory=list)  # id (native thread id or pid), name
    runs: Stretches = field(default_factory=Stretches)
    waits: Stretches = field(default_factory=Stretches)
    gaps: Stretches = field(default_factory=Stretches)
    stalls: list[Stall] = field(default_factory=list)  # the longest first
    strip: Strip = field(default_factory=Strip)


@dataclass(slots=True)
class Model:
    head: Head
    problems: list[str]  # what could not be read, in words
    start_ns: int  # time 0 on the monotonic clock
    wall_ns: int  # the same moment, ns since the epoch; 0: unknown
    duration: int
    strings: list[str]  # strings[0] is ""
    # indexes into strings: file, line (a number; 0 unknown), function, the line's source text
    places: list[tuple[int, int, int, int]]
    loops: list[LoopModel]


def build(dump: Dump) -> Model:
    """Make the columns of a dump that was read."""
    from clearloop.show.building import build_model

    return build_model(dump)
