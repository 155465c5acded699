"""Loops that are held on purpose, and what the watchdog said of it."""

import asyncio
import inspect
import threading

import clearloop
from clearloop.system import watchdog as thread
from clearloop.watch import reporting

THRESHOLD = 0.05
LONG = 0.4  # eight times the threshold: seen on any machine that runs at all


class Seen:
    """The stalls of a test, as they were handed over; each list only holds those of this test's loops."""

    def __init__(self, monkeypatch):
        self.began = []
        self.ended = []
        self.threads = set()
        self.while_it_lasted = []  # whether the loop's thread was still in the block when the first word came
        self.on_the_first_word = None  # called then, on the watchdog's thread
        monkeypatch.setattr(reporting, "began", self._began)
        monkeypatch.setattr(reporting, "ended", self._ended)

    def _began(self, stall):
        self.threads.add(threading.get_ident())
        self.began.append(stall)
        if self.on_the_first_word is not None:
            self.on_the_first_word()

    def _ended(self, stall):
        self.threads.add(threading.get_ident())
        self.ended.append(stall)

    def run(self, main, threshold=THRESHOLD, **settings):
        """Run a coroutine function on a loop of its own, and wait until all was said."""

        def factory():
            loop = clearloop.new_event_loop()
            loop.slow_callback_duration = threshold
            for name, value in settings.items():
                getattr(loop, name)(value)
            return loop

        with asyncio.Runner(loop_factory=factory) as runner:
            result = runner.run(main())
        assert thread.flush(10)
        return result

    @property
    def blamed(self):
        """The stalls that the program is blamed for."""
        return [stall for stall in self.ended if stall.verdict != "descheduled"]

    def the_one(self, verdict=None):
        """The one stall that the test has caused; the machine may have caused others."""
        [stall] = self.blamed
        if verdict is not None:
            assert stall.verdict == verdict, f"{stall!r}: {stall.note}, CPU {stall.cpu_seconds}"
        return stall


def line_of(function, marker="# here"):
    """The number of the line of `function` that carries the marker."""
    lines, first = inspect.getsourcelines(function)
    [found] = [first + place for place, line in enumerate(lines) if marker in line]
    return found
