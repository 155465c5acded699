"""What the live view answers: requests in, JSON out (docs/live.md describes both).

Everything runs in the live view's thread, while the loop may be blocked: nothing here waits for the loop, and nothing
runs code of the program.  An answer comes in pieces, so that a long one neither fills memory with its text at once nor
keeps the GIL.
"""

import json
import os
import platform
import socket
import struct
import sys
import time
import weakref

from clearloop.engine import registry, standing
from clearloop.engine.scheduler import Scheduler
from clearloop.watch import code, program, statistics
from clearloop.watch.plain_text import one_line

VERSION = 1  # of the protocol
MOST_TASKS = 10_000
_SLICE = 200  # tasks that are encoded at once
HELD_FROM = 0.05  # seconds: what holds the loop longer is shown with its line


class Failed(Exception):
    """Why a request cannot be answered, in a sentence for who asked."""


class State:
    """What one visitor has switched on: it ends with the connection."""

    def __init__(self):
        self.measured = []  # loops whose tasks are timed for this visitor

    def end(self):
        measured, self.measured = self.measured, []
        for loop in measured:
            statistics.time_tasks_for_view(loop, False)


def answer(request, state):
    """Give the answer to a request, in pieces of bytes."""
    try:
        found = _HANDLERS.get(request["ask"], _unknown)(request, state)
    except Failed as failed:
        found = {"ok": False, "error": str(failed)}
    except Exception as error:
        found = {"ok": False, "error": f"the answer failed: {type(error).__name__}: {one_line(error)}"}
    if isinstance(found, dict):
        yield from _encoded(found)
    else:
        yield from found


def _encoded(answer):
    """The answer as a line of JSON; long lists in slices."""
    pieces = ['{"ok": true' if answer.get("ok", True) else '{"ok": false']
    for key, value in answer.items():
        if key == "ok":
            continue
        pieces.append(f", {json.dumps(key)}: ")
        if not isinstance(value, list) or len(value) <= _SLICE:
            pieces.append(json.dumps(value))
            continue
        for start in range(0, len(value), _SLICE):
            text = json.dumps(value[start : start + _SLICE])
            pieces.append(("[" if start == 0 else ", ") + text[1:-1])
            yield "".join(pieces).encode()
            pieces.clear()
        pieces.append("]")
    pieces.append("}\n")
    yield "".join(pieces).encode()


# ---- the requests ----------------------------------------------------------------------------------------------------


def _unknown(request, state):
    raise Failed(f"unknown request {one_line(request['ask'], 40)!r}")


def _hello(request, state):
    """Who this is, and how its loops are."""
    return {
        "protocol": VERSION,
        "clearloop": sys.modules["clearloop"].__version__,
        "pid": os.getpid(),
        "program": program.name(),
        "python": platform.python_version(),
        "time": time.time(),
        "loops": _entries(),
    }


def _tasks(request, state):
    """Every unfinished task, and where it stands."""
    most = _number(request, "most", MOST_TASKS, 1, MOST_TASKS)
    places = Places()
    found, total = [], 0
    for number, loop in _loops():
        references = standing.everybody(loop)
        total += len(references)
        times, held = statistics.times_of(loop), statistics.held_of(loop._watch_number())
        for row in _rows(loop, references, references[: most - len(found)]):
            found.append(_task(number, loop, row, places, times, held))
    for one in _attached():
        references = standing.everybody(one.loop)
        total += len(references)
        times, held = one.task_times(), statistics.held_of(one.number)
        for row in _rows(one.loop, references, references[: most - len(found)]):
            found.append(_task(one.number, None, row, places, times, held))
    return {
        "time": time.time(),
        "total": total,
        "loops": _entries(),
        "places": places.found,
        "tasks": found,
    }


def _stack(request, state):
    """All frames of one task, outermost first."""
    loop, task = _find(request)
    places = Places()
    one = next((one for one in _attached() if one.loop is loop), None)
    rows = _rows(loop, standing.everybody(loop), [weakref.ref(task)])
    if not rows:
        raise Failed("the task has ended")
    if one is None:
        times, held = statistics.times_of(loop), statistics.held_of(loop._watch_number())
        found = _task(_number_of(loop), loop, rows[0], places, times, held, whole=True)
    else:
        found = _task(one.number, None, rows[0], places, one.task_times(), statistics.held_of(one.number), whole=True)
    return {"task": found, "places": places.found}


def _stats(request, state):
    """The numbers of each loop, and the places that have held it."""
    measure = request.get("measure")
    found = []
    for number, loop in _loops():
        if measure and loop not in state.measured and statistics.time_tasks_for_view(loop, True):
            state.measured.append(loop)
        entry = _loop(number, loop)
        numbers = statistics.stats(loop)
        entry.update(
            busy_seconds=numbers.busy_seconds,
            waiting_seconds=numbers.waiting_seconds,
            lag={f"{percent:g}": seconds for percent, seconds in (numbers.lag or {}).items()} or None,
            lags=_trimmed(loop._measures()[2]),
            stalls=numbers.stalls,
            ready=numbers.ready,
            timers=numbers.timers,
            offloaded=numbers.offloaded,
        )
        found.append(entry)
    found.extend(one.numbers() for one in _attached())
    return {"time": time.time(), "loops": found, "places": statistics.stall_places(), "counts": statistics.counts()}


def _cancel(request, state):
    """Cancel one task, in its loop's thread."""
    loop, task = _find(request)
    one = next((one for one in _attached() if one.loop is loop), None)
    held = (_loop(_number_of(loop), loop) if one is None else one.entry())["held_seconds"]
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:
        raise Failed("the loop is closed") from None
    return {"asked": True, "held_seconds": held}


def _dump(request, state):
    """The recorder's dump: a line of JSON, then blocks of bytes, each behind its length; a length of 0 ends it."""
    from clearloop.watch import dumping

    try:
        return _blocks(dumping.collect(empty=False))
    except LookupError as error:
        raise Failed(str(error)) from None


def _blocks(chunks):
    yield b'{"ok": true, "blocks": true}\n'
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            for start in range(0, len(view), 1 << 20):
                piece = view[start : start + (1 << 20)]
                yield struct.pack("<I", len(piece))
                yield piece
        yield struct.pack("<I", 0)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


_HANDLERS = {
    "hello": _hello,
    "tasks": _tasks,
    "stack": _stack,
    "stats": _stats,
    "cancel": _cancel,
    "dump": _dump,
}


# ---- their parts -----------------------------------------------------------------------------------------------------


def _loops():
    """(number, loop) of the loops that are not closed."""
    return [(number, loop) for number, loop in registry.numbered() if not loop.is_closed()]


def _attached():
    """The loops of asyncio's own that are watched since somebody attached to this process."""
    foreign = sys.modules.get("clearloop.watch.foreign")
    return foreign.loops() if foreign is not None else []


def _entries():
    return [_loop(number, loop) for number, loop in _loops()] + [one.entry() for one in _attached()]


def _rows(loop, everybody, wanted):
    """Where the wanted tasks stand; who holds the locks that they wait for may be anybody."""
    look = standing.begin(loop)
    found = []
    for some in _in_slices(loop, wanted):
        found.extend(standing.rows(look, some))
    if standing.any_locks(look):
        for some in _in_slices(loop, everybody):
            standing.holders(look, some)
        standing.forsaken(look)
    return found


def _in_slices(loop, references):
    """Parts of a list of tasks; between two of them the loop may run, unless it is blocked anyway."""
    for start in range(0, len(references), _SLICE):
        if start:
            held = standing.activity(loop)[1] if isinstance(loop, Scheduler) else None
            if held is None or held < HELD_FROM:
                time.sleep(0)
        yield references[start : start + _SLICE]


def _number_of(wanted):
    return next((number for number, loop in _loops() if loop is wanted), None)


def _number(request, name, default, least, most):
    value = request.get(name, default)
    if type(value) is not int:
        raise Failed(f"{name} must be a number")
    return min(max(value, least), most)


def _find(request):
    wanted = request.get("task")
    if type(wanted) is not int:
        raise Failed("which task is not said")
    for _, loop in _loops():
        task = standing.find(loop, wanted)
        if task is not None:
            return loop, task
    for one in _attached():
        task = standing.find_other(one.loop, wanted)
        if task is not None:
            return one.loop, task
    raise Failed("there is no such task, or it has ended")


def _loop(number, loop):
    numbers = statistics.stats(loop)
    waiting, held = standing.activity(loop)
    entry = {
        "number": number,
        "running": numbers.running,
        "waiting": waiting,
        "utilisation": numbers.utilisation,
        "tasks": numbers.tasks,
        "turns": numbers.turns,
        "steps": numbers.steps,
        "held_seconds": held,
        "at": None,
    }
    if held is not None and held >= HELD_FROM:
        entry["at"] = _line(loop)
    return entry


def _line(loop):
    """What the loop's thread is doing: the line of the program, and the task."""
    from clearloop.watch import watchdog

    frames = standing.frames_of(loop, code.end_of(loop))
    if frames is None:
        return None
    return watchdog.look(loop, frames).told()


def _trimmed(lags):
    while lags and not lags[-1]:
        lags.pop()
    return lags


class Places:
    """Lines that tasks stand at, each told once: [file, line, function, code]."""

    def __init__(self):
        self.found = []
        self._numbers = {}

    def number(self, source, lasti):
        key = (source, lasti)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.found)
            where = code.Where(source, lasti)
            text = where.code
            if text is None or not text.startswith("await "):  # async with, async for: the whole line
                text = code.whole_line(where.file, where.line)
            self.found.append([where.file, where.line, where.function, one_line(text) if text else None])
        return number


def _peer(fd):
    """Who is at the other end of a socket of the program's, None when it has none or is gone."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    try:
        return standing.name_of_peer(sock.getpeername())
    except OSError:
        return None
    finally:
        sock.detach()


def _frames(loop, row):
    """Where a task stands; one that runs now stands somewhere in the loop's thread."""
    frames = row.pop("frames")
    if row["state"] != "running" or not frames or loop is None:
        return frames
    running = [(source, lasti) for source, lasti, _ in reversed(standing.frames_of(loop, code.end_of(loop)) or ())]
    first = next((place for place, (source, _) in enumerate(running) if source is frames[0][0]), None)
    return frames if first is None else running[first:]  # None: it has gone on meanwhile


def _task(number, loop, row, places, times, held, whole=False):
    """A task as the answer has it; `loop` is None for one that is not ours."""
    frames = _frames(loop, row)
    waits = row["waits"]
    if waits is not None and waits["kind"] == "socket" and waits["fd"] is not None:
        waits["peer"] = _peer(waits["fd"])
    row["loop"] = number
    row["stack"] = [places.number(*frame) for frame in frames[-1000 if whole else -50 :]]
    row["held_seconds"] = held.get(row["name"], 0.0)
    row["steps"], row["busy_seconds"], row["measured_seconds"], lengths = (
        times[row["id"]] if times is not None else (None,) * 4
    )
    if whole:
        row["step_lengths"] = _trimmed(list(lengths)) if lengths is not None else None
    return row


