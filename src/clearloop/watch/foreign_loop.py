"""One loop that is asyncio's own, as the looks at it have shown it: its stalls, and numbers that are estimates.

A step is known by when its turn began and by its place in the batch.  While looks find the same one, a stretch grows;
one that reaches the threshold is a stall, told while it lasts and once more when it is over.  A turn of many short
steps that reaches it is one as well.
"""

import asyncio
import collections
import itertools
import select
import threading
import time
import weakref

from clearloop.engine import looking, sampling
from clearloop.watch import code, statistics, syscalls, verdict
from clearloop.watch.plain_text import one_line
from clearloop.watch.sight import Sight
from clearloop.watch.stall import Delayed, Frame, Stall

STACK = 100
MOST_VICTIMS = 100
_MOST_TASKS = 10_000
IN_CALL, FOR_GIL, COLLECTING, IN_FAULT = 2, 3, 4, 5  # as in system/inside.pxd
LAGS = 128
HELD_FROM = 0.05  # seconds, as in answers.py
_numbers = itertools.count(1)


class Stretch:
    """A step, or a turn, that looks have found more than once."""

    def __init__(self, key, began, now, clocks):
        self.key = key
        self.began = began
        self.seen = {}  # place -> [seconds, Sight]
        self.last = None
        self.looked = now
        self.clocks = clocks
        self.in_gil = self.in_gc = self.in_fault = 0.0
        self.call = -1
        self.told = None  # the Stall, once it was told
        self.known = {}  # see sampling.waiting_in
        self.victims = (0, [])
        self.descriptors = {}  # descriptor -> (since, who)
        self.before = 0
        self.first = self.place = 0  # of the steps of a turn

    def add(self, sight, now):
        if sight is None:
            return
        half = (now - (self.looked if self.last is not None else self.began)) / 2
        if self.last is None:
            half *= 2
        else:
            self.seen[self.last.place][0] += half
        self.seen.setdefault(sight.place, [0.0, sight])[0] += half
        self.last, self.looked = sight, now

    def worst(self):
        return max(self.seen.values(), key=lambda entry: entry[0])[1] if self.seen else None


class WatchedLoop:
    """A loop in the thread `ident`."""

    def __init__(self, number, ident, loop):
        self.number = number
        self.ident = ident
        self.reference = _reference(loop)
        self.kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        self.of_other_kind = not isinstance(loop, asyncio.BaseEventLoop)
        self.thread = next((one for one in threading.enumerate() if one.ident == ident), None)
        self.native = getattr(self.thread, "native_id", None) or 0
        self.began = time.monotonic()
        self.looks = self.busy = 0
        self.lags = [0] * LAGS  # by how late what became ready had run, as Scheduler.note_lag() counts
        self.stalls = {}
        self.times = weakref.WeakKeyDictionary()  # task -> [looks that found it running, seconds]
        self.step = None
        self.turn = None
        self.last = self.began  # when the last look was

    @property
    def loop(self):
        return self.reference()

    def alive(self):
        loop = self.loop
        return loop is not None and not loop.is_closed()

    def runs_in(self, loop):
        return loop is not None and self.loop is loop

    def threshold(self):
        wanted = getattr(self.loop, "slow_callback_duration", 0.1)
        return max(0.01, wanted) if isinstance(wanted, (int, float)) else 0.1

    def description(self):
        return {
            "number": self.number,
            "kind": self.kind,
            "thread": one_line(getattr(self.thread, "name", self.ident), 80),
            "steps_seen": not self.of_other_kind,
        }

    # -- a look --

    def look(self, turn, run, does, woke, now):
        """`does`: what the thread did when this one woke, before it asked for the GIL."""
        loop = self.loop
        if loop is None or self.of_other_kind:
            return
        found = sampling.step_of(self.ident, turn, run, False)
        began, place, size = found[:3] if found is not None else (None, None, 0)
        before = self.last
        waited = now - woke  # for the GIL: whoever held it, held it all the time
        if began is not None:
            began -= getattr(loop, "_clock_resolution", 0.0)
        running = place is not None
        self.looks += 1
        self.busy += running
        self._note_lag(now - began if running else 0.0)
        key = (began, place) if running else None
        step = self.step
        if step is not None and step.key != key:
            self._over(step, now, began if began is not None and began > step.looked else None)
            step = self.step = None
        if self.turn is not None and (not running or self.turn.key != began):
            turn_before, self.turn = self.turn, None
            if not turn_before.told and turn_before.place > turn_before.first:
                self._over(turn_before, now, began if began is not None and began > turn_before.looked else None)
        if running:
            if step is None:
                earliest = max(before, began)
                # while this thread waited for the GIL, nobody but the one that now stands there could have gone on
                latest = woke if waited > self.threshold() / 2 and does[0] != FOR_GIL else now
                since = began if place == 0 and began >= before else (earliest + max(earliest, latest)) / 2
                step = self.step = Stretch(key, since, now, self._clocks())
                step.before = max(0, size - place - 1)
            if self.turn is None:
                self.turn = Stretch(began, began, now, self._clocks())
                self.turn.first = place
            self.turn.place = place
            self._grow(loop, step, turn, run, does, waited, now)
            if now - began >= self.threshold() / 2 and step.key[1] != self.turn.first:
                self._grow(loop, self.turn, turn, run, does, waited, now, tell=False)
            self._count_task(loop, now - before)
        self.last = now

    def _grow(self, loop, stretch, turn, run, does, waited, now, tell=True):
        """A stretch goes on: look closer when it has become long."""
        kind, call = does
        gap = now - stretch.looked
        if kind == FOR_GIL:
            stretch.in_gil += gap
        elif kind == COLLECTING:
            stretch.in_gc += gap
        elif kind == IN_FAULT:
            stretch.in_fault += gap
        elif kind == IN_CALL:
            stretch.call = call
        if now - stretch.began < self.threshold() / 2:
            stretch.looked = now
            return
        sight = self._sight(turn, run)
        stretch.add(sight, now)
        if now - stretch.began < self.threshold():
            return
        stretch.victims = sampling.waiting_in(loop, now, stretch.began, stretch.before, stretch.known, MOST_VICTIMS)
        self._descriptors(loop, stretch, now)
        if tell and stretch.told is None:
            stretch.told = self._record(stretch, sight, now, ongoing=True)
            _reporting().began(stretch.told)

    def _sight(self, turn, run):
        found = sampling.step_of(self.ident, turn, run, True)
        if found is None or found[5] is None:
            return None
        frames = found[5]
        chosen = code.choose(frames)
        task, callback = found[3], found[4]
        if chosen is None:
            return Sight(None, [], task, callback)
        source, lasti, namespace = frames[chosen]
        where = code.Where(source, lasti)
        chain = code.chain_of(where.code)
        if chain is not None:
            where.call = sampling.resolve(self.ident, chosen, source, lasti, chain)
            if where.call is None and chain[0] not in source.co_varnames + source.co_cellvars + source.co_freevars:
                where.call = looking.resolve_global(namespace, chain)
        stack = [Frame(*code.frame_of(source, lasti)) for source, lasti, _ in reversed(frames)]
        if len(stack) > STACK:
            stack = stack[: STACK // 2] + stack[-STACK // 2 :]
        return Sight(where, stack, task, callback)

    def _descriptors(self, loop, stretch, now):
        """Whose events lie ready; asking the kernel takes none of them away."""
        selector = getattr(getattr(loop, "_selector", None), "_selector", None)
        if not isinstance(selector, select.epoll):
            return
        try:
            ready = selector.poll(0, 1000)
        except (OSError, ValueError):  # it is being closed
            return
        for fd, _ in ready:
            if fd not in stretch.descriptors:
                who = sampling.reader_behind(loop, fd)
                if who is not None:
                    stretch.descriptors[fd] = (now, who)

    def _over(self, stretch, now, limit):
        """A stretch has ended: between the last look that saw it and this one, and before `limit`, if that is known."""
        ended = min((stretch.looked + now) / 2, limit if limit is not None else now)
        if ended - stretch.began < self.threshold():
            if stretch.told is None:
                return
        stall = self._record(stretch, stretch.worst(), ended, ongoing=False)
        count, victims = stretch.victims
        found = [Delayed(task, callback, max(0.0, ended - since)) for task, callback, since in victims]
        found += [Delayed(*who, max(0.0, ended - since)) for since, who in stretch.descriptors.values()]
        found.sort(key=lambda delayed: -delayed.seconds)
        stall.delayed_count = count + len(stretch.descriptors)
        stall.delayed = found[:MOST_VICTIMS]
        self.stalls[stall.verdict] = self.stalls.get(stall.verdict, 0) + 1
        _reporting().ended(stall)

    def _record(self, stretch, sight, now, ongoing):
        seconds = now - stretch.began
        facts = Facts(stretch, self._clocks(), seconds, self.threshold())
        where = sight.where if sight is not None else None
        kind = verdict.judge(facts)
        stall = Stall(
            number=stretch.told.number if stretch.told is not None else next(_numbers),
            loop=self.number,
            began=_clock_time(seconds),
            seconds=seconds,
            ongoing=ongoing,
            verdict=None if ongoing else kind,
            cpu_seconds=facts.cpu / 1e9,
            steps=stretch.place - stretch.first + 1 if isinstance(stretch.key, float) else 1,
        )
        if sight is not None:
            stall.task, stall.callback, stall.stack = sight.task, sight.callback, sight.stack
        if where is not None:
            stall.file, stall.line, stall.function = where.file, where.line, where.function
            stall.code, stall.call = where.code, where.call
        elif sight is not None:
            stall.call = sight.callback
        if kind == "blocking" and stretch.call >= 0:
            stall.note = f"in the system call {syscalls.name(stretch.call)}"
        elif kind in _NOTES:
            stall.note = _NOTES[kind]
        return stall

    def _clocks(self):
        """CPU time and run delay of the thread so far, in nanoseconds; None where the system does not tell."""
        try:
            with open(f"/proc/self/task/{self.native}/schedstat", "rb") as file:
                ran, delayed = file.read().split()[:2]
            return int(ran), int(delayed)
        except (OSError, ValueError):
            return None

    # -- numbers --

    def _note_lag(self, seconds):
        microseconds, bucket = int(seconds * 1e6), 0
        if microseconds >= 4:
            doublings = microseconds.bit_length() - 3
            bucket = 4 * doublings + (microseconds >> doublings)
        elif microseconds > 0:
            bucket = microseconds
        self.lags[min(bucket, LAGS - 1)] += 1

    def _count_task(self, loop, seconds):
        task = asyncio.current_task(loop)
        if task is None:
            return
        entry = self.times.get(task)
        if entry is None:
            if len(self.times) >= _MOST_TASKS:
                return
            entry = self.times[task] = [0, 0.0]
        entry[0] += 1
        entry[1] += seconds

    def entry(self):
        """An entry of `loops`, as the live view has it (docs/live.md)."""
        loop, step = self.loop, self.step
        held = time.monotonic() - step.began if step is not None else None
        return {
            "number": self.number,
            "running": loop is not None and loop.is_running(),
            "waiting": step is None,
            "utilisation": self.busy / self.looks if self.looks else None,
            "tasks": len(asyncio.all_tasks(loop)) if loop is not None else 0,
            "turns": None,
            "steps": None,
            "held_seconds": held,
            "at": self._at(step) if held is not None and held > HELD_FROM else None,
        }

    def _at(self, step):
        return step.last.told() if step.last is not None else None

    def numbers(self):
        """The same with the numbers that `stats` adds; those that only counting would give are None."""
        entry, loop = self.entry(), self.loop
        elapsed = time.monotonic() - self.began
        busy = elapsed * (entry["utilisation"] or 0.0)
        lags = list(self.lags)
        while lags and not lags[-1]:
            lags.pop()
        percentiles = statistics.percentiles(lags) or {}
        entry.update(
            busy_seconds=busy,
            waiting_seconds=elapsed - busy,
            lag={f"{percent:g}": seconds for percent, seconds in percentiles.items()} or None,
            lags=lags,
            stalls=dict(self.stalls),
            ready=_length(getattr(loop, "_ready", None)),
            timers=_length(getattr(loop, "_scheduled", None)),
            offloaded=None,
        )
        return entry

    def task_times(self):
        """As statistics.times_of(): estimated from the looks; how many steps there were nobody knows."""
        measured = time.monotonic() - self.began
        found = _Estimates(measured)
        for task, (_, busy) in list(self.times.items()):
            found[id(task)] = (None, busy, measured, None)
        return found

    def close(self):
        self.step = self.turn = None
        self.times.clear()


class _Estimates(dict):
    """Number of the task -> (steps, busy seconds, seconds measured, steps by length)."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def __missing__(self, number):
        return (None, 0.0, self.seconds, None)


class Facts:
    """What verdict.judge() asks of a stretch; nanoseconds."""

    def __init__(self, stretch, clocks, seconds, threshold):
        self.wall = int(seconds * 1e9)
        self.threshold = int(threshold * 1e9)
        ran = delayed = 0
        if clocks is not None and stretch.clocks is not None:
            ran, delayed = clocks[0] - stretch.clocks[0], clocks[1] - stretch.clocks[1]
        self.cpu = max(0, ran)
        self.delay = max(0, delayed)
        self.delay_over = 0  # measured over the whole stretch
        self.late = 0
        self.in_gil = int(stretch.in_gil * 1e9)
        self.in_gc = int(stretch.in_gc * 1e9)
        self.in_fault = int(stretch.in_fault * 1e9)
        self.in_call = None


_NOTES = {
    "gil": "another thread held the GIL",
    "gc": "the garbage collector ran",
    "descheduled": "the machine did not run the thread",
}


def _reference(loop):
    try:
        return weakref.ref(loop)
    except TypeError:
        return lambda: loop


def _length(container):
    return len(container) if isinstance(container, (list, collections.deque)) else None


def _clock_time(seconds):
    from clearloop.watch.watchdog import clock_time

    return clock_time(seconds)


def _reporting():
    from clearloop.watch import reporting

    return reporting
