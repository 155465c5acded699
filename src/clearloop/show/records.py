"""What a record of the recorder looks like, for those who read dumps.

Pure numbers: the recorder in the engine writes the same layout, `docs/recording.md` describes it.  A record has
32 bytes; what `actor`, `code`, `place` and `other` mean depends on its kind.
"""

from __future__ import annotations

import struct

MAGIC = b"CLEARLP\x01"
VERSION = 1

# kind, how, type, actor, time, span, code, place, other
RECORD = struct.Struct("<BBHIqIIII")
SIZE = RECORD.size

# kinds
EMPTY = 0
STEP = 1  # of a task, or (actor 0) of a callback
TASK = 2  # a task was created, or says so again when it ends
NAME = 3  # a piece of a task's name
WAKE = 4  # a task became ready
WAIT = 5  # the loop waited in the kernel
GAP = 6  # turns that were not recorded
JOB = 7  # blocking work off the loop
STALL = 8
RUN = 9  # the loop began or ended to run

# how, of a step; its `how` may also have the bit NESTED
SUSPENDED, YIELDED, RETURNED, RAISED, CANCELLED, CALLBACK, DESCRIPTOR = range(7)
# how, of a task
CREATED, RECALLED = range(2)
# how, of a wake-up
BY_STEP, BY_TIMER, BY_THREAD = range(3)
# how, of a job
SUBMITTED, RAN, DELIVERED, DROPPED = range(4)
# how, of a stall
VERDICTS = {1: "blocking", 2: "compute", 3: "gil", 4: "gc", 5: "descheduled"}
# how, of the loop's run
BEGAN, STOPPED = range(2)

HOW = 0x0F  # the bits of `how` that say what happened
WITHIN = 0x20  # in `how` of a step: `other` is the code of clearloop's or asyncio's own function that waits
NESTED = 0x40  # in `how` of a step: inside another one, whose record follows (an eager task)
COARSE = 0x80  # in `how`: the span is in units of 1024 ns
COARSE_SHIFT = 10

NAME_OFFSET = 8  # where the text of a NAME record begins, and how long it may be
NAME_BYTES = SIZE - NAME_OFFSET
