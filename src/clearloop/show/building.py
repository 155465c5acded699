"""Makes the model: walks over each loop's records, sorts what comes out, and adds what is derived from it."""

from __future__ import annotations

from array import array

from clearloop.show import held, ordering
from clearloop.show.dump import Dump
from clearloop.show.model import NONE, LoopModel, Model, Stretches
from clearloop.show.strip import strip
from clearloop.show.texts import Places, Texts
from clearloop.show.walking import Walk


def build_model(dump: Dump) -> Model:
    texts = Texts()
    places = Places(dump, texts)
    walks = []
    for loop in dump.loops:
        walk = Walk(dump, loop, texts, places)
        walk.walk()
        walk.finish()
        walks.append(walk)
    start = min((walk.first for walk in walks if walk.last), default=dump.head.monotonic_ns)
    end = max((walk.last for walk in walks), default=start)
    wall = max(0, dump.head.clock_ns - (dump.head.monotonic_ns - start)) if dump.head.clock_ns else 0
    loops = [_loop(walk, start, places) for walk in walks]
    return Model(
        dump.head, dump.problems, start, wall, max(0, end - start), texts.strings, places.places, loops
    )  # fmt: skip


def _loop(walk: Walk, start: int, places: Places) -> LoopModel:
    kept = walk.loop
    loop = LoopModel(kept.number, kept.thread, written=kept.written, overwritten=kept.overwritten)
    if walk.last:
        loop.begin, loop.end = walk.first - start, walk.last - start
    order, parent, depth = ordering.tree(walk)
    rows = [0] * len(order)
    for number, row in enumerate(order):
        rows[row] = number
    loop.tasks = ordering.tasks(walk, order, parent, depth, start)
    names = {task: loop.tasks.name[rows[walk.index[task]]] for task in walk.labels.tasks if task in walk.index}
    loop.spans, loop.first = ordering.spans(walk, order, walk.labels.resolve(names), start)
    loop.runs, loop.waits, loop.gaps = (_moved(each, start) for each in (walk.runs, walk.waits, walk.gaps))
    loop.jobs, loop.workers = walk.jobs, walk.workers
    loop.jobs.task = array("i", [rows[row] if row != NONE else NONE for row in loop.jobs.task])
    for column in ("submitted", "begin", "end"):
        setattr(loop.jobs, column, ordering.relative(getattr(loop.jobs, column), start))
    loop.stalls = held.stalls(walk, loop, start, rows, places)
    loop.strip = strip(loop)
    return loop


def _moved(stretches: Stretches, start: int) -> Stretches:
    begin, end = (array("q", [time - start for time in column]) for column in (stretches.begin, stretches.end))
    return Stretches(begin, end, stretches.steps)
