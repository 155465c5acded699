"""The target's loop under a clock that the test drives.

CPython's task and future tests time their steps with a loop of the test-suite's own, fed by a generator: for each
timer that was set it is sent the deadline, and yields by how much the time shall advance. That loop is built from
private parts of asyncio's; this one does the same with public methods only, so that it works on any loop: timers are
kept here, and a callback that puts itself back into the ready queue looks after them once a turn.
"""

import asyncio
import heapq
import itertools

from . import target


class VirtualTimeLoop(target.EventLoop):
    """A loop whose time moves only as `gen` says.

    Parameters:
        gen: the generator function that the test drives time with; None for a clock that stands still at 0.
    """

    def __init__(self, gen=None):
        super().__init__()
        self._checks_gen = gen is not None
        self._advance = (gen or _stands_still)()
        next(self._advance)
        self._now = 0
        self._order = itertools.count()
        self._timers = []
        self._unseen = []
        self._turning = None

    def time(self):
        return self._now

    def advance_time(self, advance):
        self._now += advance or 0

    def call_later(self, delay, callback, *args, context=None):
        if delay is None:
            raise TypeError("delay must not be None")
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        if when is None:
            raise TypeError("when cannot be None")
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        self._unseen.append(when)
        return handle

    def _timer_handle_cancelled(self, handle):
        pass

    def run_forever(self):
        if self.is_closed() or self.is_running():
            return super().run_forever()  # which says what is wrong
        if self._turning is None:
            self._turning = self.call_soon(self._turn)
        try:
            super().run_forever()
        finally:
            self._turning.cancel()
            self._turning = None
        self._tell_deadlines()

    def _turn(self):
        self._turning = self.call_soon(self._turn)
        self._tell_deadlines()
        while self._timers and self._timers[0][0] <= self._now + 1e-9:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self.call_soon(handle._run)

    def _tell_deadlines(self):
        unseen, self._unseen = self._unseen, []
        for when in unseen:
            self.advance_time(self._advance.send(when))

    def close(self):
        if not self.is_closed() and self._checks_gen:
            self._tell_deadlines()
        super().close()
        if self._checks_gen:
            try:
                self._advance.send(0)
            except StopIteration:
                pass
            else:
                raise AssertionError("the test's time generator has not finished")


def _stands_still():
    while True:
        yield
