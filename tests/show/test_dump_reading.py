"""Dumps that are damaged, cut short, foreign or hostile: what can be read is read; only DumpError is ever raised."""

import json
import os

import pytest
from dump_maker import MAGIC, MS, DumpMaker, blocked_jobs, chunk, json_chunk, many
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearloop.show import dump as dumps
from clearloop.show.dump import DumpError, read
from clearloop.show.model import AWAIT, UNKNOWN, build
from clearloop.show.records import RECORD

SOUND = blocked_jobs(3).bytes()
WORKERS = blocked_jobs(3, in_workers=True).bytes()
QUICK = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def positions():
    """Where the chunks of SOUND begin."""
    at = len(MAGIC)
    while at < len(SOUND):
        yield at
        at += 12 + int.from_bytes(SOUND[at + 4 : at + 8], "little")


def everything(data):
    """Read it and build its model, as `clearloop view` does; None when it says that it is no dump."""
    try:
        dump = read(data)
    except DumpError as error:
        assert str(error) and "\n" not in str(error)
        return None
    model = build(dump)
    for loop in model.loops:
        count = len(loop.spans)
        assert all(len(getattr(loop.spans, name)) == count for name in loop.spans.__slots__)
        assert all(-1 <= by < count for by in loop.spans.by)
        assert all(-1 <= place < len(model.places) for place in loop.spans.place)
        assert all(0 <= label < len(model.strings) for label in loop.spans.label)
        assert all(b <= e for b, e in zip(loop.spans.begin, loop.spans.end, strict=True))
        assert all(loop.begin <= b and e <= loop.end for b, e in zip(loop.spans.begin, loop.spans.end, strict=True))
        assert list(loop.spans.lane) == sorted(loop.spans.lane, key=lambda lane: (lane < 0, lane))
        assert all(-1 <= parent < row for row, parent in enumerate(loop.tasks.parent))
    return model


def test_a_sound_dump_has_no_problems():
    assert read(SOUND).problems == [] == read(WORKERS).problems


@pytest.mark.parametrize(
    "data, text",
    [
        (b"", "empty"),
        (b"CLEAR", "not a dump"),
        (b"PK\x03\x04" + bytes(100), "not a dump"),
        (b"<!doctype html>", "not a dump"),
        (b"CLEARLP\x02" + SOUND[8:], "version 2; this clearloop reads version 1"),
        (MAGIC + json_chunk(b"HEAD", {"version": 3, "clearloop": "9.1"}), r"version 3 \(clearloop 9.1"),
    ],
)
def test_what_is_no_dump_of_this_version_is_an_error(data, text, tmp_path):
    with pytest.raises(DumpError, match=text):
        read(data)
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(DumpError, match=text):
        read(path)


def test_a_file_that_is_no_dump_is_not_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DumpError, match="not a dump"):
        read(path)
    monkeypatch.setattr(dumps, "LARGEST", len(SOUND) - 1)
    path.write_bytes(SOUND)
    with pytest.raises(DumpError, match="larger than"):
        read(path)


def test_no_such_file_and_a_folder_are_oserrors(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(OSError):
            read(path)


def test_cut_anywhere_it_is_read_up_to_the_cut():
    raw = many(3000, tasks=5).bytes()
    whole = len(build(read(raw)).loops[0].spans)
    before = 0
    for cut in range(len(MAGIC), len(raw), 997):
        dump = read(raw[:cut])
        assert any("cut short" in problem for problem in dump.problems)
        spans = sum(len(loop.spans) for loop in everything(raw[:cut]).loops)
        assert before <= spans + 40 and spans <= whole + 10
        before = spans
    assert before > whole * 0.9


def test_records_before_the_cut_are_all_there():
    made = DumpMaker()
    for i in range(100):
        made.callback(i * 1000, 10)
    raw = made.bytes()
    end = raw.index(b"RECS") + 12
    for cut in range(0, 100 * 32, 31):
        assert len(everything(raw[: end + cut]).loops[0].spans) == cut // 32


def test_a_damaged_part_is_named_and_the_others_are_read():
    for at in positions():
        tag = SOUND[at : at + 4]
        if tag == b"DONE":
            continue
        damaged = bytearray(SOUND)
        damaged[at + 9] ^= 0x10
        dump = read(bytes(damaged))
        assert any(tag.decode() in problem for problem in dump.problems), tag
        assert everything(bytes(damaged)) is not None


def test_damaged_records_are_a_gap_and_nothing_is_told_across_it():
    made = DumpMaker()
    code = made.code("f", lines={2: (3, "await x")})
    made.task(1, 0, code, name="a")
    made.step(1, 10, 10, code=code, lasti=2)
    first = bytes(made.records[0])
    made.records[0].clear()
    made.callback(5000, 10)
    second = bytes(made.records[0])
    made.records[0].clear()
    made.step(1, 9000, 10, 2)
    third = bytes(made.records[0])
    made.records[0].clear()
    parts = [*made.chunks()]
    loop = (0).to_bytes(4, "little")
    damaged = bytearray(chunk(b"RECS", loop + second))
    damaged[20] ^= 1
    pieces = [chunk(b"RECS", loop + first), damaged, chunk(b"RECS", loop + third)]
    raw = MAGIC + b"".join([*parts[:-2], *pieces, parts[-1]])
    model = build(read(raw))
    loop = model.loops[0]
    assert "damaged" in model.problems[0]
    assert (list(loop.gaps.begin), list(loop.gaps.end), list(loop.gaps.steps)) == ([20], [9000], [-1])
    kinds = list(loop.spans.kind[loop.first[0] : loop.first[1]])
    assert UNKNOWN in kinds and AWAIT not in kinds


def test_parts_of_a_later_version_are_passed_over():
    model = everything(SOUND[:-12] + chunk(b"MORE", b"whatever") + SOUND[-12:])
    assert len(model.problems) == 1 and "kind that this version does not know" in model.problems[0]
    assert len(model.loops[0].stalls) == 3


def test_records_of_unknown_kinds_and_impossible_values_are_counted():
    made = blocked_jobs(2)
    made.record(77)
    made.record(250)
    made.record(0)  # never written: no problem
    made.step(1, -(1 << 62), 1)
    made.step(1, 1 << 61, 1)
    made.wake(0, 5)
    made.task(0, 5)
    made.head["monotonic_ns"] = made.origin + 10**9
    problems = everything(made.bytes()).problems
    assert problems == [
        "loop 0: 4 records with impossible values",
        "loop 0: 2 records of a kind that this version does not know",
    ]


HOSTILE_JSON = [
    "null", "1", '"x"', "[]", "{}", "[[]]", "[null]", "[[1]]", '[{"x": 1}]', "[" * 100_000, "{" * 1000, "1" * 5000,
    "NaN", '[[-1, "code", 5, 5, 5]]', '[[1e999, 2, 3, 4]]', '[[99999999999999999999, [], {}, 4, 5, 6, 7, 8, 9]]',
    '{"number": -1, "tasks": [[1,2,3,4,5,6,7,8,9], 5, [1, 1, "\\ud800", 1, 1e99, null, [], {}, "x"]]}',
    '{"number": 1e400, "tasks": {"a": 1}, "thread": ["x"]}', '{"version": "1"}', '{"version": true}',
    '{"version": 1, "monotonic_ns": -5, "clock_ns": 1e300, "loops": "abc", "program": 5}',
    '[{"begin_ns": -1, "end_ns": 1e99}, {"begin_ns": 5, "end_ns": 1}, {"begin_ns": 1, "end_ns": 2, "file": 5}]',
    '[{"begin_ns": 1000000100000, "end_ns": 1000100100000, "loop": 0, "file": "", "line": 4294967296, "x": [[[[]]]]}]',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_JSON, ids=lambda text: text[:30])
@pytest.mark.parametrize("tag", [b"HEAD", b"LOOP", b"STAL", b"CODE", b"LINE", b"WORK"])
def test_hostile_json(tag, text):
    at = next(at for at in positions() if SOUND[at : at + 4] == tag)
    end = at + 12 + int.from_bytes(SOUND[at + 4 : at + 8], "little")
    everything(SOUND[:at] + chunk(tag, text.encode()) + SOUND[end:])


def test_hostile_lengths_ask_for_no_memory():
    for length in (0xFFFFFFFF, 0x7FFFFFFF, 1 << 20):
        everything(MAGIC + b"RECS" + length.to_bytes(4, "little") + bytes(100))
        everything(MAGIC + b"LOOP" + length.to_bytes(4, "little"))


def test_texts_that_are_no_unicode_can_be_written():
    made = DumpMaker()
    made.live(1, name="\ud800<script>\0")
    model = everything(made.bytes())
    json.dumps(model.strings).encode()
    assert all(text.encode() or not text for text in model.strings)


def test_too_many_loops_are_a_problem():
    parts = b"".join(chunk(b"RECS", i.to_bytes(4, "little") + bytes(32)) for i in range(1500))
    model = everything(MAGIC + parts)
    assert len(model.loops) == dumps.MOST_LOOPS and any("more than" in problem for problem in model.problems)


def test_problems_are_few():
    parts = b"".join(b"RECS" + (8).to_bytes(4, "little") + bytes(12) for _ in range(500))
    assert len(read(MAGIC + parts).problems) <= dumps.MOST_PROBLEMS


@QUICK
@given(st.sampled_from([SOUND, WORKERS]), st.data())
def test_bytes_that_are_changed_cut_or_inserted(raw, data):
    raw = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        how = data.draw(st.integers(0, 3))
        if how == 0:
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == 1:
            del raw[at : at + data.draw(st.integers(1, 200))]
        elif how == 2:
            raw[at:at] = data.draw(st.binary(max_size=100))
        else:
            del raw[at:]
        if not raw:
            break
    everything(bytes(raw))


@QUICK
@given(st.binary(max_size=400))
def test_any_bytes(raw):
    everything(raw)
    everything(MAGIC + raw)


small = st.integers(0, 5)
moments = st.integers(0, 3000).map(lambda time: time * MS // 10)
fields = st.tuples(
    st.integers(0, 11), st.integers(0, 255) | small, small, small, moments | st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 30 * MS) | st.integers(0, 0xFFFFFFFF), small, st.sampled_from([0, 8, 10, 20]), small,
)  # fmt: skip


@QUICK
@given(st.lists(fields, max_size=60), st.booleans())
def test_any_records_with_sound_checksums(rows, knows_when):
    """Whatever the fields hold: kinds, hows and ids that meet each other, times in any order."""
    made = blocked_jobs(3)
    made.records[0].clear()
    made.head["monotonic_ns"] = made.origin + 400 * MS if knows_when else 0
    for kind, how, kind_id, actor, time, span, code, place, other in rows:
        raw = made.origin + time if abs(time) < 1 << 40 else time
        made.records[0] += RECORD.pack(kind, how, kind_id, actor, raw, span, code, place, other)
    made.live(2, name="alive", waits=1, code=2, lasti=8)
    everything(made.bytes())


def test_a_pipe_can_be_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    import threading

    writer = threading.Thread(target=path.write_bytes, args=(SOUND,))
    writer.start()
    assert read(path).problems == []
    writer.join()
