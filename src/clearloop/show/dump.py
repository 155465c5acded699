"""Reads a dump file: chunks, checksums, JSON, raw records.  A dump may come from a crash, or from somebody hostile.

What can be read is read; what cannot is said in `Dump.problems`.  Only what is no dump at all, or one of another
version, is an error.  Lengths are believed only as far as the file goes, numbers and texts from JSON only within
bounds, and records are not looked at: they stay slices of the file's bytes, for `building.py` to unpack one by one.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass, field
from typing import Any

from clearloop.show import records

LARGEST = 2 << 30  # bytes of a file that is taken into memory
LARGEST_JSON = 32 << 20
LONGEST_TEXT = 1000
MOST_LOOPS = 1000
MOST_PROBLEMS = 20
U32 = 0xFFFFFFFF
LATEST = 1 << 62  # ns; no clock shows more


class DumpError(Exception):
    """Not a dump that this version can read; the text says why, in one line."""


@dataclass(slots=True)
class Head:
    version: int = records.VERSION
    clearloop: str = ""
    python: str = ""
    pid: int = 0
    program: str = ""
    clock_ns: int = 0
    monotonic_ns: int = 0
    reason: str = ""
    loops: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Live:
    """A task that had not ended when the dump was made."""

    id: int
    parent: int
    name: str
    coro: int  # id of its coroutine's code
    created_ms: int  # on the monotonic clock; -1 unknown
    waits_type: int  # table id of the type of what it waits for, 0 none
    waits_other: int  # id of the task or job that it waits for
    code: int  # its innermost frame
    lasti: int


@dataclass(slots=True)
class LoopDump:
    number: int
    thread: str = ""
    capacity: int = 0
    written: int = 0
    kept: int = 0
    overwritten: int = 0
    recorded_since_ns: int = 0
    credits: int = 0
    tasks: list[Live] = field(default_factory=list)
    # raw records in order, whole ones only; None where a damaged piece is missing
    pieces: list[memoryview | None] = field(default_factory=list)


@dataclass(slots=True)
class Code:
    """A code object, or a type, that records name by its id."""

    kind: str  # "code" or "type"
    qualname: str
    file: str
    line: int  # the first one; 0 unknown


@dataclass(slots=True)
class Dump:
    head: Head = field(default_factory=Head)
    loops: list[LoopDump] = field(default_factory=list)
    stalls: list[dict[str, Any]] = field(default_factory=list)
    codes: dict[int, Code] = field(default_factory=dict)
    lines: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)  # (code id, lasti): line, its text
    workers: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        if len(self.problems) < MOST_PROBLEMS and text not in self.problems:
            self.problems.append(text)


def read(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Dump:
    """Read a dump from a file, or from its bytes.

    Raises DumpError when it is not a dump, or one of another version; OSError when the file cannot be read.
    """
    data = source if isinstance(source, bytes | bytearray | memoryview) else _bytes_of(source)
    view = memoryview(data)
    if len(view) < len(records.MAGIC) or view[:7] != records.MAGIC[:7]:
        raise DumpError("not a dump of clearloop" if len(view) else "the file is empty")
    if view[7] != records.VERSION:
        raise DumpError(f"a dump of version {view[7]}; this clearloop reads version {records.VERSION}")
    dump = Dump()
    _Reader(dump).chunks(view)
    return dump


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        start = file.peek(len(records.MAGIC))
        if start[:7] != records.MAGIC[:7]:
            return start  # which says enough, however large the rest
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise DumpError(f"larger than {LARGEST >> 30} GiB")
        return file.read()


class _Reader:
    """Takes the chunks into the dump, each kind by the method that has its tag."""

    def __init__(self, dump: Dump) -> None:
        self.dump = dump
        self.loops: dict[int, LoopDump] = {}
        self.done = False
        self.headed = False
        self.takers = {
            b"HEAD": self.head,
            b"LOOP": self.loop,
            b"STAL": self.stalls,
            b"CODE": self.codes,
            b"LINE": self.lines,
            b"WORK": self.workers,
        }

    def chunks(self, view: memoryview) -> None:
        at, size = len(records.MAGIC), len(view)
        unknown = 0
        while at < size and not self.done:
            tag = bytes(view[at : at + 4])
            if not tag.isalnum() or not tag.isascii():
                self.dump.problem(f"damaged from byte {at} on: the rest was not read")
                break
            begin = at + 8
            length = int.from_bytes(view[at + 4 : begin], "little") if begin <= size else 0
            end = begin + length
            whole = end + 4 <= size and begin <= size
            payload = view[begin : min(end, size)]
            sound = whole and zlib.crc32(payload) == int.from_bytes(view[end : end + 4], "little")
            if whole and not sound:
                self.dump.problem(f"the part {tag.decode()} at byte {at} is damaged")
            if tag == b"RECS":
                self.records(payload, sound, whole)
            elif tag == b"DONE":
                self.done = whole
            elif tag in self.takers:
                if sound:
                    self.take(tag, payload)
            else:
                unknown += 1
            at = end + 4
        if unknown:
            self.dump.problem(f"{unknown} parts of a kind that this version does not know")
        if not self.headed:
            self.dump.problem("what program it was is missing")
        if not self.done:
            self.dump.problem("the file is cut short: what follows is up to the cut")

    def take(self, tag: bytes, payload: memoryview) -> None:
        name = tag.decode()
        if len(payload) > LARGEST_JSON:
            return self.dump.problem(f"the part {name} is too large")
        try:
            content = json.loads(bytes(payload))
        except (ValueError, RecursionError):
            return self.dump.problem(f"the part {name} is no valid JSON")
        if not self.takers[tag](content):
            self.dump.problem(f"the part {name} holds what it should not")

    # -- the kinds; each says whether all of it was as it should be --

    def head(self, content: object) -> bool:
        if not isinstance(content, dict):
            return False
        self.headed = True
        version = _int(content.get("version"), 0)
        if version != records.VERSION:
            made = f"clearloop {_text(content.get('clearloop'))}, " if content.get("clearloop") else ""
            raise DumpError(f"a dump of version {version} ({made}this clearloop reads version {records.VERSION})")
        loops = content.get("loops")
        self.dump.head = Head(
            version,
            _text(content.get("clearloop")),
            _text(content.get("python")),
            _int(content.get("pid"), 0),
            _text(content.get("program")),
            _int(content.get("clock_ns"), 0, LATEST),
            _int(content.get("monotonic_ns"), 0, LATEST),
            _text(content.get("reason")),
            [_int(each, 0) for each in loops[:MOST_LOOPS]] if isinstance(loops, list) else [],
        )
        return True

    def loop(self, content: object) -> bool:
        if not isinstance(content, dict):
            return False
        loop = self.loop_of(_int(content.get("number"), 0))
        if loop is None:
            return False
        thread = content.get("thread")
        loop.thread = _text(thread) if not isinstance(thread, int) else str(thread)
        for name in ("capacity", "written", "kept", "overwritten", "recorded_since_ns", "credits"):
            setattr(loop, name, _int(content.get(name), 0, LATEST))
        if content.get("recording") is False:
            self.dump.problem(
                f"loop {loop.number} has recorded nothing: recording is off (CLEARLOOP_RECORD=0), or it has not run yet"
            )
        rows = content.get("tasks")
        well = isinstance(rows, list)
        for row in rows if isinstance(rows, list) else ():
            if not isinstance(row, list) or len(row) < 9 or not _int(row[0], 0):
                well = False
                continue
            numbers = [_int(row[i], 0) for i in (0, 1, 3, 5, 6, 7, 8)]
            task, parent, coro, waits_type, waits_other, code, lasti = numbers
            created = _int(row[4], -1, LATEST // 1_000_000)
            loop.tasks.append(Live(task, parent, _text(row[2]), coro, created, waits_type, waits_other, code, lasti))
        return well

    def stalls(self, content: object) -> bool:
        if not isinstance(content, list):
            return False
        self.dump.stalls = [_bounded(each) for each in content[:1000] if isinstance(each, dict)]
        return len(self.dump.stalls) == len(content)

    def codes(self, content: object) -> bool:
        well = isinstance(content, list)
        for row in content if isinstance(content, list) else ():
            if isinstance(row, list) and len(row) >= 5 and _int(row[0], 0):
                kind = "type" if row[1] == "type" else "code"
                self.dump.codes[row[0]] = Code(kind, _text(row[2]), _text(row[3]), _int(row[4], 0))
            else:
                well = False
        return well

    def lines(self, content: object) -> bool:
        well = isinstance(content, list)
        for row in content if isinstance(content, list) else ():
            if isinstance(row, list) and len(row) >= 4 and _int(row[0], 0):
                self.dump.lines[row[0], _int(row[1], 0)] = _int(row[2], 0), _text(row[3])
            else:
                well = False
        return well

    def workers(self, content: object) -> bool:
        well = isinstance(content, list)
        for row in content if isinstance(content, list) else ():
            if isinstance(row, list) and len(row) >= 2 and _int(row[0], 0):
                self.dump.workers[row[0]] = _text(row[1])
            else:
                well = False
        return well

    def records(self, payload: memoryview, sound: bool, whole: bool) -> None:
        if len(payload) < 4:
            return
        raw = payload[4:]
        usable = len(raw) - len(raw) % records.SIZE
        if whole and not sound:
            # Which bytes are wrong nobody knows, not even whether the loop's number is right: a hole in every loop.
            for loop in self.loops.values():
                loop.pieces.append(None)
            return
        into = self.loop_of(int.from_bytes(payload[:4], "little"))
        if into is None:
            return
        if whole and usable != len(raw):
            self.dump.problem("a part RECS ends within a record")
        into.pieces.append(raw[:usable])

    def loop_of(self, number: int) -> LoopDump | None:
        loop = self.loops.get(number)
        if loop is None:
            if len(self.loops) >= MOST_LOOPS:
                self.dump.problem(f"more than {MOST_LOOPS} loops")
                return None
            loop = self.loops[number] = LoopDump(number)
            self.dump.loops.append(loop)
        return loop


# -- what JSON may hold --


def _int(value: object, default: int, most: int = U32) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
        return value
    return default


def _text(value: object) -> str:
    """A text of bounded length that can be written as UTF-8."""
    if not isinstance(value, str):
        return ""
    return value[:LONGEST_TEXT].encode("utf-8", "replace").decode()


def _bounded(report: dict[str, Any], depth: int = 3) -> dict[str, Any]:
    """A report with nothing in it that its readers would not expect."""
    kept: dict[str, Any] = {}
    for key, value in list(report.items())[:50]:
        kept[_text(key)] = _plain(value, depth)
    return kept


def _plain(value: object, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LATEST else None
    if isinstance(value, float):
        return value if abs(value) < 1e18 else None  # neither infinite nor nan
    if depth and isinstance(value, list):
        return [_plain(each, depth - 1) for each in value[:200]]
    if depth and isinstance(value, dict):
        return _bounded(value, depth - 1)
    return None
