"""The stalls of a loop: what the recorder noted of each, what the watchdog reported, and the step that did it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

from clearloop.show import records as rec
from clearloop.show.dump import LATEST
from clearloop.show.model import NONE, LoopModel, Stall
from clearloop.show.texts import Places
from clearloop.show.walking import Walk


def stalls(walk: Walk, loop: LoopModel, start: int, rows: list[int], places: Places) -> list[Stall]:
    """Longest first; `rows`: the new number of each of the walk's rows."""
    found = []
    noted = sorted(walk.stalls)
    begins = [each[0] for each in noted]
    told: set[int] = set()
    for report in walk.dump.stalls:
        if report.get("loop", loop.number) != loop.number:
            continue
        begin, end = _time(report.get("begin_ns")), _time(report.get("end_ns"))
        if begin is None or end is None or end < begin:
            continue
        number = _nearest(noted, begins, begin, end, told)
        task, place, verdict = NONE, NONE, str(report.get("verdict") or "")
        if number is not None:
            told.add(number)
            task, place = noted[number][2], noted[number][4]
            verdict = verdict or rec.VERDICTS.get(noted[number][3], "")
        place = _place(report, places) if place == NONE or report.get("file") else place
        found.append(_stall(walk, loop, start, rows, begin, end, task, verdict, place, report))
    for number, (begin, end, task, how, place) in enumerate(noted):
        if number not in told:
            found.append(_stall(walk, loop, start, rows, begin, end, task, rec.VERDICTS.get(how, ""), place, {}))
    found.sort(key=lambda stall: stall.begin - stall.end)
    return found


def _stall(
    walk: Walk, loop: LoopModel, start: int, rows: list[int],
    begin: int, end: int, task: int, verdict: str, place: int, report: dict[str, Any],
) -> Stall:  # fmt: skip
    span = _step(walk, begin, end)
    row = walk.index.get(task, NONE) if task else NONE
    row = rows[row] if row != NONE else NONE
    if span != NONE:
        row = loop.spans.lane[span]
        if place != NONE:
            loop.spans.place[span] = place
    return Stall(begin - start, end - start, span, row, verdict, place, report)


def _step(walk: Walk, begin: int, end: int) -> int:
    """The long step that covers most of the time, if it covers half of it."""
    best, span = (end - begin) // 2, NONE
    i = max(bisect_right(walk.long_begin, begin) - 1, 0)
    while i < len(walk.long_begin) and walk.long_begin[i] < end:
        covered = min(walk.long_end[i], end) - max(walk.long_begin[i], begin)
        if covered > best:
            return int(walk.long_span[i])  # no other can
        i += 1
    return span


def _nearest(
    noted: list[tuple[int, int, int, int, int]], begins: list[int], begin: int, end: int, told: set[int]
) -> int | None:
    """The record of the same stall: the two are told apart by microseconds, two stalls are not."""
    at = bisect_left(begins, begin)
    best, found = 0, None
    for number in range(max(0, at - 2), min(len(noted), at + 2)):
        covered = min(noted[number][1], end) - max(noted[number][0], begin)
        if covered > best and number not in told:
            best, found = covered, number
    return found


def _place(report: dict[str, Any], places: Places) -> int:
    file, line = report.get("file"), report.get("line")
    if not isinstance(file, str) or not isinstance(line, int) or not 0 <= line <= 0x7FFFFFFF:
        return NONE
    return places.add(file, line, str(report.get("function") or ""), str(report.get("code") or ""))


def _time(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= LATEST else None
