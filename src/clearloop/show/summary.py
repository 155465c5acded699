"""A dump in a few lines, for a terminal, and as JSON, for scripts: both from the same model."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from typing import Any

from clearloop.show.held import GOES_ON
from clearloop.show.model import HELD, JOB_OUTCOMES, NONE, OUTCOMES, READY, LoopModel, Model, Stall
from clearloop.show.walking import LONG
from clearloop.watch.plain_text import one_line

VERSION = 1  # of the JSON; it grows when a field changes its meaning or goes
MOST_STALLS = 5
LONGEST_CODE = 120


# -- JSON --


def facts(model: Model) -> dict[str, Any]:
    """Everything but the single steps; times in seconds, from the first record on."""
    head = model.head
    return {
        "version": VERSION,
        "clearloop": head.clearloop,
        "python": head.python,
        "pid": head.pid,
        "program": head.program,
        "reason": head.reason,
        "began": _moment(model.wall_ns),
        "seconds": _seconds(model.duration),
        "problems": model.problems,
        "loops": [_loop(model, loop) for loop in model.loops],
    }


def _loop(model: Model, loop: LoopModel) -> dict[str, Any]:
    gaps, held = loop.gaps, _Held(loop)
    return {
        "number": loop.number,
        "thread": loop.thread,
        "begin": _seconds(loop.begin),
        "end": _seconds(loop.end),
        "utilisation": utilisation(loop),
        "longest_lag": _seconds(max(loop.strip.lag, default=0)),
        "records": {"written": loop.written, "overwritten": loop.overwritten},
        "gaps": {
            "count": len(gaps),
            "seconds": _seconds(sum(gaps.end) - sum(gaps.begin)),
            "steps": sum(each for each in gaps.steps if each > 0),
        },
        "stalls": [_stall(model, loop, stall, held) for stall in loop.stalls],
        "tasks": [_task(model, loop, row) for row in range(len(loop.tasks))],
        "jobs": [_job(model, loop, row) for row in range(len(loop.jobs))],
    }


class _Held:
    """Says how many a stall has held: of one step those that are red, of a turn of many all who waited for long."""

    def __init__(self, loop: LoopModel) -> None:
        self.spans = loop.spans
        self.red = self.times({HELD}, 0)
        self.waiting: tuple[list[int], list[int]] | None = None

    def times(self, kinds: set[int], least: int) -> tuple[list[int], list[int]]:
        spans = self.spans
        found = [
            i for i, kind in enumerate(spans.kind) if kind in kinds and spans.end[i] - spans.begin[i] >= least
        ]
        return sorted(spans.begin[i] for i in found), sorted(spans.end[i] for i in found)

    def by(self, stall: Stall) -> int:
        begin, end = stall.begin, stall.end
        if stall.span != NONE:
            step = self.spans.begin[stall.span], self.spans.end[stall.span]
            if 2 * (min(end, step[1]) - max(begin, step[0])) > end - begin:
                begins, ends = self.red  # the watchdog's clock is not read where the step begins
                return bisect_left(begins, step[1]) - bisect_right(ends, step[0])
        if self.waiting is None:
            self.waiting = self.times({HELD, READY}, LONG)
        begins, ends = self.waiting
        return max(0, bisect_right(begins, end - LONG) - bisect_left(ends, begin + LONG)) or _delayed(stall)


def _delayed(stall: Stall) -> int:
    """As the watchdog counted them: it knows callbacks, too, but no lanes."""
    count = stall.report.get("delayed_count")
    return count if isinstance(count, int) and count > 0 else 0


def _stall(model: Model, loop: LoopModel, stall: Stall, held: _Held) -> dict[str, Any]:
    tasks, ongoing = loop.tasks, bool(stall.report.get("ongoing"))
    return {
        "begin": _seconds(stall.begin),
        "seconds": _seconds(stall.end - stall.begin),
        "verdict": stall.verdict if stall.verdict and not ongoing else None,
        "ongoing": ongoing,
        "task": model.strings[tasks.name[stall.task]] if stall.task != NONE else stall.report.get("task"),
        **_place(model, stall.place),
        "held": held.by(stall),
    }


def _task(model: Model, loop: LoopModel, row: int) -> dict[str, Any]:
    tasks, text = loop.tasks, model.strings
    parent = tasks.parent[row]
    return {
        "id": tasks.id[row],
        "parent": tasks.id[parent] if parent != NONE else None,
        "name": text[tasks.name[row]],
        "coroutine": text[tasks.coro[row]] or None,
        **_place(model, tasks.place[row]),
        "created": _seconds(tasks.created[row]) if tasks.created[row] != NONE else None,
        "ended": _seconds(tasks.ended[row]) if tasks.ended[row] != NONE else None,
        "outcome": OUTCOMES[tasks.outcome[row]],
        "busy": _seconds(tasks.busy[row]),
        "waiting": _seconds(tasks.waiting[row]),
        "held": _seconds(tasks.held[row]),
        "steps": tasks.steps[row],
    }


def _job(model: Model, loop: LoopModel, row: int) -> dict[str, Any]:
    jobs, text = loop.jobs, model.strings
    return {
        "function": text[jobs.function[row]] or None,
        "executor": text[jobs.executor[row]] or None,
        "task": loop.tasks.id[jobs.task[row]] if jobs.task[row] != NONE else None,
        "worker": loop.workers[jobs.worker[row]][1] if jobs.worker[row] != NONE else None,
        "submitted": _seconds(jobs.submitted[row]) if jobs.submitted[row] != NONE else None,
        "begin": _seconds(jobs.begin[row]) if jobs.begin[row] != NONE else None,
        "end": _seconds(jobs.end[row]) if jobs.end[row] != NONE else None,
        "outcome": JOB_OUTCOMES[jobs.outcome[row]],
    }


def _place(model: Model, place: int) -> dict[str, Any]:
    if place == NONE:
        return {"file": None, "line": None, "function": None, "code": None}
    file, line, function, code = model.places[place]
    text = model.strings
    words = (text[file], line, text[function], text[code])
    return {name: word or None for name, word in zip(("file", "line", "function", "code"), words, strict=True)}


def utilisation(loop: LoopModel) -> float | None:
    """Share of the time in which the loop ran and did not wait in the kernel; None when it did not run."""
    ran = sum(loop.runs.end) - sum(loop.runs.begin)
    waited = sum(loop.waits.end) - sum(loop.waits.begin)
    return round(min(1.0, max(0.0, 1 - waited / ran)), 4) if ran > 0 else None


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 9)


def _moment(ns: int) -> str | None:
    """Local time with its offset, as in the report file."""
    if not ns:
        return None
    try:
        return datetime.fromtimestamp(ns / 1e9, UTC).astimezone().isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None


# -- lines --


def lines(model: Model) -> list[str]:
    """What a person wants to know first: how long, how many, what held the loop, what is missing."""
    head = model.head
    program = f"{one_line(head.program)} (process {head.pid})" if head.program else f"process {head.pid}"
    found = [f"{program}, Python {one_line(head.python) or '?'}: the last {span(model.duration)}"]
    for loop in model.loops:
        found += _about(model, loop)
    return found


def _about(model: Model, loop: LoopModel) -> list[str]:
    busy = utilisation(loop)
    parts = [f"{_several(len(loop.tasks), 'task')}", f"{sum(loop.tasks.steps)} steps"]
    if len(loop.jobs):
        parts.append(_several(len(loop.jobs), "job") + " off the loop")
    if busy is not None:
        parts.append(f"busy {busy:.0%}")
    thread = f" ({one_line(loop.thread)})" if loop.thread else ""
    found = [f"loop {loop.number}{thread}: {span(loop.end - loop.begin)}, {', '.join(parts)}"]
    if loop.stalls:
        found.append(f"  {_several(len(loop.stalls), 'stall')}, the longest first:")
        held = _Held(loop)
        found += [_stall_line(_stall(model, loop, stall, held)) for stall in loop.stalls[:MOST_STALLS]]
        if len(loop.stalls) > MOST_STALLS:
            found.append(f"    and {len(loop.stalls) - MOST_STALLS} more")
    if loop.overwritten:
        found.append(f"  {loop.overwritten} older records were overwritten")
    if len(loop.gaps):
        steps = sum(each for each in loop.gaps.steps if each > 0)
        length = span(sum(loop.gaps.end) - sum(loop.gaps.begin))
        found.append(f"  {_several(len(loop.gaps), 'gap')}: {steps} steps in {length} were not recorded")
    return found


def _stall_line(stall: dict[str, Any]) -> str:
    by = f" by task {one_line(stall['task'], 80)}" if stall["task"] else ""
    where = ""
    if stall["file"]:
        where = f": {one_line(stall['file'])}:{stall['line'] or '?'}"
        where += f" in {one_line(stall['function'], 80)}" if stall["function"] else ""
        where += f": {one_line(stall['code'], LONGEST_CODE)}" if stall["code"] else ""
    held = f", held {_several(stall['held'], 'task')}" if stall["held"] else ""
    verdict = f" [{one_line(stall['verdict'] or GOES_ON)}]" if stall["verdict"] or stall["ongoing"] else ""
    return f"    {stall['seconds']:.3f} s{by}{where}{verdict}{held}"


def span(ns: int) -> str:
    """A length of time in words that are short."""
    if ns >= 1_000_000_000:
        return f"{ns / 1e9:.2f} s"
    return f"{ns / 1e6:.1f} ms" if ns >= 1_000_000 else f"{ns / 1e3:.0f} µs"


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
