"""How far amap has come, as somebody wants to hear it: a bar, lines, or a call.

A bar is drawn by the package rich where it is installed and stderr is a terminal; else lines go to stderr, one every
LINE_EVERY seconds and one at the end, which a log file can take.
"""

import sys
import time
from typing import NamedTuple

LINE_EVERY = 5.0  # seconds
DRAW_EVERY = 0.1


class Progress(NamedTuple):
    """The counts that a progress callable is given; `total` is None when nobody knows."""

    done: int
    failed: int
    running: int
    total: int | None


def reporter(progress, total):
    """What the driver calls with the flow whenever counts may have changed, and whose end() it calls last; or None."""
    if progress is None or progress is False:
        return None
    if callable(progress):
        return _Caller(progress, total)
    if progress is not True and not isinstance(progress, str):
        raise TypeError(f"progress must be True, a description or a callable, not {progress!r}")
    description = progress if isinstance(progress, str) else "amap"
    if sys.stderr is not None and sys.stderr.isatty():
        try:
            return _Bar(description, total)
        except ImportError:
            pass
    return _Lines(description, total)


class _Caller:
    def __init__(self, call, total):
        self.call, self.total = call, total
        self.last = None

    def __call__(self, flow):
        counts = Progress(flow.done, flow.failed, flow.running, self.total)
        if counts != self.last:
            self.last = counts
            self.call(counts)

    end = __call__


class _Bar:
    def __init__(self, description, total):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        columns += [TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn()]
        # no thread of its own: the driver draws, at most every DRAW_EVERY seconds
        self.bar = RichProgress(*columns, console=Console(stderr=True), auto_refresh=False)
        self.task = self.bar.add_task(description, total=total, rate="")
        self.began = time.monotonic()
        self.drawn = self.began - DRAW_EVERY
        self.bar.start()

    def __call__(self, flow):
        now = time.monotonic()
        if now - self.drawn >= DRAW_EVERY:
            self.drawn = now
            self._draw(flow, now)

    def _draw(self, flow, now):
        ended = flow.done + flow.failed
        self.bar.update(self.task, completed=ended, rate=_rate(ended, now - self.began))
        self.bar.refresh()

    def end(self, flow):
        self._draw(flow, time.monotonic())
        self.bar.stop()


class _Lines:
    def __init__(self, description, total):
        self.description, self.total = description, total
        self.began = self.said = time.monotonic()

    def __call__(self, flow):
        now = time.monotonic()
        if now - self.said >= LINE_EVERY:
            self.said = now
            self._say(flow, now, "")

    def end(self, flow):
        self._say(flow, time.monotonic(), ", stopped" if flow.stopped else ", ended")

    def _say(self, flow, now, how):
        ended, elapsed = flow.done + flow.failed, now - self.began
        words = f"{self.description}: {ended}" + (f" of {self.total}" if self.total is not None else "")
        words += f", {_rate(ended, elapsed)}"
        if flow.failed:
            words += f", {flow.failed} failed"
        if self.total is not None and ended and not how:
            words += f", {(self.total - ended) * elapsed / ended:.0f} s left"
        if sys.stderr is not None:
            print(words + how, file=sys.stderr, flush=True)


def _rate(count, seconds):
    return f"{count / seconds:.1f}/s" if seconds > 0 and count else "0/s"
