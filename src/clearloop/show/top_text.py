"""The lines of `clearloop top`, as plain text: numbers, gauges, curves, and what a task waits for.

Whatever comes from the process goes through one_line(): a name can neither move the cursor nor look like markup, since
no text of this file is ever read as markup (the widgets that show it are told so).
"""

from clearloop.show import phrases
from clearloop.watch.plain_text import one_line

BARS = "▁▂▃▄▅▆▇█"


def seconds(value):
    """`12 µs`, `3.4 ms`, `1.20 s`, `3 min`, `2 h`; – when it is not known."""
    if value is None:
        return "–"
    if value < 0.0000005:
        return "0"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 0.1:
        return f"{value * 1e3:.1f} ms"
    if value < 10:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def count(value):
    """A number with its thousands apart; – when it is not known."""
    return "–" if value is None else f"{value:,}".replace(",", " ")


def gauge(share, width):
    """`[####------]`, and the number beside it."""
    if share is None:
        return f"[{'·' * width}]   – "
    full = round(min(1.0, max(0.0, share)) * width)
    return f"[{'#' * full}{'-' * (width - full)}] {round(100 * share):>3} %"


def curve(values, width, top=None):
    """The newest `width` values as bars; `top` is what a full bar means (default: the largest)."""
    values = values[-width:]
    top = top or max(values, default=0.0) or 1.0
    bars = []
    for value in values:
        share = min(1.0, max(0.0, value / top))
        bars.append(" " if value <= 0 else BARS[min(7, int(share * 8))])
    return "".join(bars).rjust(width)


def place(entry):
    """`app/db.py:42 in fetch: time.sleep(1)`, of a dict as the live view has it."""
    file, code = entry.get("file"), entry.get("code") or entry.get("call")
    if file is None:
        return one_line(code or entry.get("callback") or "no line of it was seen", 120)
    return phrases.place([file, entry.get("line"), entry.get("function"), code])


def waits(task):
    """What a task waits for, or does, in words."""
    return phrases.doing(task).removeprefix("waits for ")


def held(entry):
    """`BLOCKED for 1.20 s by task a: app.py:42 in f: time.sleep(1)`, of an entry of `loops`; None: nothing holds it."""
    at = entry.get("at")
    if not isinstance(at, dict):
        return None
    who = at.get("task")
    by = f" by task {one_line(who, 60)}" if who else ""
    return f"BLOCKED for {seconds(entry.get('held_seconds'))}{by}: {place(at)}"


def histogram(counts, width):
    """Lines of step times by power of two: `  0.5 ms ###### 12`; `counts[n]`: steps of 2**(n-1) to 2**n nanoseconds."""
    first = next((n for n, many in enumerate(counts) if many), None)
    if first is None:
        return []
    last = max(n for n, many in enumerate(counts) if many)
    most = max(counts)
    lines = []
    for n in range(first, last + 1):
        bar = "#" * max(1 if counts[n] else 0, round(counts[n] / most * width))
        lines.append(f"up to {seconds(2**n / 1e9):>7}  {bar} {count(counts[n]) if counts[n] else ''}".rstrip())
    return lines
