"""The strip above the lanes: utilisation and lag of a loop over time."""

from __future__ import annotations

from array import array

from clearloop.show.model import HELD, NONE, READY, RUN, LoopModel, Stretches, Strip

BUCKETS = 2000


def strip(loop: LoopModel) -> Strip:
    """Of the loop's spans, runs and waits, all of which it has already."""
    length = loop.end - loop.begin
    width = max(1, -(-length // BUCKETS))
    count = -(-length // width)
    running = _shares(loop.runs, loop.begin, width, count)
    waited = _shares(loop.waits, loop.begin, width, count)
    made = Strip(width)
    # A wait outside of a run can only be one that a damaged dump tells of.
    made.utilisation = array(
        "f", [max(0.0, 1 - min(wait, run) / run) if run else NONE for run, wait in zip(running, waited, strict=True)]
    )
    # The longest stretch that begins in a bucket stands for all of them that do.
    longest = [0] * count
    begin_of, spans = loop.begin, loop.spans
    for kind, begin, end in zip(spans.kind, spans.begin, spans.end, strict=True):
        if kind == RUN or kind == HELD or kind == READY:
            i = (begin - begin_of) // width
            if 0 <= i < count and end - begin > longest[i]:
                longest[i] = end - begin
    lag = array("q", longest)
    for i, length in enumerate(longest):
        for j in range(i + 1, min(count, i + 1 + length // width)):
            if length > lag[j]:
                lag[j] = length
    made.lag = lag
    return made


def _shares(stretches: Stretches, start: int, width: int, count: int) -> list[int]:
    """How many ns of each bucket the stretches cover, none of which overlap."""
    shares = [0] * count
    for begin, end in zip(stretches.begin, stretches.end, strict=True):
        begin, end = max(begin - start, 0), min(end - start, count * width)
        while begin < end:
            i = begin // width
            until = min(end, (i + 1) * width)
            shares[i] += until - begin
            begin = until
    return shares
