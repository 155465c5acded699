"""From a loop's records, in the order in which they were written, to spans.

One pass, with a few numbers per task: since when it has been where it is.  What a task did between two of its steps
is known when the second comes: it awaited until its WAKE, was ready from then on, and if a single step of somebody
else took a millisecond or more meanwhile, it was *held*.  A stretch of turns that were not recorded (a gap) ends what
is known of every task; what is known again begins with its next record.

Times here are those of the clock.  Rows and spans have the numbers in which they appear; `ordering.py` sorts them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from clearloop.show import records as rec
from clearloop.show.dump import LATEST, Dump, Live, LoopDump
from clearloop.show.model import (
    ALIVE,
    AWAIT,
    CANCELLED,
    DELIVERED,
    DROPPED,
    HELD,
    LOST,
    NONE,
    PENDING,
    RAISED,
    RAN,
    READY,
    RETURNED,
    UNKNOWN,
    Jobs,
    Spans,
    Stretches,
    Tasks,
)
from clearloop.show.texts import Labels, Places, Texts

LONG = 1_000_000  # ns of a step that holds others
LOOKED_AT = 64  # long steps in a time that a task was held: the first that held it nearly as long as any
GRACE = 3600 * 10**9  # ns that a record may be later than the dump
LONGEST_NAME = 1000  # bytes
DISCARD = -2  # the lane of a span that turned out to be nothing

# Where a task is between its steps.
NOWHERE, AWAITS, WAITS_TO_RUN, ENDED = range(4)

OUTCOMES = {rec.RETURNED: RETURNED, rec.RAISED: RAISED, rec.CANCELLED: CANCELLED}


class Walk:
    def __init__(self, dump: Dump, loop: LoopDump, texts: Texts, places: Places) -> None:
        self.dump = dump
        self.loop = loop
        self.texts = texts
        self.places = places
        self.labels = Labels(dump, texts)

        self.index: dict[int, int] = {}  # task id: its row
        self.tasks = Tasks()
        self.parents = array("I")  # ids
        self.serials = array("I")  # the number in the name that a task has by itself
        self.names: dict[int, int] = {}  # row: string, of tasks that have a name of their own
        self.name_pieces: dict[int, bytes] = {}
        self.mode = array("B")
        self.since = array("q")  # when it came there
        self.label = array("i")  # of an await
        self.place = array("i")
        self.woke = array("q")  # NONE: not yet
        self.waker = array("i")  # span of the step that woke it
        self.woken_how = array("B")
        self.unknown: dict[int, int] = {}  # row: the span that stands for what was before its first record

        self.spans = Spans()
        self.first = LATEST  # earliest and latest moment that is told of
        self.last = 0
        self.waits = Stretches()
        self.gaps = Stretches()
        self.runs = Stretches()
        self.callbacks_in_order = True

        # Long steps: all of them by time, and of those the stack in which each is longer than all after it.
        self.long_begin = array("q")
        self.long_end = array("q")
        self.long_span = array("i")
        self.stack_begin = array("q")
        self.stack_end = array("q")
        self.stack_span = array("i")

        self.jobs = Jobs()
        self.job_rows: dict[int, int] = {}
        self.workers: list[tuple[int, str]] = []
        self.worker_rows: dict[int, int] = {}
        self.stalls: list[tuple[int, int, int, int, int]] = []  # begin, end, task id, verdict, place

    # -- rows --

    def row(self, task: int) -> int:
        row = self.index.get(task)
        if row is None:
            row = self.index[task] = len(self.index)
            tasks = self.tasks
            tasks.id.append(task)
            tasks.coro.append(0)
            tasks.place.append(NONE)
            tasks.created.append(NONE)
            tasks.ended.append(NONE)
            tasks.outcome.append(ALIVE)
            tasks.busy.append(0)
            tasks.waiting.append(0)
            tasks.held.append(0)
            tasks.steps.append(0)
            self.parents.append(0)
            self.serials.append(task)
            self.mode.append(NOWHERE)
            self.since.append(NONE)
            self.label.append(0)
            self.place.append(NONE)
            self.woke.append(NONE)
            self.waker.append(NONE)
            self.woken_how.append(0)
        return row

    def emit(
        self, lane: int, kind: int, begin: int, end: int, label: int = 0, place: int = NONE, by: int = NONE
    ) -> None:
        spans = self.spans
        spans.lane.append(lane)
        spans.kind.append(kind)
        spans.begin.append(begin)
        spans.end.append(end)
        spans.label.append(label)
        spans.place.append(place)
        spans.by.append(by)

    # -- between two steps --

    def stretch(self, row: int, end: int) -> None:
        """Tell of a task from where it has been since, up to `end`, where its next step begins or the records end."""
        since, woke = self.since[row], self.woke[row]
        if self.mode[row] == NOWHERE:
            # Before its first record; how far that reaches back is known when its creation is, perhaps at the very end.
            known = end if woke == NONE else min(woke, end)
            gap = self.gaps.end[-1] if self.gaps.end else 0
            if known < end and gap > known:
                known = end  # what woke it then is not what this step comes from
            if row not in self.unknown:
                self.unknown[row] = len(self.spans)
                self.emit(row, UNKNOWN, known, known)
            if known < end:
                self.ready(row, known, end)
        elif self.gaps.end and self.gaps.end[-1] > since:
            self.stretch_over_gaps(row, since, woke, end)
        else:
            self.waited(row, since, woke, end)

    def waited(self, row: int, since: int, woke: int, end: int) -> None:
        if self.mode[row] == AWAITS:
            until = end if woke == NONE or woke > end else max(woke, since)
            if until > since:
                self.emit(row, AWAIT, since, until, self.label[row], self.place[row])
                self.tasks.waiting[row] += until - since
            since = until
        if end > since:
            self.ready(row, since, end)

    def stretch_over_gaps(self, row: int, since: int, woke: int, end: int) -> None:
        """It may have run in the gap: what is known ends at the first and begins again behind the last."""
        gaps = self.gaps
        begin = max(gaps.begin[bisect_right(gaps.end, since)], since)
        again = min(gaps.end[-1], end)
        if begin > since:
            self.waited(row, since, woke if woke < begin else NONE, begin)
        if woke < again:
            again = end
        if again > begin:
            self.emit(row, UNKNOWN, begin, again, self.label[row] if self.mode[row] == AWAITS else 0, self.place[row])
        if again < end:
            self.mode[row] = AWAITS
            self.label[row], self.place[row] = 0, NONE
            self.waited(row, again, woke, end)

    def ready(self, row: int, begin: int, end: int) -> None:
        """It could run: held when one long step lies in that time."""
        best, by = 0, NONE
        if self.long_end and self.long_end[-1] > begin:
            # The first on the stack that began in that time is the longest of all that did.
            i = bisect_left(self.stack_begin, begin)
            if i < len(self.stack_begin):
                best, by = min(self.stack_end[i], end) - self.stack_begin[i], self.stack_span[i]
            first = bisect_left(self.long_begin, begin)
            if first > 0 and self.long_end[first - 1] > begin:
                first -= 1
                rest = min(self.long_end[first], end) - begin
                if rest > best:
                    best, by = rest, self.long_span[first]
            # Of several that held it nearly as long, the first: which one was longest by a hair is chance.
            for i in range(first, min(first + LOOKED_AT, len(self.long_begin))):
                if min(self.long_end[i], end) - max(self.long_begin[i], begin) >= best - best // 10:
                    by = self.long_span[i]
                    break
        if best >= LONG:
            self.emit(row, HELD, begin, end, 0, self.place[row], by)
            self.tasks.held[row] += end - begin
        else:
            self.emit(row, READY, begin, end, 0, self.place[row])

    def long_step(self, begin: int, end: int, span: int) -> None:
        # Records come in the order of their ends: one that began later ran inside this one.
        while self.long_begin and self.long_begin[-1] >= begin:
            self.long_begin.pop()
            self.long_end.pop()
            self.long_span.pop()
        self.long_begin.append(begin)
        self.long_end.append(end)
        self.long_span.append(span)
        length = end - begin
        while self.stack_begin and (
            self.stack_begin[-1] >= begin or self.stack_end[-1] - self.stack_begin[-1] <= length
        ):
            self.stack_begin.pop()
            self.stack_end.pop()
            self.stack_span.pop()
        self.stack_begin.append(begin)
        self.stack_end.append(end)
        self.stack_span.append(span)

    # -- the pass --

    def walk(self) -> None:
        """Over all records.  What is looked up once per record is a local name: a dump may have a million."""
        limit = self.dump.head.monotonic_ns + GRACE if self.dump.head.monotonic_ns else LATEST
        spans, tasks = self.spans, self.tasks
        index, row_of, stretch, long_step = self.index, self.row, self.stretch, self.long_step
        mode, since, label, place = self.mode, self.since, self.label, self.place
        woke, waker, woken_how = self.woke, self.waker, self.woken_how
        lane_add, kind_add, begin_add, end_add = (
            spans.lane.append,
            spans.kind.append,
            spans.begin.append,
            spans.end.append,
        )
        label_add, place_add, by_add = spans.label.append, spans.place.append, spans.by.append
        busy, waiting, steps, coro_place = tasks.busy, tasks.waiting, tasks.steps, tasks.place
        awaiting, place_of, by_code = self.labels.awaiting, self.places.of, self.places.by_code
        how_words = (0, self.texts.index("timer"), self.texts.index("another thread"))
        callback_words: dict[int, int] = {}
        others = {rec.TASK, rec.NAME, rec.WAIT, rec.GAP, rec.JOB, rec.STALL, rec.RUN}
        pending: list[tuple[int, int]] = []  # tasks woken since the last step's record, and when
        first, last, last_callback = self.first, self.last, 0
        impossible = unknown = 0
        last_gap = calm = 0  # ends of the last gap, and of the last long step
        hole = False

        for piece in self.loop.pieces:
            if piece is None:
                hole = True
                continue
            for kind, how, kind_id, actor, time, span, code, lasti, other in rec.RECORD.iter_unpack(piece):
                if kind == rec.STEP:
                    if how & 0x80:
                        span <<= 10
                    end = time + span
                    if time < 0 or end > limit:
                        impossible += 1
                        continue
                    if hole:
                        hole = False
                        last_gap = self.lost(last, time)
                    number = len(spans.lane)
                    if actor:
                        row = index.get(actor)
                        if row is None:
                            row = row_of(actor)
                        before = since[row]
                        state = mode[row]
                        if state == ENDED or (end < before and state):
                            impossible += 1
                            continue
                        if time < before and state:
                            time = before
                        if state == AWAITS and before < woke[row] < time and before >= last_gap and woke[row] >= calm:
                            # The likeliest: it awaited, it was woken, it soon ran.  `stretch` does the same for all.
                            until = woke[row]
                            lane_add(row)
                            kind_add(AWAIT)
                            begin_add(before)
                            end_add(until)
                            label_add(label[row])
                            place_add(place[row])
                            by_add(-1)
                            waiting[row] += until - before
                            lane_add(row)
                            kind_add(READY)
                            begin_add(until)
                            end_add(time)
                            label_add(0)
                            place_add(place[row])
                            by_add(-1)
                        elif time > before or not state:
                            stretch(row, time)
                        number = len(spans.lane)
                        within = how & rec.WITHIN
                        how &= rec.HOW
                        by = waker[row]
                        if how == 0:
                            now = by_code.get((code, lasti))
                            if now is None:
                                now = place_of(code, lasti)
                            mode[row] = 1
                            label[row] = awaiting(kind_id, 0, other) if within else awaiting(kind_id, other, code)
                            place[row] = now
                        elif how == 1:
                            now = place_of(code, lasti) if code else coro_place[row]
                            mode[row] = 2
                            place[row] = now
                        else:
                            now = coro_place[row]
                            mode[row] = 3
                            tasks.ended[row] = end
                            tasks.outcome[row] = OUTCOMES.get(how, LOST)
                        lane_add(row)
                        label_add(how_words[woken_how[row]] if by == -1 else 0)
                        place_add(now)
                        by_add(by)
                        since[row] = end
                        woke[row] = -1
                        waker[row] = -1
                        woken_how[row] = 0
                        busy[row] += end - time
                        steps[row] += 1
                    else:
                        lane_add(-1)
                        word = callback_words.get(code)
                        if word is None:
                            known = self.dump.codes.get(code)
                            word = callback_words[code] = self.texts.index(known.qualname if known else "")
                        label_add(word)
                        place_add(place_of(code, 0))
                        by_add(-1)
                        if time < last_callback:
                            self.callbacks_in_order = False
                        last_callback = time
                    kind_add(0)
                    begin_add(time)
                    end_add(end)
                    # What was woken within a step stands before its record; what stays is of a step around this one.
                    while pending and pending[-1][1] >= time:
                        woken = pending.pop()[0]
                        if not actor or woken != row:
                            waker[woken] = number
                    if end - time >= LONG:
                        long_step(time, end, number)
                        calm = end
                elif kind == rec.WAKE:
                    end = time
                    if time < 0 or time > limit:
                        impossible += 1
                        continue
                    if hole:
                        hole = False
                        last_gap = self.lost(last, time)
                    row = index.get(actor)
                    if row is None:
                        if not actor:
                            impossible += 1
                            continue
                        row = row_of(actor)
                    state = mode[row]
                    if state == ENDED:
                        continue
                    if state == WAITS_TO_RUN or woke[row] != -1:
                        gap = self.gaps.end
                        ago = woke[row] if woke[row] != -1 else since[row]
                        if not gap or gap[-1] <= ago or time < gap[-1]:
                            continue  # it is ready already
                        # It has run in the gap, and then awaited something else.
                        stretch(row, gap[-1])
                        mode[row], since[row], label[row], place[row] = AWAITS, gap[-1], 0, NONE
                    elif time < since[row]:
                        time = since[row]  # a deadline that passed while it ran
                    if time < first:
                        if first == LATEST:
                            first = time
                        time = first
                    woke[row] = time
                    waker[row] = -1
                    how &= 15
                    if how == 0:
                        woken_how[row] = 0
                        pending.append((row, time))
                    else:
                        woken_how[row] = how if how <= 2 else 0
                    time = end = last  # a deadline is no moment at which anything was seen
                elif kind in others:
                    if how & 0x80:
                        span <<= 10
                    end = time + span
                    if kind != rec.NAME and (time < 0 or end > limit):
                        impossible += 1
                        continue
                    if hole:
                        hole = False
                        last_gap = self.lost(last, time if kind != rec.NAME else last)
                    if kind == rec.WAIT:
                        _add(self.waits, time, end)
                        pending.clear()  # what is left is of no step
                    elif kind == rec.TASK:
                        # Of one that was created while nothing was recorded it is said later, before its first step.
                        new = how & 15 == rec.CREATED and time >= last and bool(last or not self.loop.overwritten)
                        row = self.task(actor, new, time, code, other, lasti)
                        if row is None:
                            impossible += 1
                            continue
                        if new:
                            pending.append((row, time))
                        else:
                            time = end = last
                    elif kind == rec.GAP:
                        if _add(self.gaps, time, end):
                            self.gaps.steps.append(other)
                            last_gap = end
                    elif kind == rec.NAME:
                        if not self.name(actor, how, kind_id, (time, span, code, lasti, other)):
                            impossible += 1
                        continue
                    elif kind == rec.JOB:
                        self.job(actor, how & 15, time, end, code, kind_id, other)
                        time = end = last
                    elif kind == rec.STALL:
                        self.stalls.append((time, end, actor, how & 15, place_of(code, lasti) if code else NONE))
                    else:
                        self.run(how & 15, time, first)
                        pending.clear()  # created before it ran
                else:
                    unknown += kind != rec.EMPTY
                    continue
                if time < first and end > 0:
                    first = time
                if end > last:
                    last = end
        self.first, self.last = min(first, last), last
        if hole:
            self.lost(last, last)
        number = self.loop.number
        if impossible:
            self.dump.problem(f"loop {number}: {impossible} records with impossible values")
        if unknown:
            self.dump.problem(f"loop {number}: {unknown} records of a kind that this version does not know")

    # -- the rarer records --

    def task(self, task: int, new: bool, time: int, code: int, parent: int, serial: int) -> int | None:
        if not task:
            return None
        row = self.row(task)
        tasks = self.tasks
        tasks.created[row] = time
        self.parents[row] = parent
        self.serials[row] = serial or task
        self.coroutine(row, code)
        if new and self.mode[row] == NOWHERE and self.woke[row] == NONE:
            self.mode[row], self.since[row], self.place[row] = WAITS_TO_RUN, time, tasks.place[row]
        return row

    def coroutine(self, row: int, code: int) -> None:
        known = self.dump.codes.get(code)
        if known is not None:
            self.tasks.coro[row] = self.texts.index(known.qualname)
            self.tasks.place[row] = self.places.of(code, 0)

    def name(self, task: int, used: int, number: int, fields: tuple[int, int, int, int, int]) -> bool:
        time, span, code, lasti, other = fields
        if not task or used > rec.NAME_BYTES:
            return False
        piece = rec.RECORD.pack(0, 0, 0, 0, time, span, code, lasti, other)[rec.NAME_OFFSET :][:used]
        row = self.row(task)
        before = self.name_pieces.get(row, b"") if number else b""
        if len(before) < LONGEST_NAME:
            self.name_pieces[row] = before + piece
        return True

    def job(self, job: int, how: int, time: int, end: int, code: int, kind: int, other: int) -> None:
        jobs = self.jobs
        row = self.job_rows.get(job)
        if row is None:
            row = self.job_rows[job] = len(jobs)
            jobs.id.append(job)
            jobs.worker.append(NONE)
            jobs.task.append(NONE)
            jobs.function.append(0)
            jobs.executor.append(0)
            jobs.submitted.append(NONE)
            jobs.begin.append(NONE)
            jobs.end.append(NONE)
            jobs.outcome.append(PENDING)
        codes = self.dump.codes
        if code in codes and not jobs.function[row]:
            jobs.function[row] = self.labels.jobs[job] = self.texts.index(codes[code].qualname)
        if kind in codes and not jobs.executor[row]:
            jobs.executor[row] = self.texts.index(codes[kind].qualname)
        if how == rec.SUBMITTED:
            jobs.submitted[row] = time
            jobs.task[row] = self.row(other) if other else NONE
        elif how == rec.RAN:
            jobs.begin[row], jobs.end[row] = time, end
            jobs.worker[row] = self.worker(other)
            if jobs.outcome[row] == PENDING:
                jobs.outcome[row] = RAN
        else:
            jobs.outcome[row] = DELIVERED if how == rec.DELIVERED else DROPPED
            if jobs.end[row] == NONE:
                jobs.end[row] = time

    def worker(self, worker: int) -> int:
        row = self.worker_rows.get(worker)
        if row is None:
            row = self.worker_rows[worker] = len(self.workers)
            self.workers.append((worker, self.dump.workers.get(worker) or f"worker {worker}"))
        return row

    def run(self, how: int, time: int, first: int) -> None:
        runs = self.runs
        open_ = len(runs.end) < len(runs.begin)
        if how == rec.BEGAN:
            if not open_ and (not runs.end or time >= runs.end[-1]):
                runs.begin.append(time)
        elif open_:
            runs.end.append(max(time, runs.begin[-1]))
        elif not runs.end:
            runs.begin.append(min(first, time))
            runs.end.append(time)

    def lost(self, begin: int, end: int) -> int:
        """A damaged piece: a gap, however many records it had; return where it ends."""
        if _add(self.gaps, begin, max(end, begin + 1)):
            self.gaps.steps.append(NONE)
        return self.gaps.end[-1]

    # -- the end --

    def finish(self) -> None:
        """What was going on when the records end; the dump says what the tasks that were alive awaited."""
        running = len(self.runs.end) < len(self.runs.begin) or not self.runs.begin
        if running and self.dump.head.monotonic_ns > self.last > 0:
            self.last = self.dump.head.monotonic_ns
        if running and self.runs.begin:
            self.runs.end.append(max(self.last, self.runs.begin[-1]))
        if self.first == LATEST or self.first > self.last:
            self.first = self.last
        if not self.runs.begin and self.last > self.first:
            _add(self.runs, self.first, self.last)
        listed = bool(self.loop.capacity or self.loop.written or self.loop.tasks)
        alive: dict[int, Live] = {}
        for live in self.loop.tasks:
            row = self.row(live.id)
            alive[row] = live
            self.parents[row] = self.parents[row] or live.parent
            if not self.tasks.coro[row]:
                self.coroutine(row, live.coro)
            if live.name and row not in self.name_pieces:
                self.names[row] = self.texts.index(live.name)
            if self.tasks.created[row] == NONE and live.created_ms >= 0:
                self.tasks.created[row] = self.unwrapped(live.created_ms) * 1_000_000
        gap = self.gaps.end[-1] if self.gaps.end else 0
        for row in range(len(self.tasks)):
            if self.mode[row] == ENDED:
                continue
            now = alive.get(row)
            behind = gap > self.since[row]
            if now is not None and (self.mode[row] == NOWHERE or behind) and self.woke[row] < gap and now.waits_type:
                # It has not run since then, or that would have been recorded.
                self.last_await(row, max(gap, self.first, min(self.tasks.created[row], self.last)), now)
            elif listed and now is None:
                self.tasks.outcome[row] = LOST
                if behind:
                    self.stretch(row, gap)
                elif self.woke[row] > self.since[row]:
                    self.stretch(row, self.woke[row])
            elif self.since[row] < self.last:
                self.stretch(row, self.last)
        for row, number in self.unknown.items():
            # From its creation, or the first record of all.
            begin = max(self.first, self.tasks.created[row])
            self.spans.begin[number] = begin
            if begin >= self.spans.end[number]:
                self.spans.lane[number] = DISCARD
        for row, raw in self.name_pieces.items():
            self.names[row] = self.texts.index(raw.decode("utf-8", "replace"))

    def last_await(self, row: int, begin: int, now: Live) -> None:
        if self.mode[row] != NOWHERE or self.woke[row] != NONE:
            self.stretch(row, begin)
        elif row not in self.unknown:
            self.unknown[row] = len(self.spans)
            self.emit(row, UNKNOWN, begin, begin)
        if begin < self.last:
            label = self.labels.awaiting(now.waits_type, now.waits_other, now.code)
            self.emit(row, AWAIT, begin, self.last, label, self.places.of(now.code, now.lasti))
            self.tasks.waiting[row] += self.last - begin

    def unwrapped(self, milliseconds: int) -> int:
        """Tasks keep 32 bits of the clock."""
        now = self.dump.head.monotonic_ns // 1_000_000
        return milliseconds + ((now - milliseconds) >> 32 << 32) if 0 <= milliseconds <= now else milliseconds


def _add(stretches: Stretches, begin: int, end: int) -> bool:
    """Append what lies behind those before; whether there was any."""
    if stretches.end and begin < stretches.end[-1]:
        begin = stretches.end[-1]
    if end <= begin:
        return False
    stretches.begin.append(begin)
    stretches.end.append(end)
    return True
