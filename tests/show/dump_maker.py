"""Makes dumps by hand, record by record, for tests of what reads them: the recorder itself is not needed.

    made = DumpMaker()
    code = made.code("fetch", "app.py", 10, {4: (12, "await sleep(1)")})
    made.run(0)
    made.task(1, 0, code, name="main")
    made.step(1, 0, 5_000_000, SUSPENDED, waits=made.type("SleepFuture"), code=code, lasti=4)
    made.write(path)

Times are ns since `made.origin`.
"""

import json
import zlib

from clearloop.show.records import (
    BEGAN,
    BY_STEP,
    BY_TIMER,
    CALLBACK,
    COARSE,
    COARSE_SHIFT,
    CREATED,
    GAP,
    JOB,
    MAGIC,
    NAME,
    NAME_BYTES,
    RAN,
    RECORD,
    RETURNED,
    RUN,
    STALL,
    STEP,
    STOPPED,
    SUBMITTED,
    SUSPENDED,
    TASK,
    WAIT,
    WAKE,
    YIELDED,
)

MS = 1_000_000


def chunk(tag, payload):
    return tag + len(payload).to_bytes(4, "little") + payload + zlib.crc32(payload).to_bytes(4, "little")


def json_chunk(tag, content):
    return chunk(tag, json.dumps(content).encode())


class DumpMaker:
    def __init__(self, origin=1_000_000_000_000):
        self.origin = origin
        self.head = {
            "version": 1,
            "clearloop": "0.1.0",
            "python": "3.13.0",
            "pid": 4711,
            "program": "app.py",
            "clock_ns": 1_700_000_000_000_000_000,
            "monotonic_ns": None,  # of the last record
            "reason": "asked",
            "loops": [0],
        }
        self.loops = {0: {"number": 0, "thread": "MainThread", "capacity": 1 << 18, "overwritten": 0, "tasks": []}}
        self.records = {0: bytearray()}
        self.number = 0  # of the loop that records go to
        self.codes = []
        self.lines = []
        self.workers = []
        self.stalls = []
        self.last = 0

    # -- tables --

    def code(self, qualname, file="app.py", line=1, lines=None):
        """Intern a code object; `lines`: {lasti: (line, source text)}."""
        number = len(self.codes) + 1
        self.codes.append([number, "code", qualname, file, line])
        self.lines += [[number, lasti, *line] for lasti, line in (lines or {}).items()]
        return number

    def type(self, qualname):
        self.codes.append([len(self.codes) + 1, "type", qualname, None, None])
        return len(self.codes)

    def loop(self, number, **fields):
        """Records go to this loop from now on."""
        self.number = number
        self.records.setdefault(number, bytearray())
        fresh = {"number": number, "thread": f"Thread-{number}", "capacity": 1 << 18, "overwritten": 0, "tasks": []}
        self.loops.setdefault(number, fresh).update(fields)
        self.head["loops"] = list(self.loops)

    def live(self, task, parent=0, name="", coro=0, created=None, waits=0, other=0, code=0, lasti=0):
        """A task that has not ended when the dump is made; `created` in ns."""
        created_ms = None if created is None else (self.origin + created) // 1_000_000
        self.loops[self.number]["tasks"].append([task, parent, name, coro, created_ms, waits, other, code, lasti])

    def worker(self, number, name):
        self.workers.append([number, name])

    def report(self, begin, end, **fields):
        self.stalls.append({"begin_ns": self.origin + begin, "end_ns": self.origin + end, **fields})

    # -- records --

    def record(self, kind, how=0, type=0, actor=0, time=0, span=0, code=0, place=0, other=0):
        if span > 0xFFFFFFFF:
            how |= COARSE
            span >>= COARSE_SHIFT
        self.last = max(self.last, time + span)
        self.records[self.number] += RECORD.pack(kind, how, type, actor, self.origin + time, span, code, place, other)

    def run(self, time, how=BEGAN):
        self.record(RUN, how, time=time)

    def stop(self, time):
        self.run(time, STOPPED)

    def task(self, task, time, code=0, parent=0, name=None, how=CREATED, serial=0):
        self.record(TASK, how, actor=task, time=time, code=code, place=serial, other=parent)
        if name is not None:
            self.name(task, name)

    def name(self, task, name):
        raw = name.encode()
        for i, at in enumerate(range(0, len(raw) or 1, NAME_BYTES)):
            piece = raw[at : at + NAME_BYTES]
            head = RECORD.pack(NAME, len(piece), i, task, 0, 0, 0, 0, 0)[:8]
            self.records[self.number] += head + piece.ljust(NAME_BYTES, b"\0")

    def step(self, task, time, span, how=SUSPENDED, waits=0, other=0, code=0, lasti=0):
        self.record(STEP, how, waits, task, time, span, code, lasti, other)

    def callback(self, time, span, code=0, how=CALLBACK):
        self.record(STEP, how, 0, 0, time, span, code)

    def wake(self, task, time, by=0, how=BY_STEP, code=0):
        self.record(WAKE, how, actor=task, time=time, code=code, other=by)

    def wait(self, time, span):
        self.record(WAIT, time=time, span=span)

    def gap(self, time, span, steps):
        self.record(GAP, time=time, span=span, other=steps)

    def job(self, job, time, how=SUBMITTED, span=0, other=0, code=0, type=0):
        self.record(JOB, how, type, job, time, span, code, 0, other)

    def stall(self, task, time, span, verdict=1, code=0, lasti=0):
        self.record(STALL, verdict, actor=task, time=time, span=span, code=code, place=lasti)

    # -- the file --

    def chunks(self):
        head = dict(self.head)
        if head["monotonic_ns"] is None:
            head["monotonic_ns"] = self.origin + self.last
        yield json_chunk(b"HEAD", head)
        for number, loop in self.loops.items():
            kept = len(self.records[number]) // RECORD.size
            counts = {"kept": kept, "written": kept + loop["overwritten"], "recorded_since_ns": self.origin}
            yield json_chunk(b"LOOP", counts | {"credits": 0} | loop)
        yield json_chunk(b"STAL", self.stalls)
        yield json_chunk(b"CODE", self.codes)
        yield json_chunk(b"LINE", self.lines)
        yield json_chunk(b"WORK", self.workers)
        for number, raw in self.records.items():
            most = (1 << 20) - 32
            for at in range(0, len(raw), most):
                yield chunk(b"RECS", number.to_bytes(4, "little") + bytes(raw[at : at + most]))
        yield chunk(b"DONE", b"")

    def bytes(self):
        return MAGIC + b"".join(self.chunks())

    def write(self, path):
        with open(path, "wb") as file:
            file.write(MAGIC)
            for each in self.chunks():
                file.write(each)
        return path


def blocked_jobs(n=10, hold=200 * MS, in_workers=False):
    """n tasks that each call time.sleep, started together: n - 1 of them wait at first.  Or the same in workers."""
    made = DumpMaker()
    main = made.code("main", "app.py", 20, {10: (24, "await asyncio.gather(*[job(i) for i in range(10)])")})
    awaits = "await clearloop.run_sync(time.sleep, 0.2)"
    job = made.code("job", "app.py", 10, {8: (12, "time.sleep(0.2)"), 20: (12, awaits)})
    sleep = made.code("sleep", None, 0)
    gather = made.type("_GatheringFuture")
    call = made.type("Call")
    threads = made.type("ThreadPool")
    made.run(0)
    made.task(1, 1000, main, name="main")
    for i in range(n):
        made.task(2 + i, 10_000 + 1000 * i, job, parent=1, name=f"job-{i}")
    made.step(1, 2000, 50_000, SUSPENDED, gather, code=main, lasti=10)
    time = 60_000
    if in_workers:
        for i in range(n):
            made.job(100 + i, time + 2000, SUBMITTED, other=2 + i, code=sleep, type=threads)
            made.step(2 + i, time, 5000, SUSPENDED, call, 100 + i, job, 20)
            made.worker(5000 + i, f"clearloop-worker-{i}")
            time += 6000
        made.wait(time, hold)
        for i in range(n):
            made.job(100 + i, 63_000 + 6000 * i, RAN, hold, 5000 + i, sleep, threads)
            made.wake(2 + i, time + hold, how=2)
        time += hold + 5000
        for i in range(n):
            made.job(100 + i, time, 2, other=2 + i, code=sleep, type=threads)
            made.step(2 + i, time, 5000, RETURNED)
            time += 6000
    else:
        for i in range(n):
            made.stall(2 + i, time, hold, 1, job, 8)
            made.step(2 + i, time, hold, RETURNED)
            made.report(
                time, time + hold, seconds=hold / 1e9, verdict="blocking", task=f"job-{i}", file="app.py", line=12,
                function="job", code="time.sleep(0.2)", call="time.sleep", loop=0, delayed_count=n - 1 - i, steps=1,
            )  # fmt: skip
            time += hold + 1000
    made.wake(1, time - 500, by=1 + n)
    made.step(1, time, 20_000, RETURNED)
    made.stop(time + 30_000)
    return made


def many(records=1_000_000, tasks=100, step=20_000):
    """A dump of `records` records: tasks that sleep, wake each other, yield, and now and then hold the loop."""
    made = DumpMaker()
    code = made.code("worker", "app.py", 10, {i: (12 + i, f"await queue.get()  # {i}") for i in range(0, 40, 2)})
    kinds = [made.type(name) for name in ("SleepFuture", "Waiter", "Task")]
    made.run(0)
    for i in range(tasks):
        made.task(1 + i, i, code, parent=1 if i else 0, name=f"worker-{i}")
    pack, raw, origin = RECORD.pack, made.records[0], made.origin
    time, i = tasks, 0
    while len(raw) < records * RECORD.size:
        task = 1 + i % tasks
        span = 2 * MS if i % 1000 == 0 else step
        how = YIELDED if i % 7 == 0 else SUSPENDED
        raw += pack(STEP, how, kinds[i % 3], task, origin + time, span, code, (i * 2) % 40, 1 if i % 3 == 2 else 0)
        time += span + 500
        other = 1 + (i + 5) % tasks
        raw += pack(WAKE, BY_TIMER if i % 2 else BY_STEP, 0, other, origin + time - 1000, 0, 0, 0, task)
        if i % 10 == 9:
            raw += pack(WAIT, 0, 0, 0, origin + time, 10 * step, 0, 0, 0)
            time += 10 * step
        i += 1
    made.last = time
    del raw[records * RECORD.size :]
    return made
