"""The model of hand-made records: who ran, who awaited what, who could have run but was held, and by which step."""

import time
import tracemalloc

import pytest
from dump_maker import MS, DumpMaker, blocked_jobs, many

from clearloop.show import summary
from clearloop.show.dump import read
from clearloop.show.model import (
    ALIVE,
    AWAIT,
    CALLBACKS,
    CANCELLED,
    DROPPED,
    HELD,
    JOB_OUTCOMES,
    KINDS,
    LOST,
    NONE,
    OUTCOMES,
    RAISED,
    READY,
    RETURNED,
    RUN,
    UNKNOWN,
    build,
)
from clearloop.show.records import (
    BY_THREAD,
    BY_TIMER,
    DELIVERED,
    DESCRIPTOR,
    RAN,
    RECALLED,
    SUSPENDED,
    WITHIN,
    YIELDED,
)
from clearloop.show.records import (
    CANCELLED as STEP_CANCELLED,
)
from clearloop.show.records import (
    DROPPED as JOB_DROPPED,
)
from clearloop.show.records import (
    RAISED as STEP_RAISED,
)
from clearloop.show.records import (
    RETURNED as STEP_RETURNED,
)


class Seen:
    """A model, asked for by names."""

    def __init__(self, made, loop=0):
        self.model = build(read(made.bytes()))
        self.loop = self.model.loops[loop]
        self.rows = {self.text(name): row for row, name in enumerate(self.loop.tasks.name)}

    def text(self, string):
        return self.model.strings[string]

    def lane(self, name):
        """The spans of a task: (kind, begin, end)."""
        return [(self.loop.spans.kind[i], self.loop.spans.begin[i], self.loop.spans.end[i]) for i in self.numbers(name)]

    def numbers(self, name):
        row = len(self.rows) if name is None else self.rows[name]
        return range(self.loop.first[row], self.loop.first[row + 1])

    def spans(self, kind):
        return [i for i, each in enumerate(self.loop.spans.kind) if each == kind]

    def place(self, number):
        """File, line, function, source text."""
        file, line, function, text = self.model.places[number]
        return self.text(file), line, self.text(function), self.text(text)

    def owner(self, span):
        lane = self.loop.spans.lane[span]
        return None if lane == CALLBACKS else self.text(self.loop.tasks.name[lane])

    def labels(self, name):
        return [self.text(self.loop.spans.label[i]) for i in self.numbers(name)]


def sleeper(made=None):
    """A dump with one task, "a", that has been created at 0."""
    made = made or DumpMaker()
    made.fetch = made.code("fetch", "app.py", 10, {4: (12, "await asyncio.sleep(1)")})
    made.run(0)
    made.task(1, 0, made.fetch, name="a")
    return made


# -- who held whom --


def test_ten_blocked_jobs_are_nine_red_lanes():
    seen = Seen(blocked_jobs(10))
    spans = seen.loop.spans
    held = seen.spans(HELD)
    assert [seen.owner(i) for i in held] == [f"job-{i}" for i in range(1, 10)]
    for i in held:
        holder = spans.by[i]
        assert spans.kind[holder] == RUN
        assert spans.begin[i] <= spans.begin[holder] < spans.end[holder] <= spans.end[i]
    # Each waited for all before it; the arrow leads to the first of those that held it as long as any.
    assert [seen.owner(spans.by[i]) for i in held] == ["job-0"] * 9
    job = seen.rows["job-9"]
    assert seen.loop.tasks.held[job] == spans.end[held[-1]] - spans.begin[held[-1]] > 9 * 200 * MS


def test_the_same_jobs_in_workers_hold_nobody():
    seen = Seen(blocked_jobs(10, in_workers=True))
    assert seen.spans(HELD) == []
    assert sum(seen.loop.tasks.held) == 0
    assert len(seen.loop.jobs) == len(seen.loop.workers) == 10
    for i in range(10):
        assert seen.text(seen.loop.jobs.function[i]) == "sleep"
        assert seen.text(seen.loop.tasks.name[seen.loop.jobs.task[i]]) == f"job-{i}"
        assert seen.loop.workers[seen.loop.jobs.worker[i]] == (5000 + i, f"clearloop-worker-{i}")
        assert seen.loop.jobs.submitted[i] < seen.loop.jobs.begin[i] < seen.loop.jobs.end[i]
        assert JOB_OUTCOMES[seen.loop.jobs.outcome[i]] == "delivered"
        assert "job of sleep()" in seen.labels(f"job-{i}")


@pytest.mark.parametrize(
    "lengths, holder",
    [
        ([200, 201, 199], 0),  # by a hair: the first
        ([179, 200, 181], 1),  # the first was much shorter
        ([5, 6, 200], 2),
        ([200, 5, 1], 0),
        ([5] * 100 + [9], 100),
    ],
)
def test_of_those_that_held_it_nearly_as_long_the_first_is_named(lengths, holder):
    made = sleeper()
    made.step(1, 10, 10, YIELDED)
    at = 1000
    for number, length in enumerate(lengths):
        made.callback(at, length * MS, made.code(f"step{number}"))
        at += length * MS
    made.step(1, at + 10, 10, STEP_RETURNED)
    seen = Seen(made)
    [held] = seen.spans(HELD)
    assert seen.text(seen.loop.spans.label[seen.loop.spans.by[held]]) == f"step{holder}"


def test_who_waited_for_a_turn_of_short_steps():
    made = DumpMaker()
    work = made.code("work")
    for number in range(200):
        made.task(1 + number, 0, work, name=f"job-{number}")
    for number in range(200):
        made.step(1 + number, 1000 + number * MS // 2, MS // 2, STEP_RETURNED)
    made.report(1000, 100 * MS, verdict="compute", steps=200, task="job-199", loop=0, delayed_count=0, delayed=[])
    found = summary.facts(build(read(made.bytes())))
    [stall] = found["loops"][0]["stalls"]
    # the first two ran at once or nearly so; each of the others waited a millisecond or more
    assert 195 <= stall["held"] <= 198


def test_many_short_steps_hold_nobody():
    made = sleeper()
    made.step(1, 10, 10, YIELDED)
    for i in range(100):
        made.callback(1000 + i * 900_000, 900_000)
    made.step(1, 100 * MS, 10, STEP_RETURNED)
    seen = Seen(made)
    assert [kind for kind, _, _ in seen.lane("a")] == [READY, RUN, READY, RUN]


def test_of_several_holders_the_longest_is_named():
    made = sleeper()
    made.step(1, 10, 10, YIELDED)
    slow = made.code("slow", "app.py", 50)
    time = 100
    for length in (2 * MS, 7 * MS, 3 * MS, 5 * MS):
        made.callback(time, length, slow)
        time += length
    made.step(1, time, 10, STEP_RETURNED)
    seen = Seen(made)
    (held,) = seen.spans(HELD)
    by = seen.loop.spans.by[held]
    assert (seen.loop.spans.begin[by], seen.loop.spans.end[by]) == (100 + 2 * MS, 100 + 9 * MS)
    assert seen.loop.spans.lane[by] == CALLBACKS
    assert seen.text(seen.loop.spans.label[by]) == "slow"


def test_only_what_lies_in_the_time_of_being_ready_counts():
    """A step of a second that wakes somebody at its very end has held him for that moment only."""
    made = sleeper()
    made.step(1, 10, 10, SUSPENDED, code=made.fetch, lasti=4)
    made.wake(1, 1000 * MS)
    made.callback(100, 1000 * MS)
    made.step(1, 1000 * MS + 200, 10, STEP_RETURNED)
    seen = Seen(made)
    assert [kind for kind, _, _ in seen.lane("a")] == [READY, RUN, AWAIT, READY, RUN]
    made = sleeper()
    made.step(1, 10, 10, SUSPENDED, code=made.fetch, lasti=4)
    made.wake(1, 998 * MS)
    made.callback(100, 1000 * MS)
    made.step(1, 1000 * MS + 200, 10, STEP_RETURNED)
    seen = Seen(made)
    assert [kind for kind, _, _ in seen.lane("a")] == [READY, RUN, AWAIT, HELD, RUN]


def test_a_timer_that_comes_due_behind_a_long_step_is_held_from_its_deadline_on():
    made = sleeper()
    made.step(1, 10, 10, SUSPENDED, made.type("SleepFuture"), code=made.fetch, lasti=4)
    made.callback(1 * MS, 300 * MS)
    made.wake(1, 50 * MS, how=BY_TIMER)
    made.step(1, 302 * MS, 10, STEP_RETURNED)
    seen = Seen(made)
    assert seen.lane("a")[2:] == [(AWAIT, 20, 50 * MS), (HELD, 50 * MS, 302 * MS), (RUN, 302 * MS, 302 * MS + 10)]
    assert seen.labels("a")[2:] == ["sleep", "", "timer"]


def test_a_step_inside_a_step_does_not_hide_the_outer_one():
    """An eager task runs inside its creator's step, and its record comes first."""
    made = sleeper()
    made.step(1, 10, 10, YIELDED)
    made.task(2, 1000, made.fetch, name="outer")
    made.task(3, 3 * MS, made.fetch, parent=2, name="inner")
    made.step(3, 3 * MS, 2 * MS, STEP_RETURNED)
    made.step(2, 2000, 10 * MS, STEP_RETURNED)
    made.step(1, 12 * MS, 10, STEP_RETURNED)
    seen = Seen(made)
    (held,) = (i for i in seen.spans(HELD) if seen.owner(i) == "a")
    assert seen.owner(seen.loop.spans.by[held]) == "outer"


# -- who woke whom, who awaits what --


def test_who_woke_whom():
    made = sleeper()
    made.task(2, 0, made.fetch, name="b")
    made.step(1, 10, 10, SUSPENDED, code=made.fetch, lasti=4)
    made.wake(1, 35, by=2)
    made.step(2, 30, 10, STEP_RETURNED)
    made.step(1, 40, 10, SUSPENDED, code=made.fetch, lasti=4)
    reader = made.code("StreamTransport", None, 0)
    made.wake(1, 105, code=reader)
    made.callback(100, 10, reader, DESCRIPTOR)
    made.step(1, 110, 10, SUSPENDED)
    made.wake(1, 150, how=BY_THREAD)
    made.step(1, 160, 10, STEP_RETURNED)
    seen = Seen(made)
    runs = [i for i in seen.numbers("a") if seen.loop.spans.kind[i] == RUN]
    wakers = [seen.loop.spans.by[i] for i in runs]
    assert wakers[0] == NONE and seen.owner(wakers[1]) == "b"
    assert seen.loop.spans.lane[wakers[2]] == CALLBACKS
    assert seen.text(seen.loop.spans.label[wakers[2]]) == "StreamTransport"
    assert wakers[3] == NONE and seen.text(seen.loop.spans.label[runs[3]]) == "another thread"


def test_a_new_task_is_woken_by_the_step_that_created_it():
    made = sleeper()
    made.task(2, 15, made.fetch, parent=1, name="child")
    made.step(1, 10, 10, YIELDED)
    made.step(2, 20, 10, STEP_RETURNED)
    seen = Seen(made)
    run = seen.numbers("child")[-1]
    assert seen.owner(seen.loop.spans.by[run]) == "a"


def test_what_a_task_awaits():
    made = sleeper()
    task, waiter, call, own = (made.type(name) for name in ("Task", "Waiter", "Call", "Connection"))
    acquire = made.code("Lock.acquire", "/usr/lib/python3/site-packages/clearloop/locks.py", 90, {6: (95, "await w")})
    load = made.code("load", "app.py", 70)
    made.job(7, 5, other=1, code=load)
    time = 10
    for kind, other, code in [
        (task, 2, made.fetch),  # whose name comes later
        (task, 99, made.fetch),  # of which nothing is known
        (waiter, 0, acquire),
        (waiter, -1, acquire),  # told of as what waits inside a line of the program's
        (call, 7, made.fetch),
        (call, 8, made.fetch),
        (own, 0, made.fetch),
        (12345, 0, made.fetch),
    ]:
        if other == -1:
            made.step(1, time, 10, SUSPENDED | WITHIN, kind, code, made.fetch, 4)
        else:
            made.step(1, time, 10, SUSPENDED, kind, other, code, 4 if code == made.fetch else 6)
        made.wake(1, time + 20)
        made.callback(time + 19, 2)
        time += 30
    made.step(1, time, 10, STEP_RETURNED)
    made.task(2, 0, made.fetch, name="loader", how=RECALLED)
    seen = Seen(made)
    awaits = [i for i in seen.numbers("a") if seen.loop.spans.kind[i] == AWAIT]
    labels = [seen.text(seen.loop.spans.label[i]) for i in awaits]
    assert labels == ["loader", "task 99", "Lock", "Lock", "job of load()", "a job", "Connection", ""]
    assert seen.place(seen.loop.spans.place[awaits[3]]) == seen.place(seen.loop.spans.place[awaits[0]])
    assert seen.place(seen.loop.spans.place[awaits[0]]) == ("app.py", 12, "fetch", "await asyncio.sleep(1)")


# -- the tree, times, outcomes --


def test_the_tree_is_depth_first_by_age():
    made = DumpMaker()
    code = made.code("f")
    for task, parent in [(5, 1), (1, 0), (2, 1), (9, 2), (3, 77), (4, 2), (8, 5)]:
        made.task(task, task, code, parent)
        made.name(task, f"t{task}")
    seen = Seen(made)
    tasks = seen.loop.tasks
    assert [(tasks.id[i], tasks.depth[i]) for i in range(len(tasks))] == [
        (1, 0), (2, 1), (4, 2), (9, 2), (5, 1), (8, 2), (3, 0),
    ]  # fmt: skip
    assert [tasks.parent[i] for i in range(len(tasks))] == [NONE, 0, 1, 1, 0, 4, NONE]


def test_circles_in_the_tree_end_somewhere():
    made = DumpMaker()
    for task, parent in [(1, 3), (2, 1), (3, 2), (4, 4)]:
        made.task(task, task, 0, parent)
    seen = Seen(made)
    assert sorted(seen.loop.tasks.id) == [1, 2, 3, 4]


def test_times_and_outcomes():
    made = sleeper()
    for i, how in enumerate((STEP_RETURNED, STEP_RAISED, STEP_CANCELLED), 2):
        made.task(i, 5, made.fetch, name=f"t{how}")
        made.step(i, 10 * i, 5, how)
    made.live(1, name="a", created=0)
    seen = Seen(made)
    tasks = seen.loop.tasks
    found = {seen.text(tasks.name[i]): (tasks.outcome[i], tasks.ended[i]) for i in range(len(tasks))}
    assert found == {"a": (ALIVE, NONE), "t2": (RETURNED, 25), "t3": (RAISED, 35), "t4": (CANCELLED, 45)}
    assert OUTCOMES[CANCELLED] == "cancelled" and KINDS[HELD] == "held"


def test_busy_waiting_and_steps_are_sums_of_the_spans():
    seen = Seen(many(4000, tasks=7))
    tasks, spans = seen.loop.tasks, seen.loop.spans
    for row in range(len(tasks)):
        sums = [0] * 5
        own = range(seen.loop.first[row], seen.loop.first[row + 1])
        for i in own:
            sums[spans.kind[i]] += spans.end[i] - spans.begin[i]
        assert [tasks.busy[row], tasks.waiting[row], tasks.held[row]] == sums[:3]
        assert tasks.steps[row] == sum(spans.kind[i] == RUN for i in own)
        # without holes and without overlaps
        assert all(spans.end[i] == spans.begin[i + 1] for i in own[:-1])


def test_names_of_any_length():
    made = DumpMaker()
    names = ["", "x", "y" * 24, "z" * 25, "ä€😀" * 20, "<script>alert(1)</script>"]
    for i, name in enumerate(names, 1):
        made.task(i, i, 0, name=name)
    made.task(100, 100, 0)
    made.task(101, 101, 0, serial=7)  # the number in a name is another than that of all tasks
    made.live(102, name="Task-8")
    seen = Seen(made)
    assert [seen.text(name) for name in seen.loop.tasks.name] == [*names, "Task-100", "Task-7", "Task-8"]


def test_long_spans_are_kept_in_coarse_units():
    made = sleeper()
    made.step(1, 10, 600 * 10**9, SUSPENDED)
    seen = Seen(made)
    assert seen.lane("a")[1][:2] == (RUN, 10)
    assert 0 <= 600 * 10**9 - (seen.lane("a")[1][2] - 10) < 1024


# -- what is not known --


def test_before_the_first_record_of_a_task_nothing_is_known():
    made = DumpMaker()
    code = made.code("f")
    made.callback(0, 10)
    made.wake(1, 500, how=BY_TIMER)
    made.step(1, 510, 10, SUSPENDED)
    made.step(2, 600, 10, STEP_RETURNED)
    made.task(2, -5_000_000, code, name="old", how=RECALLED)
    seen = Seen(made)
    assert seen.lane("Task-1")[:3] == [(UNKNOWN, 0, 500), (READY, 500, 510), (RUN, 510, 520)]
    assert seen.lane("old") == [(UNKNOWN, 0, 600), (RUN, 600, 610)]
    assert seen.loop.tasks.created[seen.rows["old"]] == -5_000_000
    assert seen.loop.tasks.created[seen.rows["Task-1"]] == NONE


def test_nothing_is_unknown_before_a_creation():
    made = DumpMaker()
    made.callback(0, 10)
    made.step(2, 600, 10, STEP_RETURNED)
    made.task(2, 400, 0, how=RECALLED)
    assert Seen(made).lane("Task-2") == [(UNKNOWN, 400, 600), (RUN, 600, 610)]


def test_a_task_that_is_told_of_late_is_unknown_from_its_creation():
    """Created while nothing was recorded, it is introduced before the first step of it that is."""
    made = sleeper()
    made.callback(0, 10)
    made.gap(100, 50, 7)
    made.callback(160, 10)
    made.task(2, 120, made.fetch, name="late")
    made.step(2, 200, 10, STEP_RETURNED)
    made.task(3, -9 * MS, made.fetch, name="old")
    made.step(3, 300, 10, STEP_RETURNED)
    seen = Seen(made)
    assert seen.lane("late") == [(UNKNOWN, 120, 200), (RUN, 200, 210)]
    assert seen.lane("old") == [(UNKNOWN, 0, 300), (RUN, 300, 310)]
    assert seen.loop.begin == 0


def test_the_first_record_of_an_overwritten_ring_may_be_an_old_creation():
    made = DumpMaker()
    made.loops[0]["overwritten"] = 500
    made.task(2, -60_000 * MS, made.code("f"), name="old")
    made.step(2, 300, 10, SUSPENDED)
    made.callback(400, 10)
    seen = Seen(made)
    assert seen.lane("old") == [(RUN, 0, 10)]
    assert seen.model.duration == 110


def test_an_await_is_unknown_from_the_first_gap_to_the_last():
    made = sleeper()
    made.step(1, 10, 10, SUSPENDED, made.type("SleepFuture"), code=made.fetch, lasti=4)
    made.gap(100, 50, 7)
    made.callback(150, 10)
    made.gap(200, 100, 9)
    made.wake(1, 400, how=BY_TIMER)
    made.step(1, 410, 10, STEP_RETURNED)
    seen = Seen(made)
    assert seen.lane("a")[2:] == [
        (AWAIT, 20, 100), (UNKNOWN, 100, 300), (AWAIT, 300, 400), (READY, 400, 410), (RUN, 410, 420),
    ]  # fmt: skip
    # It may have run and awaited something else: only before the gap it is known what.
    assert seen.labels("a")[2:5] == ["sleep", "sleep", ""]
    assert list(seen.loop.gaps.steps) == [7, 9]


def test_woken_in_a_gap():
    made = sleeper()
    made.step(1, 10, 10, SUSPENDED)
    made.gap(100, 50, 7)
    made.step(1, 200, 10, STEP_RETURNED)
    assert Seen(made).lane("a")[2:] == [(AWAIT, 20, 100), (UNKNOWN, 100, 200), (RUN, 200, 210)]


def test_ready_before_a_gap_and_woken_again_behind_it():
    made = sleeper()
    made.step(1, 10, 10, SUSPENDED)
    made.wake(1, 50, how=BY_TIMER)
    made.gap(100, 50, 7)
    made.wake(1, 180, how=BY_TIMER)
    made.step(1, 200, 10, STEP_RETURNED)
    assert Seen(made).lane("a")[2:] == [
        (AWAIT, 20, 50), (READY, 50, 100), (UNKNOWN, 100, 150), (AWAIT, 150, 180), (READY, 180, 200), (RUN, 200, 210),
    ]  # fmt: skip


def test_the_last_stretch_of_tasks_that_are_alive():
    made = sleeper()
    sleep = made.type("SleepFuture")
    for task in range(2, 6):
        made.task(task, 0, made.fetch, name=f"t{task}")
    for task in range(1, 5):
        made.step(task, 10 * task, 5, SUSPENDED, sleep, code=made.fetch, lasti=4)
    made.wake(3, 90, how=BY_TIMER)
    made.live(1, name="a", waits=sleep, code=made.fetch, lasti=4)
    made.live(3, name="t3")
    made.live(5, name="t5")
    made.live(77, name="seldom", coro=made.fetch, created=-3 * MS, waits=sleep, code=made.fetch, lasti=4)
    made.callback(99, 1)
    seen = Seen(made)
    assert seen.lane("a")[-1] == (AWAIT, 15, 100)
    assert seen.lane("t3")[-2:] == [(AWAIT, 35, 90), (READY, 90, 100)]
    assert seen.lane("t5") == [(READY, 0, 100)]
    # It is alive, and no step of it was recorded, so it has awaited that all the time.
    assert seen.lane("seldom") == [(AWAIT, 0, 100)] and seen.labels("seldom") == ["sleep"]
    assert seen.loop.tasks.outcome[seen.rows["t2"]] == LOST


def test_what_is_alive_behind_a_gap():
    made = sleeper()
    sleep = made.type("SleepFuture")
    made.task(2, 0, made.fetch, name="gone")
    made.step(1, 10, 5, SUSPENDED)
    made.step(2, 20, 5, SUSPENDED)
    made.gap(100, 50, 7)
    made.callback(190, 10)
    made.live(1, name="a", waits=sleep, code=made.fetch, lasti=4)
    seen = Seen(made)
    assert seen.lane("a")[2:] == [(AWAIT, 15, 100), (UNKNOWN, 100, 150), (AWAIT, 150, 200)]
    assert seen.labels("a")[-1] == "sleep"
    assert seen.lane("gone")[2:] == [(AWAIT, 25, 100), (UNKNOWN, 100, 150)]
    assert seen.loop.tasks.outcome[seen.rows["gone"]] == LOST


# -- stalls, jobs, the strip --


def test_a_stall_is_the_step_and_its_report():
    made = blocked_jobs(3)
    made.report(-9 * MS, -8 * MS, verdict="gc", task="long ago", loop=0)
    seen = Seen(made)
    stalls = seen.loop.stalls
    assert [stall.verdict for stall in stalls] == ["blocking"] * 3 + ["gc"]
    for i, stall in enumerate(stalls[:3]):
        assert seen.owner(stall.span) == f"job-{i}" == stall.report["task"]
        assert seen.place(stall.place) == ("app.py", 12, "job", "time.sleep(0.2)")
        assert seen.place(seen.loop.spans.place[stall.span]) == seen.place(stall.place)
        assert stall.end - stall.begin == 200 * MS
    assert (stalls[3].span, stalls[3].begin) == (NONE, -9 * MS)  # overwritten, but told of


def test_the_longest_stall_comes_first_and_one_without_a_report_is_there():
    made = sleeper()
    for i, length in enumerate((3 * MS, 9 * MS, 5 * MS)):
        made.callback(i * 10 * MS, length)
        made.stall(0, i * 10 * MS, length, 2)
    seen = Seen(made)
    assert [stall.end - stall.begin for stall in seen.loop.stalls] == [9 * MS, 5 * MS, 3 * MS]
    assert [stall.verdict for stall in seen.loop.stalls] == ["compute"] * 3
    assert all(seen.loop.spans.lane[stall.span] == CALLBACKS for stall in seen.loop.stalls)


def test_a_stall_that_was_a_turn_of_several_steps_leads_to_one_of_the_task_that_was_named():
    made = blocked_jobs(5, hold=30 * MS)
    made.stalls.clear()
    end = made.last
    made.records[0] = made.records[0].replace(bytes([8, 1, 0, 0]), bytes([0, 1, 0, 0]))  # no STALL records
    made.stall(4, 60_000, 150 * MS, 1, 2, 8)
    made.report(60_000, 150 * MS, verdict="blocking", steps=5, task="job-2", loop=0)
    assert end < 160 * MS
    seen = Seen(made)
    (stall,) = seen.loop.stalls
    assert seen.owner(stall.span) == "job-2" == seen.text(seen.loop.tasks.name[stall.task])


def test_jobs_that_are_dropped_or_not_yet_done():
    made = sleeper()
    load = made.code("load")
    made.job(1, 10, other=1, code=load, type=made.type("ProcessPoolExecutor"))
    made.job(2, 11, other=1, code=load)
    made.job(2, 30, JOB_DROPPED)
    made.job(3, 20, RAN, 100, 4242, load)
    made.job(4, 12, other=1, code=load)
    made.job(4, 80, DELIVERED)
    jobs = Seen(made).loop.jobs
    assert [JOB_OUTCOMES[each] for each in jobs.outcome] == ["pending", "dropped", "ran", "delivered"]
    assert list(jobs.end) == [NONE, 30, 120, 80]
    assert list(jobs.submitted) == [10, 11, NONE, 12]
    assert jobs.outcome[1] == DROPPED and jobs.worker[2] == 0


def test_utilisation_is_the_share_of_time_that_is_no_waiting():
    made = sleeper()
    made.wait(1_000_000, 3_000_000)
    made.stop(4_000_000)
    loop = Seen(made).loop
    assert len(loop.strip) * loop.strip.width == 4_000_000
    shares = list(loop.strip.utilisation)
    quarter = len(shares) // 4
    assert shares[:quarter] == [1.0] * quarter and shares[quarter:] == [0.0] * 3 * quarter


def test_lag_is_the_longest_wait_of_what_was_ready():
    made = sleeper()
    made.step(1, 10, 10, YIELDED)
    made.callback(1000, 400 * MS)
    made.step(1, 401 * MS, 10, SUSPENDED)
    made.stop(802 * MS)
    strip = Seen(made).loop.strip
    assert max(strip.lag) == 401 * MS - 20
    assert strip.lag[len(strip) // 4] == 401 * MS - 20
    assert strip.lag[len(strip) * 3 // 4] == 0


def test_a_loop_that_did_not_run_has_no_utilisation():
    made = sleeper()
    made.stop(1 * MS)
    made.run(3 * MS)
    made.stop(4 * MS)
    shares = list(Seen(made).loop.strip.utilisation)
    assert shares[len(shares) // 2] == NONE and shares[0] == shares[-1] == 1.0


def test_two_loops_share_their_time():
    made = sleeper()
    made.step(1, 100, 10)
    made.loop(1, thread="worker")
    made.task(50, 40, made.fetch, name="other")
    made.step(50, 300, 10)
    seen = Seen(made, loop=1)
    assert seen.model.loops[0].begin == 0 and seen.loop.begin == 40
    assert seen.lane("other")[0] == (READY, 40, 300)
    assert (seen.loop.number, seen.loop.thread) == (1, "worker")


def test_a_dump_without_records():
    model = build(read(DumpMaker().bytes()))
    assert model.duration == 0 and len(model.loops[0].spans) == 0 and len(model.loops[0].strip) == 0


# -- size --


def test_a_million_records(tmp_path, capsys):
    path = many(1_000_000, tasks=500).write(tmp_path / "large.clearloop")
    began = time.process_time()
    dump = read(path)
    model = build(dump)
    took = time.process_time() - began
    spans = model.loops[0].spans
    size = sum(len(column) * column.itemsize for column in (getattr(spans, name) for name in spans.__slots__))
    with capsys.disabled():
        print(f"\n  a model of 1,000,000 records: {took:.1f} s of CPU time, {size >> 20} MiB of spans", end="")
    assert len(spans) > 1_300_000
    assert size < 64 << 20
    assert not dump.problems


@pytest.mark.parametrize("records", [20_000])
def test_memory_per_record_is_bounded(records):
    raw = many(records, tasks=50).bytes()
    build(read(many(500).bytes()))
    tracemalloc.start()
    build(read(raw))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150 * records  # 200 MiB for a million, with the records themselves
