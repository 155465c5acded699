"""A stall: one time that something held the loop, as a plain record.

It holds strings and numbers only.  Nothing in it keeps a frame, a task or any other object of the program alive, so
it can be stored, sent or printed by anyone, on any thread, at any time.

The watchdog hands a stall over twice: while the block lasts (`ongoing`, with what is known by then), and once more
after it has ended, as a second record that is complete.  Both have the same `number`.
"""

from typing import NamedTuple

__all__ = ["VERDICTS", "Delayed", "Frame", "Stall"]

#: What held the loop.  `descheduled` is never the program's fault, `gil` and `gc` seldom that of the line named.
VERDICTS = ("blocking", "compute", "gil", "gc", "descheduled")


class Frame(NamedTuple):
    """A frame of the stack, as a traceback would show it."""

    file: str
    line: int
    function: str


class Delayed(NamedTuple):
    """Somebody who had to wait.

    `task` is the name of the task, or None; `callback` says what waited in words (the callback, the protocol's
    method); `seconds` is how long it was ready and could not run.
    """

    task: str | None
    callback: str | None
    seconds: float


class Stall:
    """One time that a step, or a turn of many short ones, held the loop longer than the threshold.

    number        counts the stalls of this process; the record during the block and the one after it share it
    loop          number of the loop in this process, from 0, in the order in which loops began to be watched
    began         when it began: local time with its offset, ISO 8601
    seconds       how long it lasted; while `ongoing`, how long so far.  The beginning is known to one tick of the
                  watchdog (a tenth of the threshold), the end exactly
    ongoing       True while the block lasts
    verdict       one of VERDICTS; None while ongoing
    cpu_seconds   CPU time that the loop's thread used meanwhile
    task          name of the task that ran, or None
    callback      what ran, in words, when it was no task (or whose step it was); None when it cannot be told
    begin_ns, end_ns
                  the same on the monotonic clock, as time.monotonic_ns() has it; end_ns is the last look while ongoing
    steps         1 for a step; more for a turn of many short ones that held the loop together
    file, line, function
                  the innermost frame of the program's own code; None when no Python frame ran inside the step (a
                  callback written in C, such as call_soon(time.sleep, 1))
    code          the exact source text of the call in that line; None when the source cannot be read
    call          the dotted name of what is called, such as "time.sleep"; None where it is not known
    stack         the frames of the step, outermost first; longer than 100, the middle is left out
    delayed_count how many had to wait
    delayed       up to 100 of them, the longest wait first
    note          more about the verdict: the other thread and its line, the system call that it sat in; or None
    advice        what to write instead; filled in by whoever presents the stall, or None
    """

    __slots__ = (
        "advice",
        "began",
        "begin_ns",
        "call",
        "callback",
        "code",
        "cpu_seconds",
        "delayed",
        "delayed_count",
        "end_ns",
        "file",
        "function",
        "line",
        "loop",
        "note",
        "number",
        "ongoing",
        "seconds",
        "stack",
        "steps",
        "task",
        "verdict",
    )

    def __init__(
        self,
        *,
        number=0,
        loop=0,
        began="",
        seconds=0.0,
        ongoing=False,
        verdict=None,
        cpu_seconds=0.0,
        task=None,
        callback=None,
        steps=1,
        file=None,
        line=None,
        function=None,
        code=None,
        call=None,
        stack=(),
        delayed_count=0,
        delayed=(),
        note=None,
        advice=None,
        begin_ns=0,
        end_ns=0,
    ):
        self.number = number
        self.loop = loop
        self.began = began
        self.seconds = seconds
        self.ongoing = ongoing
        self.verdict = verdict
        self.cpu_seconds = cpu_seconds
        self.task = task
        self.callback = callback
        self.steps = steps
        self.file = file
        self.line = line
        self.function = function
        self.code = code
        self.call = call
        self.stack = list(stack)
        self.delayed_count = delayed_count
        self.delayed = list(delayed)
        self.note = note
        self.advice = advice
        self.begin_ns = begin_ns
        self.end_ns = end_ns

    @property
    def key(self):
        """The place: stalls with the same key are one finding that came again."""
        return (self.file, self.line, self.function)

    @property
    def worst(self):
        """The one who waited longest, or None."""
        return self.delayed[0] if self.delayed else None

    def __repr__(self):
        state = "ongoing" if self.ongoing else self.verdict
        return f"<Stall {state} {self.seconds:.3f} s {self.file}:{self.line} {self.code or self.call or self.callback}>"
