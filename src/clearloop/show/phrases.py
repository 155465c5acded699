"""What a task waits for, and what a loop does, in a few words: from the live view's answers (docs/live.md).

Everything that came from the program is escaped here: it may go to a terminal as it is.
"""

import re

from clearloop.watch.lines import short_path
from clearloop.watch.plain_text import one_line

HELD_UP = 0.05  # seconds; sooner the loop may just be about to see to it

_FIXED = {
    "connect": "connects",
    "handshake": "shakes hands for TLS",
    "server": "serves",
    "start": "waits for its turn to start a child process",
}
_GROUPS = {"gather": "gather()", "wait": "wait()", "group": "its task group"}


def task_name(task):
    """The name of a task, escaped; it may be hostile."""
    return one_line(task.get("name") or "?", 80)


def doing(task):
    """What a task of an answer to `tasks` does: runs, is ready, or waits, and for what."""
    state = task.get("state")
    if state == "running":
        return "runs now"
    if state == "ready":
        return "is ready to run"
    return waiting(task.get("waits"))


def waiting(waits):
    """What the `waits` of a task says."""
    if not isinstance(waits, dict):
        return "waits"
    kind = waits.get("kind")
    what = one_line(waits.get("type") or kind or "?", 60)
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == "task":
        return f"waits for task {task_name(waits)}"
    if kind in _GROUPS:
        text = f"waits for {_GROUPS[kind]}: {waits.get('left')} of {waits.get('of')} left"
        return text + left(waits, ", ")
    if kind == "sleep":
        return "sleeps" + left(waits, ", ")
    if kind == "lock":
        return f"waits for a {what}{held_by(waits)}{in_line(waits)}"
    if kind == "queue get":
        return f"waits for an item from a {what}{in_line(waits)}"
    if kind == "queue put":
        return f"waits for room in a {what} ({waits.get('size')} of {waits.get('limit')})"
    if kind == "queue join":
        return f"waits until a {what} is done ({waits.get('unfinished')} unfinished)"
    if kind == "socket":
        peer = waits.get("peer")
        verb = "writes to" if waits.get("operation") == "writing" else "reads from"
        return f"{verb} {one_line(peer, 100)}" if peer else f"{verb} a connection"
    if kind == "process":
        return f"waits for the process {waits.get('pid')}"
    if kind == "job":
        text = f"waits for {one_line(waits.get('function') or 'a job', 100)}"
        seconds = waits.get("seconds")
        lasts = f" for {duration(seconds)}" if isinstance(seconds, int | float) else ""
        if waits.get("stage") == "queued":
            return f"{text}, which is queued for a worker{lasts}"
        if waits.get("stage") == "ended":
            return f"{text}, which has ended: the loop has not come to it yet"
        worker = waits.get("worker")
        where = one_line(worker, 60) if worker else "a worker"
        return f"{text} in {where}, which runs{lasts}" if lasts else f"{text} in {where}"
    if kind == "semaphore":
        return f"waits for a {what}{shared_by(waits)}{in_line(waits)}"
    if kind in ("event", "condition"):
        return f"waits for {'an' if what[:1] in 'AEIOaeio' else 'a'} {what}{in_line(waits)}"
    return f"waits for {'an' if what[:1] in 'AEIOaeio' else 'a'} {what}"


def held_by(waits):
    """Who holds the lock that is waited for."""
    holder = waits.get("holder")
    if waits.get("free"):
        return ", which is free: the next in line is about to take it"
    if not isinstance(holder, dict):
        return ", holder unknown"
    if holder.get("ended"):
        return " that a task has taken which has ended"
    return f" that task {task_name(holder)} holds"


def shared_by(waits):
    """Who is known to hold units of the semaphore that is waited for."""
    holders = [holder for holder in waits.get("holders") or () if isinstance(holder, dict)]
    if not holders:
        return ""
    if len(holders) == 1:
        return f" that task {task_name(holders[0])} holds"
    names = [task_name(holder) for holder in holders[:3]]
    if len(holders) > 3:
        return f" that tasks {', '.join(names)} and others hold"
    return f" that tasks {', '.join(names[:-1])} and {names[-1]} hold"


def left(waits, before=""):
    seconds = waits.get("seconds_left")
    return before + until(seconds) if isinstance(seconds, int | float) else ""


def until(seconds):
    """How far away a deadline is; one that has just passed is nothing to speak of."""
    if seconds > 0:
        return f"{duration(seconds)} left"
    return f"due {duration(-seconds)} ago and held up" if seconds <= -HELD_UP else "due"


def in_line(waits):
    count = waits.get("waiting")
    return f" ({count} in line)" if isinstance(count, int) and count > 1 else ""


def duration(seconds):
    """`3 ms`, `1.2 s`, `5 min 3 s`, `2 h 10 min`"""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 6000:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 360_000:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


_LIBRARIES = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+t?)/(?=.)")


def path(file):
    """A path as it is shown: from the current folder, and of libraries what follows their folder."""
    return one_line(_LIBRARIES.sub("", short_path(file or "?")), 300)


def place(where):
    """`app.py:42 in main: await sleep(1)`, of [file, line, function, code]."""
    file, line, function, code = where
    text = f"{path(file)}:{line} in {one_line(function or '?', 100)}"
    return f"{text}: {one_line(code, 120)}" if code else text


def loop_now(loop):
    """What a loop does at this moment."""
    held, at = loop.get("held_seconds"), loop.get("at")
    if not loop.get("running"):
        return "not running"
    if isinstance(at, dict) and held is not None:
        text = f"blocked for {duration(held)}"
        if at.get("task"):
            text += f" by task {one_line(at['task'], 80)}"
        elif at.get("callback"):
            text += f" by callback {one_line(at['callback'], 80)}"
        if at.get("file"):
            text += f": {place([at['file'], at.get('line'), at.get('function'), at.get('code')])}"
        return text
    return "waiting for something to do" if loop.get("waiting") else "running"


def share(number):
    """`45 %`"""
    return f"{number * 100:.0f} %" if isinstance(number, int | float) else "-"
