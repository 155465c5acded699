"""What the pytest plugin does in suites that use it: clearloop loops, a lower threshold, and the verdict on a test."""

import os

from clearloop.engine import registry
from clearloop.installation import install
from clearloop.watch import lines, reporting
from clearloop.watch.callbacks import in_place

# The machine, and other threads, are not the test's fault.
FAULTS = ("blocking", "compute")
SLOW = "CLEARLOOP_SLOW"
MOST_SHOWN = 5


def use_clearloop():
    """Let asyncio give clearloop loops; return a function that takes it back."""
    from asyncio import unix_events

    policy = unix_events._UnixDefaultEventLoopPolicy
    before = policy._loop_factory
    install()

    def restore():
        policy._loop_factory = before

    return restore


class Guard:
    """Watches one test, from the setting up of its fixtures to their end."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.found = []
        self.known = {loop: (loop.slow_callback_duration, loop._step_count()) for loop in registry.loops()}
        self.made = registry.made
        self.slow = os.environ.get(SLOW)
        os.environ[SLOW] = repr(float(seconds))  # what loops that are made from now on begin with
        for loop in self.known:
            loop.slow_callback_duration = seconds
        reporting.settle()  # of what ran before, the fault is not this test's
        self.subscription = in_place(self._came)

    def verdict(self):
        """What is wrong since the last call, as text, or None."""
        reporting.settle()
        found, self.found = self.found, []
        if not found:
            return None
        text = [
            f"blocked the event loop {lines.plural(len(found), 'time')}, {sum(stall.seconds for stall in found):.2f} s "
            f"in all, where {self.seconds:g} s are allowed"
        ]
        text += [_shown(stall) for stall in sorted(found, key=lambda stall: -stall.seconds)[:MOST_SHOWN]]
        if len(found) > MOST_SHOWN:
            text.append(f"and {len(found) - MOST_SHOWN} more")
        return "\n".join(text)

    def saw_nothing(self):
        """Whether no clearloop loop has run."""
        return registry.made == self.made and all(
            loop._step_count() == steps for loop, (_, steps) in self.known.items()
        )

    def close(self):
        """Give every loop its own threshold back."""
        self.subscription.remove()
        if self.slow is None:
            os.environ.pop(SLOW, None)
        else:
            os.environ[SLOW] = self.slow
        for loop in registry.loops():
            loop.slow_callback_duration = self.known[loop][0] if loop in self.known else self._usual()

    def _usual(self):
        try:
            return float(self.slow or 0.1)
        except ValueError:
            return 0.1

    def _came(self, stall):
        if stall.verdict in FAULTS and stall.seconds >= self.seconds:
            self.found.append(stall)


def _shown(stall):
    return lines.in_full(stall, stall.advice).removeprefix("clearloop: ")
