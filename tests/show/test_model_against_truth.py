"""Random programs, played by hand: the model tells of every task exactly what it did, and of every red stretch the
longest step in it, as a search through all steps finds it."""

import random

import pytest
from dump_maker import MS, DumpMaker

from clearloop.show.dump import read
from clearloop.show.model import AWAIT, CALLBACKS, HELD, NONE, READY, RUN, build
from clearloop.show.records import BY_TIMER, RETURNED, SUSPENDED, YIELDED


class Play:
    """A loop with a queue of ready tasks; writes records as the recorder does, and keeps what really happened."""

    def __init__(self, seed, tasks, length):
        self.random = random.Random(seed)
        self.made = DumpMaker()
        self.time = 0
        self.steps = []  # begin, end, task (0: callback)
        self.truth = {}  # task: [(AWAIT or READY or RUN, begin, end)]
        self.woken_by = {}  # (task, begin of its step): begin of the step that woke it
        self.since = {}
        self.queue = []
        self.awaiting = []
        self.waker = {}
        for task in range(1, tasks + 1):
            self.made.task(task, self.time)
            self.truth[task] = []
            self.since[task] = self.time
            self.queue.append(task)
            self.time += self.random.randrange(3)
        self.made.run(self.time)
        for _ in range(length):
            self.random.choice((self.run, self.run, self.run, self.run, self.callback, self.timer, self.wait))()
        for task in (*self.queue, *self.awaiting):
            self.made.live(task)

    def length(self):
        short, middle = self.random.randrange(1, 5000), self.random.randrange(1, 999_999)
        return self.random.choice((short, middle, self.random.choice((1, 2, 5, 30)) * MS + 7))

    def step(self, task, how):
        begin, end = self.time, self.time + self.length()
        for other in self.random.sample(self.awaiting, min(len(self.awaiting), self.random.randrange(3))):
            self.awaiting.remove(other)
            at = self.random.randrange(begin, end)
            self.made.wake(other, at, by=task)
            self.ready(other, at)
            self.waker[other] = begin
        if task:
            self.made.step(task, begin, end - begin, how)
        else:
            self.made.callback(begin, end - begin)
        self.steps.append((begin, end, task))
        self.time = end + self.random.choice((0, 0, 3))

    def ready(self, task, at):
        if at > self.since[task]:
            self.truth[task].append((AWAIT, self.since[task], at))
        self.since[task] = at
        self.queue.append(task)

    def run(self):
        if not self.queue:
            return
        task = self.queue.pop(0)
        begin = self.time
        if begin > self.since[task]:
            self.truth[task].append((READY, self.since[task], begin))
        self.woken_by[task, begin] = self.waker.pop(task, None)
        endings = (SUSPENDED, SUSPENDED, SUSPENDED, YIELDED) + (RETURNED,) * (len(self.queue) + len(self.awaiting) > 3)
        how = self.random.choice(endings)
        self.step(task, how)
        end = self.steps[-1][1]
        self.truth[task].append((RUN, begin, end))
        self.since[task] = end
        if how == YIELDED:
            self.queue.append(task)
        elif how == SUSPENDED:
            self.awaiting.append(task)

    def callback(self):
        self.step(0, None)

    def timer(self):
        if self.awaiting:
            task = self.awaiting.pop(self.random.randrange(len(self.awaiting)))
            at = self.random.randrange(self.since[task], self.time + 1)
            self.made.wake(task, at, how=BY_TIMER)
            self.ready(task, at)

    def wait(self):
        if not self.queue:
            length = self.random.randrange(1, 20 * MS)
            self.made.wait(self.time, length)
            self.time += length


def longest(play, task, begin, end):
    """The longest overlap of a step of somebody else, by looking at all of them."""
    return max(
        (min(e, end) - max(b, begin) for b, e, other in play.steps if other != task or other == 0), default=0
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_the_model_tells_what_happened(seed):
    play = Play(seed, tasks=1 + seed % 17, length=400)
    model = build(read(play.made.bytes()))
    loop = model.loops[0]
    spans = loop.spans
    end = model.duration
    held = 0
    for row, task in enumerate(loop.tasks.id):
        own = range(loop.first[row], loop.first[row + 1])
        told = [(READY if spans.kind[i] == HELD else spans.kind[i], spans.begin[i], spans.end[i]) for i in own]
        happened = [each for each in play.truth[task] if each[2] <= end]
        assert told[: len(happened)] == happened
        assert len(told) - len(happened) <= 2  # what went on when the records ended
        for i in own:
            begin, until = spans.begin[i], spans.end[i]
            if spans.kind[i] in (READY, HELD):
                most = longest(play, task, begin, until)
                assert (spans.kind[i] == HELD) == (most >= MS)
            if spans.kind[i] == HELD:
                held += 1
                by = spans.by[i]
                assert spans.kind[by] == RUN and spans.lane[by] != row
                # the first that held it nearly as long as any
                assert min(spans.end[by], until) - max(spans.begin[by], begin) >= most - most // 10
            elif spans.kind[i] == RUN:
                waker = play.woken_by[task, begin]
                assert (spans.begin[spans.by[i]] if spans.by[i] != NONE else None) == waker
    callbacks = [i for i, lane in enumerate(spans.lane) if lane == CALLBACKS]
    assert [(spans.begin[i], spans.end[i]) for i in callbacks] == [(b, e) for b, e, task in play.steps if not task]
    if seed % 17 > 3:
        assert held  # or nothing was tested
