"""What the loop can run: the one base of everything that stands in the ready queue or in the timer heap.

The turn knows nothing else about its entries.  It takes them in order and calls `run`, so a handle, a task, a future
that a timer resolves and a socket that became readable all travel the same way, in the order in which they became
ready.

Four flags and a number, each with one owner:

| flag      | meaning                                                   | who writes it              |
|-----------|-----------------------------------------------------------|----------------------------|
| dead      | cancelled: whoever comes across it drops it               | the entry's own cancel     |
| scheduled | the timer heap holds it                                   | the timer heap             |
| is_task   | sets asyncio's current task itself when it runs           | the native Task, once      |
| queued    | a Source that stands in the ready queue, so never twice   | poll sets it, run clears it|
| order     | which of two timers with one deadline was asked for first | the timer heap             |
|           | of a timer that has fired: how late it was                | the timer heap             |
|           | of a task, which is never a timer: its number             | the native Task, once      |
"""

import cython


@cython.cclass
class Runnable:
    """An entry of the ready queue."""

    def run(self):
        """Do the work.  Raises only what must end the loop (SystemExit, KeyboardInterrupt)."""
        raise NotImplementedError("an entry of the ready queue without work")

    def forget(self):
        """The loop closes: the work will never be done."""
        return 0


@cython.cclass
class Source(Runnable):
    """Something with a descriptor: the poller reports events for it, and it may have bytes to flush after a turn."""

    def subject(self):
        """What the recorder names the step by, borrowed: a function, or an object by its type; NULL: the source."""
        return cython.NULL

    def flush(self):
        """Send what the steps of this turn have written."""
        return 0
