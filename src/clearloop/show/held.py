"""The stalls of a loop: what the recorder noted of each, what the watchdog reported, and the step that did it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from heapq import nlargest
from typing import Any

from clearloop.show import records as rec
from clearloop.show.dump import LATEST
from clearloop.show.model import NONE, LoopModel, Stall
from clearloop.show.texts import Places
from clearloop.show.walking import Walk

MOST = 10_000  # of a loop: a dump that says there were more is none that we wrote
LOOKED_AT = 1000  # steps of one stall
GOES_ON = "still going on"  # instead of a verdict, of a stall that was not over when the dump was made


def stalls(walk: Walk, loop: LoopModel, start: int, rows: list[int], places: Places) -> list[Stall]:
    """Longest first; `rows`: the new number of each of the walk's rows."""
    found = []
    noted = sorted(nlargest(MOST, walk.stalls, key=lambda each: each[1] - each[0]))
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
    if report.get("ongoing"):
        end, verdict = max(begin, min(end, walk.last)), GOES_ON
    row = walk.index.get(task, NONE) if task else NONE
    row = rows[row] if row != NONE else NONE
    span, sure = _step(walk, loop, begin, end, row)
    if sure:
        row = loop.spans.lane[span]
        if place != NONE:
            loop.spans.place[span] = place
    return Stall(begin - start, end - start, span, row, verdict, place, report)


def _step(walk: Walk, loop: LoopModel, begin: int, end: int, row: int) -> tuple[int, bool]:
    """The step that held the loop, and whether it did so for most of the time.

    A stall may have been a turn of several: then the one that counts is the longest of the task that was named.
    """
    best, span = (False, 0), NONE
    first = max(bisect_right(walk.long_begin, begin) - 1, 0)
    for i in range(first, min(first + LOOKED_AT, len(walk.long_begin))):
        if walk.long_begin[i] >= end:
            break
        covered = min(walk.long_end[i], end) - max(walk.long_begin[i], begin)
        found = int(walk.long_span[i])
        if 2 * covered > end - begin:
            return found, True
        if covered > 0 and (loop.spans.lane[found] == row, covered) > best:
            best, span = (loop.spans.lane[found] == row, covered), found
    return span, False


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
