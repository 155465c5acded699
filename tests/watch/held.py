"""Loops that are held on purpose, and what the watchdog said of it."""

import asyncio
import contextlib
import inspect
import threading
from pathlib import Path

import clearloop
from clearloop.system import watchdog as thread
from clearloop.watch import reporting

THRESHOLD = 0.05
LONG = 0.4  # eight times the threshold
TRIES = 8
BUSY = 20_000_000  # ns that threads of ours waited for a processor: others had a say in what was measured


class Seen:
    """The stalls of a test, as they were handed over; each list only holds those of this test's loops."""

    def __init__(self, monkeypatch):
        self.began = []
        self.ended = []
        self.threads = set()
        self.while_it_lasted = []  # whether the loop's thread was still in the block when the first word came
        self.on_the_first_word = None  # called then, on the watchdog's thread
        self.before_a_try = None  # called before each further try, which begins as if there had been none
        self.again = None  # makes a further try; run() sets it, who causes a block anew each time replaces it
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

        self.again = lambda: self.run(main, threshold, **settings)
        before = waited()
        with asyncio.Runner(loop_factory=factory) as runner:
            result = runner.run(main())
        assert thread.flush(60)
        self.busy = waited() - before > BUSY or any(stall.verdict == "descheduled" for stall in self.ended)
        return result

    def run_until(self, holds, main, **settings):
        """Run it, and on a machine that was busy with others again, until `holds()`; return whether it did.

        Whoever starves the watchdog's thread hides a hold from it, and whoever starves ours makes further ones: that
        is what the watchdog is there to say, and not what the tests that call this are about.  On a machine that had
        nothing else to do the first try counts.
        """
        for _ in range(TRIES):
            self._forget()
            self.run(main, **settings)
            if holds() or not self.busy:
                break
        return holds()

    def _forget(self):
        self.began.clear()
        self.ended.clear()
        self.while_it_lasted.clear()
        if self.before_a_try is not None:
            self.before_a_try()

    @property
    def blamed(self):
        """The stalls that the program is blamed for."""
        return [stall for stall in self.ended if stall.verdict != "descheduled"]

    def the_one(self, verdict=None):
        """The one stall that the test has caused; on a busy machine the test is run again, as in run_until()."""

        def found():
            return len(self.blamed) == 1 and verdict in (None, self.blamed[0].verdict)

        again = self.again
        for _ in range(TRIES - 1):
            if found() or not self.busy:
                break
            self._forget()
            again()
        assert len(self.blamed) == 1, self.ended
        [stall] = self.blamed
        if verdict is not None:
            assert stall.verdict == verdict, f"{stall!r}: {stall.note}, CPU {stall.cpu_seconds}"
        return stall


def waited():
    """How long the threads of this process have waited for a processor, in ns; 0 where the system does not tell."""
    total = 0
    for told in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # of a thread that ends just now
            total += int(told.read_text().split()[1])
    return total


def line_of(function, marker="# here"):
    """The number of the line of `function` that carries the marker."""
    lines, first = inspect.getsourcelines(function)
    [found] = [first + place for place, line in enumerate(lines) if marker in line]
    return found
