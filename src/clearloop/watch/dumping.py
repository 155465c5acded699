"""Dumps: what the recorder of every loop holds, written to a file that says all that is needed to read it.

    collect   under the GIL: the rings are copied (some 10 ms for 8 MiB), live tasks are listed, tables are taken
    encode    chunk by chunk, as they are wanted: lines are looked up in sources, JSON is made, records are cut up
    write     each chunk as soon as it is there

It works from any thread, also while a loop is blocked, and takes nothing from the loop but the time of the copy.  What
a dump holds are names, lines, numbers and times: no value of a variable, no argument, no code of the program's is run.
"""

import os
import platform
import struct
import sys
import threading
import time

from clearloop.engine import interned, registry, workers
from clearloop.engine.names import plain, thread_name
from clearloop.watch import dump_file, program
from clearloop.watch.sources import Lines

RECORD = struct.Struct("<BBHIqIIII")  # kind, how, type, actor, time, span, code, place, other
STEP, NAME, JOB, STALL = 1, 3, 7, 8  # kinds of records that are looked into
SUSPENDED, YIELDED, RAISED, CALLBACK = 0, 1, 3, 5  # how a step ended
RAN = 1  # a job
HOW, COARSE = 0xF, 0x80  # in `how`: what happened; the span is in units of 1024 ns
WITHIN = 0x20  # of a step: `other` is a code


def dump(path):
    """Write what the recorders of all loops hold to the file `path`, for `clearloop view`.

    It may be called from any thread, also while a loop is blocked. An existing file is replaced; only its owner may
    read it (mode 0600). Raises OSError when it cannot be written, or when `path` is a link, no regular file, or a file
    of somebody else's.
    """
    write(path, "asked")


def write(path, reason):
    """Write a dump to `path` for a reason ("asked", "stall" or "exit")."""
    path = os.fspath(path)
    number = dump_file.open_anew(path)
    try:
        dump_file.write_all(number, collect(reason))
    finally:
        os.close(number)


def collect(reason="asked", empty=True):
    """Take what the recorders hold now; return an iterator over the dump in pieces, each a bytes object.

    Unless it may be `empty`, it raises LookupError where no loop has a recorder.
    """
    snapshot = Snapshot(reason)
    if not empty and not any(taken.on for taken in snapshot.loops):
        raise LookupError("no loop of clearloop's records in that process")
    return snapshot.encoded()


class Snapshot:
    """All that is taken from the program at once; everything else is made of it."""

    def __init__(self, reason):
        self.reason = reason
        ongoing = reports("going_on")  # first: what ends meanwhile is among the recent
        self.loops = [Taken(number, loop) for number, loop in registry.numbered()]
        self.monotonic = time.monotonic_ns()
        self.clock = time.time_ns()
        self.table = interned.table()
        self.stalls = reports("recent")
        over = {(report["loop"], report["begin_ns"]) for report in self.stalls}
        self.stalls += [report for report in ongoing if (report["loop"], report["begin_ns"]) not in over]
        self.workers = worker_names()

    def encoded(self):
        yield dump_file.MAGIC
        yield dump_file.json_chunk(b"HEAD", self.head())
        for taken in self.loops:
            yield dump_file.json_chunk(b"LOOP", taken.head())
        yield dump_file.json_chunk(b"STAL", self.stalls)
        used = Used(self.loops)
        yield dump_file.json_chunk(b"CODE", [row for row in map(self.code_row, sorted(used.ids)) if row is not None])
        yield dump_file.json_chunk(b"LINE", list(self.line_rows(used)))
        yield dump_file.json_chunk(
            b"WORK", [[number, self.workers.get(number, f"worker {number}")] for number in sorted(used.workers)]
        )
        for taken in self.loops:
            yield from dump_file.record_chunks(taken.number, taken.records)
        yield dump_file.chunk(b"DONE")

    def head(self):
        return {
            "version": dump_file.VERSION,
            "clearloop": str(getattr(sys.modules.get("clearloop"), "__version__", "")),
            "python": platform.python_version(),
            "pid": os.getpid(),
            "program": program.name(),
            "clock_ns": self.clock,
            "monotonic_ns": self.monotonic,
            "reason": self.reason,
            "loops": [taken.number for taken in self.loops],
        }

    def entry(self, number):
        return self.table[number] if 0 < number < len(self.table) else None

    def code_row(self, number):
        entry = self.entry(number)
        if entry is None:
            return None
        if type(entry) is tuple:
            return [number, "type", plain(entry[1]), None, None]
        return [number, "code", entry.co_qualname, entry.co_filename, entry.co_firstlineno]

    def line_rows(self, used):
        lines = Lines()
        for number, lasti in sorted(used.places):
            code = self.entry(number)
            if code is not None and type(code) is not tuple:
                line, text = lines.find(code, lasti)
                yield [number, lasti, line, text]


def reports(which):
    """Stalls, from reporting.py, if that is loaded: else nothing has been reported."""
    give = getattr(sys.modules.get("clearloop.watch.reporting"), which, None)  # another thread may just import it
    return give() if give is not None else []


class Taken:
    """What was taken of one loop: its live tasks, and a copy of its ring."""

    def __init__(self, number, loop):
        self.number = number
        # The tasks first: of one that ends in between, the records tell.
        self.tasks = loop._recorded_tasks()
        recording = loop._recording()
        self.on = recording is not None
        self.capacity, self.written, self.records, self.since, self.credits, step = recording or (0, 0, b"", 0, 0, None)
        self.kept = len(self.records) // RECORD.size
        if step is not None:
            self.records += unfinished(*step)
        self.thread = thread_name(loop._ran_in())

    def head(self):
        return {
            "number": self.number,
            "thread": self.thread,
            "recording": self.on,
            "capacity": self.capacity,
            "written": self.written,
            "kept": self.kept,
            "overwritten": self.written - self.kept,
            "recorded_since_ns": self.since,
            "credits": self.credits,
            "tasks": self.tasks,
        }


def unfinished(since, task, callback):
    """A record of the step that runs while the dump is made, which has none yet: it may be what holds the loop."""
    span = max(0, time.monotonic_ns() - since)
    how = YIELDED if task else CALLBACK
    if span > 0xFFFFFFFF:
        how |= COARSE
        span = min(span >> 10, 0xFFFFFFFF)
    return RECORD.pack(STEP, how, 0, task, since, span, 0 if task else callback, 0, 0)


class Used:
    """The numbers that records and tasks name: only what these stand for is written."""

    def __init__(self, loops):
        self.ids = set()
        self.places = set()
        self.workers = set()
        for taken in loops:
            self.of_records(taken.records)
            for _, _, _, coro, _, waits_type, _, code, lasti in taken.tasks:
                self.ids.update((coro, waits_type, code))
                if code:
                    self.places.add((code, lasti))
        self.ids.discard(0)

    def of_records(self, records):
        """By columns: a quarter of a million records are gone through in some 50 ms."""
        kinds = records[0 :: RECORD.size]
        hows = records[1 :: RECORD.size]
        types = memoryview(records).cast("H")[1::16]
        words = memoryview(records).cast("I")
        codes, places, others = words[5::8], words[6::8], words[7::8]
        for kind, number in set(zip(kinds, types, strict=True)):
            if kind != NAME:
                self.ids.add(number)
        for kind, how, code, place in set(zip(kinds, hows, codes, places, strict=True)):
            if kind == NAME or not code:
                continue
            self.ids.add(code)
            if kind == STALL or (kind == STEP and how & HOW in (SUSPENDED, YIELDED)):
                self.places.add((code, place))
        for kind, how, other in set(zip(kinds, hows, others, strict=True)):
            if kind == JOB and how & HOW == RAN and other:
                self.workers.add(other)
            elif kind == STEP and how & WITHIN:
                self.ids.add(other)


def worker_names():
    """Names of the workers, by native thread id or process id; of threads that have ended as well."""
    names = dict(workers.known)
    for thread in list(threading._active.values()):
        number = getattr(thread, "_native_id", None)
        if number in names:
            names[number] = plain(getattr(thread, "_name", None)) or names[number]
    return names
