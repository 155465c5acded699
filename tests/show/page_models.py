"""Models made by hand, for the page: the ten jobs blocked and free, many tasks, hostile names, a million records."""

import random
from array import array

from clearloop.show.dump import Head
from clearloop.show.model import (
    ALIVE,
    AWAIT,
    CALLBACKS,
    DELIVERED,
    HELD,
    READY,
    RETURNED,
    RUN,
    UNKNOWN,
    LoopModel,
    Model,
    Stall,
)

MS, SECOND = 10**6, 10**9


class Maker:
    """One loop's lanes, given span by span in any order, and the model that they make."""

    def __init__(self, program="app.py", file="/srv/app/app.py"):
        self.strings, self._index = [""], {"": 0}
        self.places, self.file = [], file
        self.program = program
        self.loops = []
        self.add_loop()

    def add_loop(self, thread="MainThread"):
        self.loop = LoopModel(number=len(self.loops), thread=thread)
        self.loops.append((self.loop, []))
        self.spans = self.loops[-1][1]

    def text(self, text):
        if text not in self._index:
            self._index[text] = len(self.strings)
            self.strings.append(text)
        return self._index[text]

    def place(self, line, code, function="job"):
        row = (self.text(self.file), line, self.text(function), self.text(code))
        if row not in self.places:
            self.places.append(row)
        return self.places.index(row)

    def task(self, name, coro="job", parent=-1, outcome=RETURNED):
        tasks = self.loop.tasks
        row = len(tasks)
        tasks.id.append(row + 1)
        tasks.parent.append(parent)
        tasks.depth.append(tasks.depth[parent] + 1 if parent >= 0 else 0)
        tasks.name.append(self.text(name))
        tasks.coro.append(self.text(coro))
        tasks.place.append(-1)
        tasks.created.append(0)
        tasks.ended.append(-1)
        tasks.outcome.append(outcome)
        for column in (tasks.busy, tasks.waiting, tasks.held, tasks.steps):
            column.append(0)
        return row

    def span(self, lane, kind, begin, end, label="", place=-1, by=None):
        """`by`: another span, as this returned it."""
        made = [lane, kind, int(begin), int(end), self.text(label), place, by]
        self.spans.append(made)
        return made

    def job(self, worker, task, function, begin, end):
        jobs, loop = self.loop.jobs, self.loop
        if worker not in [name for _, name in loop.workers]:
            loop.workers.append((len(loop.workers) + 100, worker))
        jobs.id.append(len(jobs) + 1)
        jobs.worker.append([name for _, name in loop.workers].index(worker))
        jobs.task.append(task)
        jobs.function.append(self.text(function))
        jobs.executor.append(self.text("ThreadPoolExecutor"))
        jobs.submitted.append(int(begin - 5000))
        jobs.begin.append(int(begin))
        jobs.end.append(int(end))
        jobs.outcome.append(DELIVERED)

    def stall(self, span, verdict="blocking", **report):
        self.loop.stalls.append(Stall(span[2], span[3], span, span[0], verdict, span[5], report))

    def gap(self, begin, end, steps):
        for column, value in zip(
            (self.loop.gaps.begin, self.loop.gaps.end, self.loop.gaps.steps), (begin, end, steps), strict=True
        ):
            column.append(value)

    def model(self, problems=(), overwritten=0):
        duration = 0
        for loop, spans in self.loops:
            _finish(loop, spans, overwritten)
            duration = max(duration, loop.end)
        head = Head(program=self.program, pid=4711, python="3.13.1", clearloop="0.1.0", reason="asked")
        return Model(
            head,
            list(problems),
            0,
            1_790_000_000 * SECOND,
            duration,
            self.strings,
            self.places,
            [loop for loop, _ in self.loops],
        )


def _finish(loop, spans, overwritten):
    last = len(loop.tasks)
    spans.sort(key=lambda span: (span[0] if span[0] >= 0 else last, span[2]))
    index = {id(span): number for number, span in enumerate(spans)}
    columns, tasks = loop.spans, loop.tasks
    loop.first = array("i", [0])
    lane_now = 0
    for number, (lane, kind, begin, end, label, place, by) in enumerate(spans):
        while lane_now < (lane if lane >= 0 else last):
            loop.first.append(number)
            lane_now += 1
        for column, value in zip(
            (columns.lane, columns.kind, columns.begin, columns.end, columns.label, columns.place, columns.by),
            (lane, kind, begin, end, label, place, -1 if by is None else index[id(by)]),
            strict=True,
        ):
            column.append(value)
        if lane >= 0:
            tasks.ended[lane] = end
            if kind == RUN:
                tasks.busy[lane] += end - begin
                tasks.steps[lane] += 1
            elif kind in (AWAIT, HELD):
                (tasks.waiting if kind == AWAIT else tasks.held)[lane] += end - begin
    while len(loop.first) < last + 2:
        loop.first.append(len(spans))
    loop.end = max([*columns.end, *loop.jobs.end, 1])
    loop.written, loop.overwritten = 2 * len(spans) + overwritten, overwritten
    loop.runs.begin.append(0)
    loop.runs.end.append(loop.end)
    for stall in loop.stalls:
        stall.span = index[id(stall.span)]
    loop.stalls.sort(key=lambda stall: stall.begin - stall.end)
    _waits_and_strip(loop)


def _waits_and_strip(loop):
    columns = loop.spans
    ran = sorted((b, e) for k, b, e in zip(columns.kind, columns.begin, columns.end, strict=True) if k == RUN)
    at = 0
    for begin, end in ran:
        if begin > at:
            loop.waits.begin.append(at)
            loop.waits.end.append(begin)
        at = max(at, end)
    if at < loop.end:
        loop.waits.begin.append(at)
        loop.waits.end.append(loop.end)
    buckets = 1000
    loop.strip.width = width = max(1, -(-loop.end // buckets))
    busy, lag = [0.0] * buckets, [0] * buckets
    for begin, end in ran:
        for bucket in range(begin // width, min(buckets - 1, (end - 1) // width) + 1):
            busy[bucket] += (min(end, (bucket + 1) * width) - max(begin, bucket * width)) / width
            lag[bucket] = max(lag[bucket], end - begin)
    loop.strip.utilisation = array("f", [min(1.0, share) for share in busy])
    loop.strip.lag = array("q", lag)


def ten_blocked(count=10, lasts=SECOND, names="job {}"):
    """gather(*[job(n) for n in range(10)]) of jobs that each call time.sleep(1)."""
    make = Maker("ten_jobs_blocked.py", "/srv/app/ten_jobs_blocked.py")
    place = make.place(9, "time.sleep(1)")
    main = make.task("Task-1", "main")
    begin = 2 * MS
    created = make.span(main, RUN, 0, begin, "", make.place(13, "await clearloop.gather(*jobs)", "main"))
    runs = []
    for number in range(count):
        task = make.task(names.format(number + 1), "job", main)
        run = begin + number * lasts
        if number:
            make.span(task, HELD, begin, run, by=runs[0], place=place)
        runs.append(make.span(task, RUN, run, run + lasts, place=place, by=created))
        make.stall(runs[-1], advice="await asyncio.sleep(1)", delayed_count=count - 1 - number)
    make.span(
        main,
        AWAIT,
        begin,
        begin + count * lasts,
        "gather of 10",
        make.place(13, "await clearloop.gather(*jobs)", "main"),
    )
    make.span(main, RUN, begin + count * lasts, begin + count * lasts + MS // 2, by=runs[-1])
    return make.model()


def ten_free():
    """The same jobs in threads."""
    make = Maker("ten_jobs_free.py", "/srv/app/ten_jobs_free.py")
    place = make.place(9, "await loop.run_in_executor(None, time.sleep, 1)")
    main = make.task("Task-1", "main")
    created = make.span(main, RUN, 0, 2 * MS)
    end = 2 * MS
    for number in range(10):
        task = make.task(f"job {number + 1}", "job", main)
        begin = 2 * MS + number * 80_000
        make.span(task, READY, 2 * MS, begin)
        make.span(task, RUN, begin, begin + 80_000, "", place, created)
        end = begin + SECOND + 300_000
        make.span(task, AWAIT, begin + 80_000, end, "time.sleep in a thread", place)
        make.span(task, RUN, end, end + 20_000, "another thread")
        make.job(f"asyncio_{number}", task, "time.sleep", begin + 90_000, end - 20_000)
    make.span(main, AWAIT, 2 * MS, end + 40_000, "gather of 10")
    make.span(main, RUN, end + 40_000, end + 90_000)
    return make.model()


def server(
    tasks=100, records=20_000, seed=1, coroutines=("handle", "fetch", "consume", "tick"), overwritten=0, gap=False
):
    """Tasks of some coroutines that run for some 100 µs and await for some ms; one in a thousand steps blocks."""
    chance = random.Random(seed)
    make = Maker("server.py", "/srv/app/server.py")
    places = [make.place(20 + n, f"await {name}.get()", name) for n, name in enumerate(("queue", "reader", "lock"))]
    slow = make.place(77, "return json.loads(body)", "handle")
    lanes = [
        make.task(f"{coroutines[n % len(coroutines)]} {n}", coroutines[n % len(coroutines)], outcome=ALIVE)
        for n in range(tasks)
    ]
    free = [chance.randrange(50 * MS) for _ in lanes]  # since when each could run
    began = [0] * tasks  # since when each awaits
    order = sorted(range(tasks), key=free.__getitem__)
    now, last, spans = 0, None, make.spans
    waits = [make.text(text) for text in ("Queue.get", "StreamReader.read", "Lock.acquire", "sleep")]
    import heapq

    heap = [(free[n], n) for n in order]
    heapq.heapify(heap)
    while len(spans) < records:
        since, lane = heapq.heappop(heap)
        now = max(now, since)
        spans.append([lane, AWAIT, began[lane], since, waits[lane % 4], places[lane % 3], None])
        if now - since >= MS:
            spans.append([lane, HELD, since, now, 0, -1, last])
        elif now > since:
            spans.append([lane, READY, since, now, 0, -1, None])
        blocks = chance.random() < 0.001
        lasts = chance.randrange(5 * MS, 150 * MS) if blocks else chance.randrange(10_000, 300_000)
        run = [lane, RUN, now, now + lasts, 0, slow if blocks else places[lane % 3], None]
        spans.append(run)
        if blocks:
            last = run
            if lasts > 100 * MS:
                make.stall(run, "compute", advice="run it in a process")
        elif last is None:
            last = run
        now += lasts
        began[lane] = now
        heapq.heappush(heap, (now + chance.randrange(100_000, tasks * 300_000), lane))
    for _ in range(50):
        begin = chance.randrange(now)
        make.job(f"worker-{_ % 4}", lanes[_ % tasks], "hash_password", begin, begin + 3 * MS)
    if gap:
        make.gap(now // 2, now // 2 + 10 * MS, 12_345)
        spans.append([lanes[0], UNKNOWN, now + MS, now + 20 * MS, 0, -1, None])
    spans.append([CALLBACKS, RUN, now, now + 100_000, make.text("Server._accept"), -1, None])
    return make.model(overwritten=overwritten)


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--",
    "]]>",
    "\u202egnp.exe\u202c",
    "a\x00b\x1b[31m\nc",
    "&lt;b&gt;",
    "{{data}}",
    "\ud800",
    "x" * 1000,
    "日本語 ✓",
]


def hostile():
    make = Maker("<b>&{{script}}</title><script>bad()</script>.py", "/srv/</script>/x.py")
    for number, name in enumerate(HOSTILE):
        task = make.task(name, name)
        make.span(task, RUN, number * MS, (number + 1) * MS, name, make.place(number, f"say({name!r})", name))
        make.span(task, AWAIT, (number + 1) * MS, (number + 2) * MS, name)
    make.stall(make.spans[0], "compute", advice="<script>bad()</script>", note="</script>")
    make.stall(make.spans[4], "</b>", file=17, line=[None], code={"<b>": float("nan")}, advice=float("inf"), task=[1])
    make.job("<i>worker", 0, "<u>function</u>", 0, MS)
    return make.model(problems=["<script>bad()</script> is no chunk"])
