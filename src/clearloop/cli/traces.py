"""Hides the command's own frames, and those of compiled code, from the traceback of a program that fails.

The exception is left to reach the interpreter, which then does what it does for any program: sets
`sys.last_exc`, calls `sys.excepthook`, flushes, and ends by SIGINT after Ctrl-C. Only the hook is stepped in
front of, once, to drop what `python SCRIPT` would not show: the frames below the program, and the entries
that Cython makes for compiled functions; asyncio's own, written in C, leave none either.
"""

from __future__ import annotations

import sys
from types import CodeType, TracebackType


def without_ours(last: CodeType) -> None:
    """Have the exception now on its way out shown without the frames up to the one that runs `last`."""
    shown_by = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.excepthook = shown_by
        error.__traceback__ = _after(last, trace)
        _drop_compiled(error, set())
        sys.last_traceback = error.__traceback__
        shown_by(kind, error, error.__traceback__)

    sys.excepthook = show


def _after(last: CodeType, trace: TracebackType | None) -> TracebackType | None:
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code is last:
            break
    return trace


def _drop_compiled(error: BaseException | None, seen: set[int]) -> None:
    """Do so for the exception, what it came from, and what it is made of."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    error.__traceback__ = _written_in_python(error.__traceback__)
    _drop_compiled(error.__cause__, seen)
    _drop_compiled(error.__context__, seen)
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            _drop_compiled(part, seen)


def _written_in_python(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_compiled(trace):
        trace = trace.tb_next
    here = trace
    while here is not None:
        while here.tb_next is not None and _is_compiled(here.tb_next):
            here.tb_next = here.tb_next.tb_next
        here = here.tb_next
    return trace


def _is_compiled(trace: TracebackType) -> bool:
    # Cython names the code of such an entry by the full name of the function, which no Python code has.
    return trace.tb_frame.f_code.co_name.startswith("clearloop.")
