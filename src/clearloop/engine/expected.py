"""A step may say that it is going to block: the probe tells the watchdog."""

from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.watchdog import stretch_ends


def begin(loop):
    """The step that runs may block from here on; return what end() wants back."""
    if not isinstance(loop, Scheduler):
        return None
    scheduler: Scheduler = loop
    before = scheduler.probe.expected
    if scheduler.probe.slow:
        scheduler.was_slow(0, False)  # what came before has been too long already
    scheduler.probe.expected = scheduler.probe.steps + 1
    return before


def end(loop, before):
    """The step goes on as any other; its time begins anew."""
    if before is None:
        return
    scheduler: Scheduler = loop
    stretch_ends(scheduler.probe)  # first: a look that finds the step blamable again must find it young
    scheduler.probe.expected = before
