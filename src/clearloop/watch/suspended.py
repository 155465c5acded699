"""Where a waiting task stands: the frames from its coroutine down to the innermost await, and that await's text."""

import asyncio
import linecache

from clearloop.watch.advice import module_of_file
from clearloop.watch.plain_text import one_line

MOST_FRAMES = 100
_PRIMITIVES = {asyncio.locks.__file__, asyncio.queues.__file__}


def frames(coroutine):
    """The suspended frames of a coroutine, outermost first."""
    found = []
    while coroutine is not None and len(found) < MOST_FRAMES:
        for names in (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom")):
            if hasattr(coroutine, names[0]):
                frame = getattr(coroutine, names[0])
                coroutine = getattr(coroutine, names[1])
                break
        else:
            break
        if frame is not None:
            found.append(frame)
    return found


def waited_in(coroutine):
    """The lock, event, condition, semaphore, barrier or queue of asyncio's own that a coroutine waits in, or None."""
    stack = frames(coroutine)
    if not stack or stack[-1].f_code.co_filename not in _PRIMITIVES:
        return None
    found = None
    for frame in reversed(stack):  # a queue is joined, and a barrier passed, by way of others: what is outermost counts
        if frame.f_code.co_filename not in _PRIMITIVES:
            break
        found = frame.f_locals.get("self", found)
    return found


def place(task):
    """{file, line, function, code} of the await in the program's own code; all None when nothing is known."""
    stack = frames(task.get_coro())
    frame = next((frame for frame in reversed(stack) if module_of_file(frame.f_code.co_filename) is None), None)
    frame = frame or (stack[-1] if stack else None)
    if frame is None:
        return {"file": None, "line": None, "function": None, "code": None}
    return {
        "file": one_line(frame.f_code.co_filename, 1000),
        "line": frame.f_lineno,
        "function": one_line(frame.f_code.co_name),
        "code": _text(frame),
    }


def _text(frame):
    """The source of the expression that the frame is in."""
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    positions = list(frame.f_code.co_positions())
    first, last, begin, end = positions[frame.f_lasti // 2] if frame.f_lasti >= 0 else (None,) * 4
    if None in (first, last, begin, end) or not 0 < first <= last <= len(lines):
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno or 0).strip()
        return one_line(line) if line else None
    text = [line.encode() for line in lines[first - 1 : last]]
    text[-1] = text[-1][:end]
    text[0] = text[0][begin:]
    found = one_line(b" ".join(text).decode(errors="replace"))
    return found if found.startswith("await ") else one_line(lines[first - 1])  # async with, async for: the whole line
