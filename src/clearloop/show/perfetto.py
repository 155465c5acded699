"""Writes the model as a Perfetto trace: TrackEvent protobuf, which https://ui.perfetto.dev opens.

The messages are those of the official `perfetto` package (an extra).  One process; below it for each loop its counters,
stalls and callbacks, a track per task below the track of the task that created it, and a track per worker.  A step is a
slice, so is what lies between two of them; a flow leads from the step that woke a task to the step it then made, and
from what was held to what held it.  Names, categories and lines are interned: they stand in the trace once.

https://perfetto.dev/docs/reference/synthetic-track-event
"""

from __future__ import annotations

import importlib
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from clearloop.show.model import AWAIT, JOB_OUTCOMES, KINDS, NONE, OUTCOMES, RUN, LoopModel, Model

MESSAGES = "perfetto.protos.perfetto.trace.perfetto_trace_pb2"
BATCH = 4096  # packets that are serialized together
SEQUENCE = 1
CLEARED, NEEDS = 1, 2  # sequence flags: interned data begins here; is needed
MONOTONIC, REALTIME = 3, 1  # Perfetto's numbers of the clocks

CATEGORIES = (*KINDS, "job", "stall", "gap", "wait")
# Slices that have no name of their own.
NAMES = ("running", "awaiting", "held", "ready", "not known")
OTHER_NAMES = ("steps not recorded", "waiting in the kernel", "callback", "stall", "job")


class Missing(Exception):
    """The package that the export needs is not there."""


def write(model: Model, path: str | os.PathLike[str]) -> None:
    """Write `model` to `path`: whole, or not at all, and readable for its owner only, as the dump is.

    Raises Missing without the package, OSError when the file cannot be written.
    """
    messages = _messages()
    with _whole(os.path.abspath(os.fspath(path))) as file:
        _Trace(model, messages, file).write()


def _messages() -> Any:
    try:
        return importlib.import_module(MESSAGES)
    except ImportError as error:
        why = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
    except Exception as error:  # the protobuf that is installed is too old for it
        why = f" ({type(error).__name__}: {error})"
    raise Missing(f"a Perfetto trace needs the package perfetto: pip install 'clearloop[perfetto]'{why}")


@contextmanager
def _whole(path: str) -> Iterator[BinaryIO]:
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout, a named pipe
        with open(path, "wb") as file:
            yield file
        return
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


class _Flows:
    """Which flows leave from each step: the spans that it woke or held, as a list in two columns."""

    def __init__(self, loop: LoopModel) -> None:
        count = len(loop.spans)
        self.first = array("i", [NONE]) * count
        self.next = array("i", [NONE]) * count
        for number, by in enumerate(loop.spans.by):
            if by != NONE:
                self.next[number] = self.first[by]
                self.first[by] = number


class _Trace:
    """Packets on one sequence, gathered in batches."""

    def __init__(self, model: Model, messages: Any, file: BinaryIO) -> None:
        self.model = model
        self.file = file
        self.new_batch = messages.Trace
        self.batch = self.new_batch()
        self.add = self.batch.packet.add
        self.kinds = messages.TrackEvent
        self.tracks = messages.TrackDescriptor
        self.counters = messages.CounterDescriptor
        self.count = 0
        self.uuid = 0
        self.flow = 0  # numbers of flows that were given away

    def packet(self) -> Any:
        if self.count >= BATCH:
            self.flush()
        self.count += 1
        packet = self.add()
        packet.trusted_packet_sequence_id = SEQUENCE
        packet.sequence_flags = NEEDS
        return packet

    def flush(self) -> None:
        # A Trace is nothing but its packets, one behind the other: so are several of them.
        self.file.write(self.batch.SerializeToString())
        self.batch = self.new_batch()  # not Clear(), which keeps the memory of what it has cleared
        self.add = self.batch.packet.add
        self.count = 0

    def write(self) -> None:
        self.beginning()
        head = self.model.head
        process = self.track("", 0)
        process.process.pid = min(head.pid, 0x7FFFFFFF)
        process.process.process_name = head.program or "clearloop"
        for loop in self.model.loops:
            self.loop(loop, process.uuid)
        self.flush()

    def beginning(self) -> None:
        """The clock, and everything that packets refer to by number."""
        model = self.model
        packet = self.packet()
        packet.sequence_flags = CLEARED
        packet.timestamp = model.start_ns
        packet.timestamp_clock_id = MONOTONIC
        packet.clock_snapshot.primary_trace_clock = MONOTONIC
        clocks = [(MONOTONIC, model.start_ns)] + ([(REALTIME, model.wall_ns)] if model.wall_ns else [])
        for number, time in clocks:
            clock = packet.clock_snapshot.clocks.add()
            clock.clock_id, clock.timestamp = number, time
        packet = self.packet()
        packet.sequence_flags = CLEARED | NEEDS
        packet.trace_packet_defaults.timestamp_clock_id = MONOTONIC
        interned = packet.interned_data
        for iid, name in enumerate(CATEGORIES, 1):
            entry = interned.event_categories.add()
            entry.iid, entry.name = iid, name
        for iid, name in enumerate((*NAMES, *OTHER_NAMES), 1):
            entry = interned.event_names.add()
            entry.iid, entry.name = iid, name
        self.first_name = len(NAMES) + len(OTHER_NAMES) + 1
        labels = {label for loop in model.loops for label in loop.spans.label}
        labels |= {function for loop in model.loops for function in loop.jobs.function}
        for label in sorted(labels - {0}):
            entry = interned.event_names.add()
            entry.iid, entry.name = self.first_name + label, model.strings[label]
        for number, (file, line, function, _) in enumerate(model.places, 1):
            place = interned.source_locations.add()
            place.iid, place.file_name, place.line_number = number, model.strings[file], line
            place.function_name = model.strings[function]
            code = model.strings[model.places[number - 1][3]]
            if code:
                value = interned.debug_annotation_string_values.add()
                value.iid, value.str = number, code.encode()
        for iid, name in enumerate(ANNOTATIONS, 1):
            entry = interned.debug_annotation_names.add()
            entry.iid, entry.name = iid, name

    # -- tracks --

    def track(self, name: str, parent: int, rank: int = 0) -> Any:
        packet = self.packet()
        track = packet.track_descriptor
        self.uuid += 1
        track.uuid = self.uuid
        if parent:
            track.parent_uuid = parent
            # Tasks of one name are not one task.
            track.sibling_merge_behavior = self.tracks.SIBLING_MERGE_BEHAVIOR_NONE
            track.sibling_order_rank = rank
        track.child_ordering = self.tracks.EXPLICIT
        if name:
            track.name = name
        return track

    def loop(self, loop: LoopModel, process: int) -> None:
        name = f"loop {loop.number}" + (f" ({loop.thread})" if loop.thread else "")
        parent = self.track(name, process, loop.number).uuid
        self.strip(loop, parent)
        self.stalls(loop, self.track("stalls", parent, 2).uuid)
        wait = self.track("waiting in the kernel", parent, 3).uuid
        for begin, end in zip(loop.waits.begin, loop.waits.end, strict=True):
            self.slice(wait, begin, end, OTHER_NAMES.index("waiting in the kernel"), "wait")
        if len(loop.gaps):
            gaps = self.track("not recorded", parent, 4).uuid
            for begin, end, steps in zip(loop.gaps.begin, loop.gaps.end, loop.gaps.steps, strict=True):
                event = self.slice(gaps, begin, end, OTHER_NAMES.index("steps not recorded"), "gap")
                if steps >= 0:
                    self.annotate(event, "steps", steps)
        flows = _Flows(loop)
        count = len(loop.tasks)
        callbacks = range(loop.first[count], loop.first[count + 1])
        if callbacks:
            self.spans(loop, callbacks, self.track("callbacks", parent, 5).uuid, flows)
        self.workers(loop, parent)
        uuids: list[int] = []
        for row in range(count):
            above = loop.tasks.parent[row]
            track = self.track(self.text(loop.tasks.name[row]), uuids[above] if above != NONE else parent, 1000 + row)
            track.description = self.description(loop, row)
            uuids.append(track.uuid)
            self.spans(loop, range(loop.first[row], loop.first[row + 1]), track.uuid, flows)
        self.flow += len(loop.spans)

    def text(self, string: int) -> str:
        return self.model.strings[string]

    def description(self, loop: LoopModel, row: int) -> str:
        tasks = loop.tasks
        parts = [f"task {tasks.id[row]}, {OUTCOMES[tasks.outcome[row]]}"]
        if tasks.coro[row]:
            parts.append(self.text(tasks.coro[row]))
        if tasks.place[row] != NONE:
            file, line, _, _ = self.model.places[tasks.place[row]]
            parts.append(f"{self.text(file)}:{line}")
        return ", ".join(parts)

    # -- what stands on them --

    def event(self, track: int, time: int, kind: int) -> Any:
        packet = self.packet()
        packet.timestamp = self.model.start_ns + time
        event = packet.track_event
        event.type = kind
        event.track_uuid = track
        return event

    def slice(self, track: int, begin: int, end: int, name: int, category: str) -> Any:
        """`name`: index into OTHER_NAMES."""
        event = self.event(track, begin, self.kinds.TYPE_SLICE_BEGIN)
        event.name_iid = len(NAMES) + 1 + name
        event.category_iids.append(CATEGORIES.index(category) + 1)
        self.event(track, end, self.kinds.TYPE_SLICE_END)
        return event

    def annotate(self, event: Any, name: str, value: int | str) -> None:
        annotation = event.debug_annotations.add()
        annotation.name_iid = ANNOTATIONS.index(name) + 1
        if isinstance(value, int):
            annotation.int_value = value
        else:
            annotation.string_value = value

    def spans(self, loop: LoopModel, numbers: range, track: int, flows: _Flows) -> None:
        spans, start, names = loop.spans, self.model.start_ns, self.first_name
        kinds, labels, places, by_whom = spans.kind, spans.label, spans.place, spans.by
        begin_kind, end_kind = self.kinds.TYPE_SLICE_BEGIN, self.kinds.TYPE_SLICE_END
        codes = [place[3] for place in self.model.places]
        code_name = ANNOTATIONS.index("code") + 1
        packet_of, base = self.packet, self.flow + 1
        first_flow, next_flow = flows.first, flows.next
        callback = len(NAMES) + 1 + OTHER_NAMES.index("callback")
        for number in numbers:
            kind, label, place, by = kinds[number], labels[number], places[number], by_whom[number]
            packet = packet_of()
            packet.timestamp = start + spans.begin[number]
            event = packet.track_event
            event.type = begin_kind
            event.track_uuid = track
            event.category_iids.append(kind + 1)
            if kind == AWAIT and label:
                event.name_iid = names + label
            elif kind == RUN and spans.lane[number] < 0:
                event.name_iid = names + label if label else callback
            else:
                event.name_iid = kind + 1
                if label:
                    self.annotate(event, "woken by" if kind == RUN else "awaited", self.text(label))
            if place != NONE:
                event.source_location_iid = place + 1
                if codes[place]:
                    annotation = event.debug_annotations.add()
                    annotation.name_iid = code_name
                    annotation.string_value_iid = place + 1
            # Ids of flows are numbers of spans, one for each that another one woke or held.
            if by != NONE:
                event.flow_ids.append(base + number)
            each = first_flow[number]
            while each != NONE:
                event.flow_ids.append(base + each)
                each = next_flow[each]
            packet = packet_of()
            packet.timestamp = start + spans.end[number]
            event = packet.track_event
            event.type = end_kind
            event.track_uuid = track

    def strip(self, loop: LoopModel, parent: int) -> None:
        tracks = []
        for rank, (name, unit) in enumerate((("utilisation", "%"), ("lag", ""))):
            track = self.track(name, parent, rank)
            if unit:
                track.counter.unit_name = unit
            else:
                track.counter.unit = self.counters.UNIT_TIME_NS
            tracks.append(track.uuid)
        strip = loop.strip
        before: tuple[float, int] = (-1.0, -1)
        for i in range(len(strip)):
            values = (100 * max(0.0, strip.utilisation[i]), strip.lag[i])
            for track, value, old in zip(tracks, values, before, strict=True):
                if value != old:
                    event = self.event(track, loop.begin + i * strip.width, self.kinds.TYPE_COUNTER)
                    if isinstance(value, float):
                        event.double_counter_value = value
                    else:
                        event.counter_value = value
            before = values

    def stalls(self, loop: LoopModel, track: int) -> None:
        for stall in loop.stalls:
            if stall.end < 0:
                continue  # the step was overwritten: it lies before the trace
            event = self.event(track, max(0, stall.begin), self.kinds.TYPE_INSTANT)
            event.category_iids.append(CATEGORIES.index("stall") + 1)
            event.name_iid = len(NAMES) + 1 + OTHER_NAMES.index("stall")
            self.annotate(event, "milliseconds", (stall.end - stall.begin) // 1_000_000)
            if stall.verdict:
                self.annotate(event, "verdict", stall.verdict)
            if stall.task != NONE:
                self.annotate(event, "task", self.text(loop.tasks.name[stall.task]))
            if stall.place != NONE:
                event.source_location_iid = stall.place + 1
                code = self.model.places[stall.place][3]
                if code:
                    self.annotate(event, "code", self.text(code))

    def workers(self, loop: LoopModel, parent: int) -> None:
        jobs = loop.jobs
        rows: dict[int, list[int]] = {}
        for row, worker in enumerate(jobs.worker):
            if worker != NONE and jobs.begin[row] != NONE and jobs.end[row] >= jobs.begin[row]:
                rows.setdefault(worker, []).append(row)
        for worker, (number, name) in enumerate(loop.workers):
            track = self.track(name, parent, 10 + worker % 900)
            track.description = f"worker {number}"
            for row in rows.get(worker, ()):
                if self.model.start_ns + jobs.begin[row] < 0:
                    continue
                event = self.slice(track.uuid, jobs.begin[row], jobs.end[row], OTHER_NAMES.index("job"), "job")
                if jobs.function[row]:
                    event.name_iid = self.first_name + jobs.function[row]
                if jobs.task[row] != NONE:
                    self.annotate(event, "task", self.text(loop.tasks.name[jobs.task[row]]))
                if jobs.executor[row]:
                    self.annotate(event, "executor", self.text(jobs.executor[row]))
                self.annotate(event, "outcome", JOB_OUTCOMES[jobs.outcome[row]])


ANNOTATIONS = (
    "code", "steps", "milliseconds", "verdict", "task", "executor", "outcome", "woken by", "awaited",
)  # fmt: skip
