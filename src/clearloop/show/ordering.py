"""Puts the rows and spans of a walk into the order in which they are looked at: the task tree, and lane by lane."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, chain, repeat

from clearloop.show.model import CALLBACKS, NONE, Spans, Tasks
from clearloop.show.walking import DISCARD, Walk


def tree(walk: Walk) -> tuple[list[int], array[int], array[int]]:
    """The rows in tree order, and of each row by its *new* number its parent's new number and its depth.

    Ids grow with time, so siblings are sorted by id.  What claims to be its own ancestor is a root.
    """
    ids, parents, index = walk.tasks.id, walk.parents, walk.index
    children: dict[int, list[int]] = {}
    roots = []
    by_age = sorted(range(len(ids)), key=ids.__getitem__)
    for row in by_age:
        parent = index.get(parents[row], NONE) if parents[row] else NONE
        if parent == NONE or parent == row:
            roots.append(row)
        else:
            children.setdefault(parent, []).append(row)
    order: list[int] = []
    new_parent, depths = array("i"), array("i")
    seen = bytearray(len(ids))
    for start in (roots, by_age):  # the second for circles, which no root leads to
        stack = [(row, NONE, 0) for row in reversed(start)]
        while stack:
            row, parent, depth = stack.pop()
            if seen[row]:
                continue
            seen[row] = 1
            number = len(order)
            order.append(row)
            new_parent.append(parent)
            depths.append(depth)
            stack += [(child, number, depth + 1) for child in reversed(children.get(row, ()))]
        if len(order) == len(ids):
            break
    return order, new_parent, depths


def tasks(walk: Walk, order: list[int], parent: array[int], depth: array[int], start: int) -> Tasks:
    """The rows in their new order, with names and with times from `start` on."""
    old = walk.tasks
    append, names = walk.texts.append, walk.names
    new = Tasks(parent=parent, depth=depth)
    for column in ("id", "coro", "place", "outcome", "busy", "waiting", "held", "steps"):
        setattr(new, column, _pick(getattr(old, column), order))
    for column in ("created", "ended"):
        setattr(new, column, relative(_pick(getattr(old, column), order), start))
    new.name = array("i", [names[row] if row in names else append(f"Task-{walk.serials[row]}") for row in order])
    return new


def spans(walk: Walk, order: list[int], table: list[int], start: int) -> tuple[Spans, array[int]]:
    """The spans sorted by lane and begin, and where each lane begins; labels looked up in `table`.

    Empties the walk's own, so that never all of them are there twice.
    """
    old, count = walk.spans, len(order)
    # A counting sort: the spans of one lane come in the order of time already.  The callbacks' lane is the last, behind
    # it comes what is to be thrown away.
    lanes = array("i", bytes(4 * (count + 2)))
    for number, row in enumerate(order):
        lanes[row] = number
    lanes[CALLBACKS], lanes[DISCARD] = count, count + 1
    lane = array("i", map(lanes.__getitem__, old.lane))
    sizes = [0] * (count + 2)
    for each in lane:
        sizes[each] += 1
    first = array("i", accumulate(sizes[:-1], initial=0))
    free = [*first]
    new, total = Spans(), len(lane)
    renumbered = array("i", bytes(4 * total))
    begin_at, end_at = array("q", bytes(8 * total)), array("q", bytes(8 * total))
    for i, (each, begin, end) in enumerate(zip(lane, old.begin, old.end, strict=True)):
        number = free[each]
        free[each] = number + 1
        renumbered[i] = number
        begin_at[number] = begin - start
        end_at[number] = end - start
    old.begin, old.end, old.lane = array("q"), array("q"), array("i")
    if not walk.callbacks_in_order:
        _sort_tail(first[-2], first[-1], begin_at, end_at, renumbered)
    new.begin, new.end = begin_at, end_at
    new.lane = array("i", chain.from_iterable(map(repeat, range(count), sizes)))
    new.lane.extend(repeat(CALLBACKS, sizes[count]))
    new.kind = array("B", bytes(total))
    new.label, new.place, new.by = (array("i", bytes(4 * total)) for _ in range(3))
    kind_at, label_at, place_at, by_at = new.kind, new.label, new.place, new.by
    for number, kind, label, place, by in zip(renumbered, old.kind, old.label, old.place, old.by, strict=True):
        kind_at[number] = kind
        label_at[number] = table[label]
        place_at[number] = place
        by_at[number] = renumbered[by] if by >= 0 else NONE
    for column in (new.kind, begin_at, end_at, label_at, place_at, by_at):
        del column[first[-1] :]
    walk.spans = Spans()
    walk.long_span = array("i", map(renumbered.__getitem__, walk.long_span))
    return new, first


def _sort_tail(first: int, last: int, begin: array[int], end: array[int], renumbered: array[int]) -> None:
    """Callbacks that ran inside another (or a dump that lies): by begin."""
    order = sorted(range(first, last), key=begin.__getitem__)
    begin[first:last] = array("q", map(begin.__getitem__, order))
    end[first:last] = array("q", map(end.__getitem__, order))
    moved = {number: i for i, number in enumerate(order, first) if number != i}
    for i, number in enumerate(renumbered):
        if number in moved:
            renumbered[i] = moved[number]


def relative(column: array[int], start: int) -> array[int]:
    """Times from `start` on; NONE stays, and nothing else becomes it."""
    taken = start + NONE
    return array("q", [NONE if time == NONE else time - start - (time == taken) for time in column])


def _pick(column: array[int], order: Sequence[int]) -> array[int]:
    return array(column.typecode, map(column.__getitem__, order))
