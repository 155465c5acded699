"""Hides the command's own frames from the traceback of a program that fails.

The exception is left to reach the interpreter, which then does what it does for any program: sets
`sys.last_exc`, calls `sys.excepthook`, flushes, and ends by SIGINT after Ctrl-C. Only the hook is stepped in
front of, once, to drop the first frames.
"""

from __future__ import annotations

import sys
from types import CodeType, TracebackType


def without_ours(last: CodeType) -> None:
    """Have the exception now on its way out shown without the frames up to the one that runs `last`."""
    shown_by = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.excepthook = shown_by
        trace = _after(last, trace)
        error.__traceback__ = sys.last_traceback = trace
        shown_by(kind, error, trace)

    sys.excepthook = show


def _after(last: CodeType, trace: TracebackType | None) -> TracebackType | None:
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code is last:
            break
    return trace
