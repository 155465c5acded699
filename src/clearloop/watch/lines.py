"""The lines that people read: a stall while it lasts, a stall that has ended, a place that keeps coming back.

Pure text; where it goes and in what colour is outlets.py's affair.  Paths below the current folder are shown from
there, and everything that came from the program goes through plain_text.
"""

import os

from clearloop.watch.plain_text import one_line

INDENT = " " * len("clearloop: ")
LONGEST_CODE = 120

VERDICTS = {
    "blocking": "blocking call",
    "compute": "compute",
    "gil": "waited for the GIL",
    "gc": "garbage collection",
    "descheduled": "the machine did not run it",
}


def so_far(stall):
    """The line that appears during the block."""
    return f"clearloop: blocked {stall.seconds:.2f} s so far: {where(stall)}"


def in_full(stall, advice):
    """The two lines of a stall that has ended."""
    first = f"clearloop: blocked {stall.seconds:.2f} s{by(stall)}: {where(stall)} [{verdict(stall)}]"
    second = [part for part in (waited(stall), f"instead: {one_line(advice)}" if advice else None) if part]
    return f"{first}\n{INDENT}{' · '.join(second)}" if second else first


def excused(stall):
    """What is said when a line was out and the machine turned out to be the cause."""
    return f"clearloop: not the program's doing: the machine did not run it for {stall.seconds:.2f} s"


def again(place):
    """The line at the 10th, the 100th … time."""
    return f"clearloop: blocked {place.count} times, {place.seconds:.2f} s in all: {where(place)}"


def summary(places, shown):
    """The lines at exit: what has come back, the most costly first."""
    count = sum(place.count for place in places)
    seconds = sum(place.seconds for place in places)
    text = [f"clearloop: blocked {count} times, {seconds:.2f} s in all, at {plural(len(places), 'place')}:"]
    for place in places[:shown]:
        text.append(
            f"{INDENT}{place.count:>6} × {place.seconds:8.2f} s, longest {place.longest:.2f} s: {where(place)}"
        )
    if len(places) > shown:
        text.append(f"{INDENT}and {plural(len(places) - shown, 'more place')}")
    return "\n".join(text)


def where(place):
    """`app/db.py:42 in fetch_user: time.sleep(1)`, of a stall or a counted place."""
    if place.file is None:
        known = place.code or getattr(place, "call", None) or getattr(place, "callback", None)
        return one_line(known or "no line of it was seen", LONGEST_CODE)
    text = f"{short_path(place.file)}:{place.line}"
    if place.function:
        text += f" in {one_line(place.function, 80)}"
    if place.code:
        text += f": {one_line(place.code, LONGEST_CODE)}"
    return text


def by(stall):
    if stall.steps > 1:
        return f" by a turn of {stall.steps} steps"
    if stall.task is not None:
        return f" by task {one_line(stall.task, 80)}"
    return f" by {one_line(stall.callback, 80)}" if stall.callback else ""


def verdict(stall):
    text = VERDICTS.get(stall.verdict, one_line(stall.verdict, 40))
    if stall.note and stall.verdict == "gil":  # of the others the line itself says enough
        text += f": {one_line(stall.note, 160)}"
    if stall.verdict in ("blocking", "compute") and stall.seconds > 0:
        text += f", CPU {min(100, round(100 * stall.cpu_seconds / stall.seconds))} %"
    return text


def waited(stall):
    if not stall.delayed_count:
        return None
    if not stall.delayed:
        return f"{stall.delayed_count} waited"
    worst = max(stall.delayed, key=lambda delayed: delayed.seconds)
    name = f"task {one_line(worst.task, 80)}" if worst.task is not None else one_line(worst.callback or "?", 80)
    return f"{stall.delayed_count} waited, worst {name} +{worst.seconds:.2f} s"


def short_path(path):
    """`path` from the current folder if it lies below it."""
    path = one_line(path, 300)
    try:
        folder = os.getcwd().rstrip(os.sep) + os.sep
    except OSError:
        return path
    return path[len(folder) :] if path.startswith(folder) else path


def plural(count, word):
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
