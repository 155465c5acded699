"""The Perfetto trace, read back with the messages of the official package: tracks, slices, flows, counters."""

import stat
import sys
from collections import Counter, defaultdict

import pytest
from dump_maker import MS, DumpMaker, blocked_jobs, many

from clearloop.show import perfetto
from clearloop.show.dump import read
from clearloop.show.model import AWAIT, HELD, NONE, RUN, build

pytest.importorskip("perfetto", reason="the extra clearloop[perfetto]")
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackDescriptor, TrackEvent


class Opened:
    """A trace as its readers see it: names instead of numbers, slices instead of begins and ends."""

    def __init__(self, path):
        trace = Trace()
        trace.ParseFromString(path.read_bytes())
        self.packets = trace.packet
        self.tracks = {}
        self.events = defaultdict(list)  # track: slices (name, begin, end, event), in order
        self.counters = defaultdict(list)
        self.instants = defaultdict(list)
        open_ = defaultdict(list)
        names, categories, places, annotations, values = {}, {}, {}, {}, {}
        self.incremental = []
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id == 1
            if packet.HasField("interned_data"):
                assert packet.sequence_flags & 1
                data = packet.interned_data
                names |= {entry.iid: entry.name for entry in data.event_names}
                categories |= {entry.iid: entry.name for entry in data.event_categories}
                places |= {p.iid: (p.file_name, p.line_number, p.function_name) for p in data.source_locations}
                annotations |= {entry.iid: entry.name for entry in data.debug_annotation_names}
                values |= {entry.iid: entry.str.decode() for entry in data.debug_annotation_string_values}
            elif packet.HasField("track_descriptor"):
                track = packet.track_descriptor
                assert track.uuid not in self.tracks
                assert not track.parent_uuid or track.parent_uuid in self.tracks
                self.tracks[track.uuid] = track
            elif packet.HasField("track_event"):
                assert packet.sequence_flags & 2
                event = packet.track_event
                assert event.track_uuid in self.tracks
                if event.type == TrackEvent.TYPE_SLICE_BEGIN:
                    open_[event.track_uuid].append((packet.timestamp, event))
                elif event.type == TrackEvent.TYPE_SLICE_END:
                    begin, began = open_[event.track_uuid].pop()
                    assert begin <= packet.timestamp
                    self.events[event.track_uuid].append((names[began.name_iid], begin, packet.timestamp, began))
                elif event.type == TrackEvent.TYPE_INSTANT:
                    self.instants[event.track_uuid].append((packet.timestamp, event))
                else:
                    self.counters[event.track_uuid].append((packet.timestamp, event))
        assert not any(open_.values())
        self.categories, self.places, self.annotations, self.values = categories, places, annotations, values

    def named(self, name):
        (track,) = (uuid for uuid, track in self.tracks.items() if track.name == name)
        return track

    def category(self, event):
        (number,) = event.category_iids
        return self.categories[number]

    def notes(self, event):
        found = {}
        for note in event.debug_annotations:
            value = self.values[note.string_value_iid] if note.string_value_iid else note.string_value or note.int_value
            found[self.annotations[note.name_iid]] = value
        return found


def opened(made, tmp_path):
    model = build(read(made.bytes()))
    path = tmp_path / "out.pftrace"
    perfetto.write(model, path)
    return model, Opened(path)


def test_every_span_is_a_slice_on_the_track_of_its_task(tmp_path):
    model, trace = opened(blocked_jobs(4), tmp_path)
    loop = model.loops[0]
    for row in range(len(loop.tasks)):
        track = trace.named(model.strings[loop.tasks.name[row]])
        spans = range(loop.first[row], loop.first[row + 1])
        start = model.start_ns
        assert [(start + loop.spans.begin[i], start + loop.spans.end[i]) for i in spans] == [
            (begin, end) for _, begin, end, _ in trace.events[track]
        ]
        kinds = ["run", "await", "held", "ready", "unknown"]
        assert [kinds[loop.spans.kind[i]] for i in spans] == [trace.category(e) for *_, e in trace.events[track]]


def test_tracks_stand_below_the_track_of_who_created_them(tmp_path):
    _, trace = opened(blocked_jobs(3), tmp_path)
    job = trace.tracks[trace.named("job-1")]
    main = trace.tracks[job.parent_uuid]
    loop = trace.tracks[main.parent_uuid]
    process = trace.tracks[loop.parent_uuid]
    assert (main.name, loop.name) == ("main", "loop 0 (MainThread)")
    assert (process.process.pid, process.process.process_name) == (4711, "app.py")
    assert job.sibling_merge_behavior == TrackDescriptor.SIBLING_MERGE_BEHAVIOR_NONE
    assert "task 3, returned, job, app.py:10" == job.description


def test_lines_and_what_is_awaited(tmp_path):
    _, trace = opened(blocked_jobs(2, in_workers=True), tmp_path)
    name, _, _, event = trace.events[trace.named("job-0")][2]
    assert name == "job of sleep()" and trace.category(event) == "await"
    assert trace.places[event.source_location_iid] == ("app.py", 12, "job")
    assert trace.notes(event) == {"code": "await clearloop.run_sync(time.sleep, 0.2)"}
    worker = trace.named("clearloop-worker-1")
    ((name, begin, end, event),) = trace.events[worker]
    assert (name, end - begin, trace.category(event)) == ("sleep", 200 * MS, "job")
    assert trace.notes(event) == {"task": "job-1", "executor": "ThreadPool", "outcome": "delivered"}


def test_flows_lead_from_who_woke_or_held_to_whom(tmp_path):
    model, trace = opened(blocked_jobs(10), tmp_path)
    ends = defaultdict(list)
    for track, events in trace.events.items():
        for name, begin, _, event in events:
            for flow in event.flow_ids:
                ends[flow].append((trace.tracks[track].name, name, begin))
    spans = model.loops[0].spans
    assert len(ends) == sum(by != NONE for by in spans.by)
    assert all(len(pair) == 2 for pair in ends.values())
    held = Counter(frozenset(who for who, _, _ in pair) for pair in ends.values() if any("held" in end for end in pair))
    assert len(held) == 9 and all(len(pair) == 2 for pair in held)


def test_counters_and_stalls(tmp_path):
    model, trace = opened(blocked_jobs(3), tmp_path)
    lag = trace.counters[trace.named("lag")]
    assert max(event.counter_value for _, event in lag) == max(model.loops[0].strip.lag)
    busy = trace.counters[trace.named("utilisation")]
    assert busy[0][1].double_counter_value == 100
    times = [time for time, _ in lag]
    assert times == sorted(times)
    stalls = trace.instants[trace.named("stalls")]
    assert len(stalls) == 3
    notes = trace.notes(stalls[0][1])
    assert notes == {"milliseconds": 200, "verdict": "blocking", "task": "job-0", "code": "time.sleep(0.2)"}


def test_the_clock_is_the_monotonic_one_and_the_time_of_day_is_there(tmp_path):
    model, trace = opened(blocked_jobs(2), tmp_path)
    snapshot = trace.packets[0].clock_snapshot
    assert {clock.clock_id: clock.timestamp for clock in snapshot.clocks} == {3: model.start_ns, 1: model.wall_ns}
    assert snapshot.primary_trace_clock == trace.packets[1].trace_packet_defaults.timestamp_clock_id == 3


def test_gaps_waits_and_callbacks(tmp_path):
    made = DumpMaker()
    tick = made.code("tick", "app.py", 5)
    made.callback(0, 10, tick)
    made.gap(20, 30, 99)
    made.wait(60, 40)
    made.callback(100, 5)
    _, trace = opened(made, tmp_path)
    ((_, begin, end, event),) = trace.events[trace.named("not recorded")]
    assert (end - begin, trace.notes(event)) == (30, {"steps": 99})
    assert [end - begin for _, begin, end, _ in trace.events[trace.named("waiting in the kernel")]] == [40]
    assert [name for name, *_ in trace.events[trace.named("callbacks")]] == ["tick", "callback"]


def test_tasks_of_one_name_and_hostile_names(tmp_path):
    made = DumpMaker()
    for task in range(1, 4):
        made.task(task, task, name="same\n<b>\0")
        made.step(task, 10 * task, 5, 2)
    _, trace = opened(made, tmp_path)
    assert sum(track.name == "same\n<b>\0" for track in trace.tracks.values()) == 3


def test_many_batches(tmp_path):
    model, trace = opened(many(6000, tasks=30), tmp_path)
    slices = sum(map(len, trace.events.values()))
    spans = model.loops[0].spans
    assert len(trace.packets) > 2 * perfetto.BATCH
    assert slices == len(spans) + len(model.loops[0].waits)
    kinds = Counter(trace.category(event) for events in trace.events.values() for *_, event in events)
    assert [kinds["run"], kinds["await"], kinds["held"]] == [list(spans.kind).count(k) for k in (RUN, AWAIT, HELD)]


def test_the_file_is_the_owners_and_whole_or_not_there(tmp_path, monkeypatch):
    model = build(read(blocked_jobs(2).bytes()))
    path = tmp_path / "out.pftrace"
    perfetto.write(model, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    monkeypatch.setattr(perfetto._Trace, "stalls", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        perfetto.write(model, path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["out.pftrace"]


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, perfetto.MESSAGES, None)
    with pytest.raises(perfetto.Missing, match=r"pip install 'clearloop\[perfetto\]'"):
        perfetto.write(build(read(blocked_jobs(2).bytes())), tmp_path / "out.pftrace")
    assert list(tmp_path.iterdir()) == []
