"""What becomes of a finding: lines, the report file, callbacks, and the counts that --strict asks for.

The watchdog calls `began` while a step blocks and `ended` after it, on its own thread; `found` is for the rest (a
forgotten await, a lost error, tasks that are stuck), from whatever thread noticed it, even from a finalizer.  Nothing
here raises, whatever the program has made of its streams, handlers and names; what fails is said once.

The one lock guards counting only: no code of the program's runs under it, and a forked child gets a new one.
"""

import collections
import os
import sys
import threading
import time

from clearloop.watch import report_file, settings
from clearloop.watch.once import complain
from clearloop.watch.places import SHOWN_AT_EXIT, Places, is_milestone
from clearloop.watch.plain_text import one_line

# Stalls by verdict, and the other findings by kind.
counts = {}
seconds = {}  # stalls by verdict
by_loop = {}  # number of the loop -> stalls by verdict; for the newest loops
held_up = {}  # number of the loop -> name of the task -> seconds that stalls kept it from running
_MOST_LOOPS = 1000
_MOST_HELD = 10_000  # names of each loop
# The program's own faults: what --strict goes by.
BLAMED = ("blocking", "compute", "never_awaited", "lost_exception")

_places = Places()
_recent = collections.deque(maxlen=100)  # the last stalls, as the report file has them, for dumps
_found_at = {}  # (kind, where) -> how often; bounded as the places are
_MOST_FOUND = 1000
_lock = threading.RLock()
_summed_up = False


def settle(seconds=2.0):
    """Wait, at most so long, until every stall that has ended was reported, also to the callbacks of on_stall.

    Return whether that is so.
    """
    from clearloop.system import watchdog
    from clearloop.watch import callbacks

    until = time.monotonic() + seconds
    return watchdog.flush(seconds) and callbacks.drain(max(until - time.monotonic(), 0))


def began(stall):
    """A step has held the loop beyond the threshold and still does."""
    try:
        place = _places.of(stall)
        if place.count or place.begun:
            return
        place.begun = True
        from clearloop.watch import lines, outlets

        outlets.say(lines.so_far(stall), _started(stall))
    except BaseException as error:
        complain(f"the report of a stall failed: {type(error).__name__}", error)


def ended(stall):
    """The step has ended: `stall` is complete."""
    try:
        stall.advice = _advice(stall)
        data = stall_record(stall)
        _recent.append({**data, "begin_ns": stall.begin_ns, "end_ns": stall.end_ns})
        report_file.write(data)
        _report(stall, data)
        if settings.dump_on_stall is not None and stall.verdict != "descheduled":
            from clearloop.watch import first_stall

            first_stall.dump_once()
    except BaseException as error:
        complain(f"the report of a stall failed: {type(error).__name__}", error)
    from clearloop.watch.callbacks import tell_all

    tell_all(stall)


def found(kind, text, **fields):
    """Report a finding that is no stall; `text` is its line, `fields` its part of the record."""
    try:
        data = report_file.record(kind, **fields)
        where = kind, fields.get("file"), fields.get("line"), fields.get("key")
        data.pop("key", None)
        with _lock:
            counts[kind] = counts.get(kind, 0) + 1
            if where not in _found_at and len(_found_at) >= _MOST_FOUND:
                where = kind, None, None, None
            _found_at[where] = times = _found_at.get(where, 0) + 1
        report_file.write(data)
        from clearloop.watch import outlets

        if times == 1:
            outlets.say(text, data)
        elif is_milestone(times):
            outlets.say(f"{text} [{times} times]", data)
    except BaseException as error:
        complain(f"the report of a finding failed: {type(error).__name__}", error)


def recent():
    """The last 100 stalls, oldest first, as docs/report-format.md describes them, with begin_ns and end_ns."""
    return list(_recent)


def going_on():
    """The same of the stalls that are not over: they have `ongoing`, no verdict, and end at this moment."""
    watchdog = sys.modules.get("clearloop.watch.watchdog")  # not loaded: nothing was noticed
    return [
        {**stall_record(stall), "ongoing": True, "begin_ns": stall.begin_ns, "end_ns": stall.end_ns}
        for stall in (watchdog.going_on() if watchdog is not None else ())
    ]


def blamed():
    """How many of the findings are the program's own fault."""
    return sum(counts.get(name, 0) for name in BLAMED)


def say_status(status):
    """--strict: why the program ends with `status`."""
    from clearloop.watch import lines, outlets

    names = (("blocking", "blocking call"), ("compute", "computation"), ("never_awaited", "forgotten await"))
    names += (("lost_exception", "lost error"),)
    parts = [lines.plural(counts[kind], name) for kind, name in names if counts.get(kind)]
    outlets.say(f"clearloop: exit status {status}: {', '.join(parts)}", {"kind": "status", "status": status})


def sum_up():
    """At exit: the places that came back, and the last record of the file.  Once."""
    global _summed_up
    if _summed_up:
        return
    _summed_up = True
    try:
        places = _places.all()
        data = report_file.record(
            "summary",
            stalls={name: counts.get(name, 0) for name in ("blocking", "compute", "gil", "gc", "descheduled")},
            stall_seconds=round(sum(place.seconds for place in places), 6),
            never_awaited=counts.get("never_awaited", 0),
            lost_exceptions=counts.get("lost_exception", 0),
            stuck=counts.get("stuck", 0),
            places=[place_record(place) for place in places],
            unwritten=report_file.unwritten,
        )
        report_file.write(data)
        if any(place.held_back for place in places):
            from clearloop.watch import lines, outlets

            outlets.say(lines.summary(places, SHOWN_AT_EXIT), data)
    except BaseException as error:
        complain(f"the summary failed: {type(error).__name__}", error)


def stall_record(stall):
    """A stall as the report file and log handlers get it."""
    data = report_file.record(
        "stall",
        seconds=round(stall.seconds, 6),
        verdict=stall.verdict,
        cpu_seconds=round(stall.cpu_seconds, 6),
        task=_text(stall.task),
        callback=_text(stall.callback),
        file=_text(stall.file),
        line=stall.line,
        function=_text(stall.function),
        code=_text(stall.code),
        call=_text(stall.call),
        stack=[frame_record(frame) for frame in stall.stack],
        delayed_count=stall.delayed_count,
        delayed=[
            {"task": _text(one.task), "callback": _text(one.callback), "seconds": round(one.seconds, 6)}
            for one in stall.delayed
        ],
        advice=_text(stall.advice),
        note=_text(stall.note),
        loop=stall.loop,
        steps=stall.steps,
    )
    if stall.began:
        data["time"] = stall.began
    return data


def frame_record(frame):
    return {"file": _text(frame.file), "line": frame.line, "function": _text(frame.function)}


def place_record(place):
    return {
        "file": _text(place.file),
        "line": place.line,
        "function": _text(place.function),
        "code": _text(place.code),
        "count": place.count,
        "seconds": round(place.seconds, 6),
        "longest": round(place.longest, 6),
    }


def _advice(stall):
    try:
        from clearloop.watch.advice import advice_for

        return advice_for(stall)
    except Exception as error:
        complain(f"advice could not be found: {type(error).__name__}", error)
        return None


def _report(stall, data):
    """The lines of a stall that has ended, or none: the machine's fault, and what was said before, are counted."""
    from clearloop.watch import lines, outlets

    place = _places.of(stall)
    with _lock:
        counts[stall.verdict] = counts.get(stall.verdict, 0) + 1
        seconds[stall.verdict] = seconds.get(stall.verdict, 0.0) + stall.seconds
        if stall.loop not in by_loop and len(by_loop) >= _MOST_LOOPS:
            by_loop.pop(next(iter(by_loop)))
        of_loop = by_loop.setdefault(stall.loop, {})
        of_loop[stall.verdict] = of_loop.get(stall.verdict, 0) + 1
        if stall.verdict == "descheduled":
            announced = place.begun and not place.count
            place.begun = False
        else:
            place.add(stall.seconds)
        _add_held(stall)
    if stall.verdict == "descheduled":
        if announced:
            outlets.say(lines.excused(stall), data)
    elif place.count == 1:
        outlets.say(lines.in_full(stall, stall.advice), data)
    elif is_milestone(place.count):
        place.held_back = 0
        outlets.say(lines.again(place), data)
    else:
        place.held_back += 1


def _add_held(stall):
    if stall.loop not in held_up and len(held_up) >= _MOST_LOOPS:
        held_up.pop(next(iter(held_up)))
    names = held_up.setdefault(stall.loop, {})
    for one in stall.delayed:
        if one.task is not None and (one.task in names or len(names) < _MOST_HELD):
            names[one.task] = names.get(one.task, 0.0) + one.seconds


def _started(stall):
    """The data of the line during the block: no victims are known yet."""
    return {
        "kind": "stall_begun",
        "seconds": round(stall.seconds, 6),
        "file": _text(stall.file),
        "line": stall.line,
        "function": _text(stall.function),
        "code": _text(stall.code),
        "call": _text(stall.call),
    }


def _text(value):
    return None if value is None else one_line(value, 1000)


def _forked():
    global _lock, _summed_up
    _lock = threading.RLock()
    _summed_up = False
    for table in (counts, seconds, by_loop, held_up):
        table.clear()
    _found_at.clear()
    _recent.clear()
    _places.known.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
