"""stats(loop): the numbers of one loop, from counters that it keeps anyway; and timed tasks, for those who ask.

Nothing is measured per step unless time_tasks() has switched it on: a clock read costs a fifth of a callback.
"""

import asyncio
import sys
import time
from typing import NamedTuple

from clearloop.engine.scheduler import Scheduler
from clearloop.engine.standing import identity
from clearloop.engine.task import native_tasks
from clearloop.watch.plain_text import name_of_task, one_line
from clearloop.watch.suspended import place

PERCENTILES = (50, 90, 99, 100)
LENGTHS = 44  # powers of two in nanoseconds: the last is more than two hours


class TaskStats(NamedTuple):
    """One unfinished task.

    Its times and steps count from time_tasks() or its first step after that; None while it is off.
    """

    name: str
    coroutine: str
    file: str | None
    line: int | None
    function: str | None
    waits_at: str | None  # the await, as it stands in the source
    steps: int | None
    busy_seconds: float | None
    waiting_seconds: float | None


class Stats(NamedTuple):
    """The numbers of one loop, over its life."""

    running: bool
    utilisation: float | None  # 0 to 1; None before the first run
    busy_seconds: float
    waiting_seconds: float
    lag: dict[int, float] | None  # percentile -> seconds
    turns: int
    steps: int
    stalls: dict[str, int]  # by verdict
    tasks: int
    ready: int
    timers: int
    offloaded: int
    per_task: list[TaskStats] | None


def stats(loop=None, *, per_task=False):
    """Return the numbers of `loop` (default: the running one) as a Stats.

    Parameters:
        per_task: also look at every unfinished task: where it waits, and its times if time_tasks() is on. This takes
            some 10 µs for each, so a loop with many tasks is better asked from its own thread, now and then.

    Raises TypeError when `loop` is no clearloop loop, RuntimeError when none is given and none runs. It may be called
    from any thread.
    """
    loop = _native(loop)
    ran, waited, lags, tasks = loop._measures()
    return Stats(
        running=loop.is_running(),
        utilisation=min(1.0, max(0.0, (ran - waited) / ran)) if ran > 0 else None,
        busy_seconds=max(0, ran - waited) / 1e9,
        waiting_seconds=waited / 1e9,
        lag=percentiles(lags),
        turns=loop._turn_count(),
        steps=loop._step_count(),
        stalls=_stalls(loop),
        tasks=tasks,
        ready=loop._ready_count(),
        timers=loop._timer_count(),
        offloaded=loop.offloaded,
        per_task=[_of_task(loop, task) for task in native_tasks(loop)] if per_task else None,
    )


def time_tasks(loop=None, enabled=True):
    """Measure how long each task of `loop` (default: the running one) is busy, from now on; `False` ends it.

    It costs some 100 ns a step. What was measured is forgotten when it ends, and of a task when that is done.

    Raises TypeError when `loop` is no clearloop loop, RuntimeError when none is given and none runs.
    """
    loop = _native(loop)
    if not enabled:
        loop._time_steps(None)
        loop.__dict__.pop("_task_times", None)
    elif getattr(loop, "_task_times", None) is None:
        loop._task_times = _TaskTimes()
        loop._time_steps(loop._task_times.add)


def time_tasks_for_view(loop, enabled):
    """Time the tasks while somebody looks on; return whether that is new.  What the program has switched on stays."""
    times = getattr(loop, "_task_times", None)
    if enabled:
        if times is not None:
            times.viewers += times.viewers > 0
            return times.viewers > 1
        time_tasks(loop)
        loop._task_times.viewers = 1
        return True
    if times is not None and times.viewers > 0:
        times.viewers -= 1
        if not times.viewers:
            time_tasks(loop, False)
    return False


def times_of(loop):
    """{number of the task: (steps, busy seconds)}; None while tasks are not timed."""
    times = getattr(loop, "_task_times", None)
    if times is None:
        return None
    now = time.monotonic_ns()
    found = Times(now - times.began)
    for task, (steps, busy, since, lengths) in list(times.of.items()):
        found[identity(task)] = (steps, busy / 1e9, (now - since) / 1e9, lengths)
    return found


class Times(dict):
    """Number of the task -> (steps, busy seconds, seconds measured, steps by length); a task that had no step has 0."""

    def __init__(self, nanoseconds):
        super().__init__()
        self.seconds = nanoseconds / 1e9

    def __missing__(self, number):
        return (0, 0.0, self.seconds, None)


def stall_places(most=100):
    """The places that have held a loop, the most costly first."""
    places = _reported("_places", None)
    return [
        {
            "file": place.file,
            "line": place.line,
            "function": place.function,
            "code": place.code,
            "count": place.count,
            "seconds": place.seconds,
            "longest_seconds": place.longest,
        }
        for place in (places.all()[:most] if places is not None else ())
    ]


def held_of(number):
    """{name of the task: seconds that it could have run while a stall held the loop} of a loop, as stalls number it."""
    held_up = getattr(sys.modules.get("clearloop.watch.reporting"), "held_up", {})  # as in _stalls()
    return dict(held_up.get(number, ()))


def counts():
    """How many findings there were, by verdict or kind."""
    return dict(_reported("counts", {}))


class _TaskTimes:
    """Steps and busy nanoseconds by task.  Tasks that are done leave, so it holds no more than are alive.

    While somebody looks on, also how long the steps were: how many had 2**(n-1) to 2**n nanoseconds.
    """

    def __init__(self):
        self.began = time.monotonic_ns()
        self.of = {}  # task -> [steps, busy, since, steps by length]
        self.viewers = 0  # who looks on; 0: the program has asked for it

    def add(self, task, nanoseconds):
        if task.done():
            self.of.pop(task, None)
            return
        entry = self.of.get(task)
        if entry is None:
            entry = self.of[task] = [0, 0, time.monotonic_ns() - nanoseconds, None]
        entry[0] += 1
        entry[1] += nanoseconds
        if self.viewers:
            if entry[3] is None:
                entry[3] = [0] * LENGTHS
            entry[3][min(LENGTHS - 1, nanoseconds.bit_length())] += 1


def _native(loop):
    if loop is None:
        loop = asyncio.get_running_loop()
    if not isinstance(loop, Scheduler):
        raise TypeError(f"a clearloop loop was expected, not {type(loop).__name__}")
    return loop


def _stalls(loop):
    return dict(_reported("by_loop", {}).get(loop._watch_number(), {}))


def _reported(name, otherwise):
    """What watch/reporting.py knows, if it was ever needed; another thread may just be importing it."""
    return getattr(sys.modules.get("clearloop.watch.reporting"), name, otherwise)


def percentiles(lags):
    total = sum(lags)
    if not total:
        return None
    found, passed, wanted = {}, 0, list(PERCENTILES)
    for bucket, count in enumerate(lags):
        passed += count
        while wanted and passed * 100 >= total * wanted[0]:
            found[wanted.pop(0)] = upper_end(bucket) / 1e6
    return found


def upper_end(bucket):
    """The longest lag that falls into a bucket, in microseconds: see Scheduler.note_lag."""
    if bucket < 8:
        return bucket + 1
    doublings, quarter = divmod(bucket - 4, 4)
    return (quarter + 5) << doublings


def _of_task(loop, task):
    times = getattr(loop, "_task_times", None)
    entry = times.of.get(task) if times is not None else None
    steps = busy = waiting = None
    if times is not None:
        steps, busy, since = entry[:3] if entry is not None else (0, 0, times.began)
        waiting = (time.monotonic_ns() - since - busy) / 1e9
        busy /= 1e9
    try:
        where = place(task)
    except Exception:  # it runs in another thread meanwhile
        where = {"file": None, "line": None, "function": None, "code": None}
    coroutine = task.get_coro()
    return TaskStats(
        name_of_task(task),
        one_line(getattr(coroutine, "__qualname__", type(coroutine).__name__)),
        where["file"],
        where["line"],
        where["function"],
        where["code"],
        steps,
        busy,
        waiting,
    )
