"""Where lines go: to standard error under `clearloop run`, elsewhere to logging.getLogger("clearloop").

Lines for the terminal are written by one system call past Python's own buffers: the watchdog is a daemon thread, and
one that is frozen at interpreter exit while it holds the lock of sys.stderr would abort the process.  A standard error
that is closed, full or replaced by something strange loses the line, nothing else.
"""

import os
import re
import sys

from clearloop.watch import settings

BOLD, DIM, RED, YELLOW, CYAN, RESET = "\33[1m", "\33[2m", "\33[31m", "\33[33m", "\33[36m", "\33[0m"

# The parts of a line that a colour makes easier to find.
_PARTS = re.compile(
    r"(?P<head>^clearloop:)|(?P<seconds>(?<=blocked )\d+\.\d\d s)|(?P<verdict>\[[^\[\]]*\]$)|(?P<instead>instead: .*$)",
    re.MULTILINE,
)
_COLOURS = {"head": DIM, "seconds": BOLD + RED, "verdict": YELLOW, "instead": CYAN}


def say(text, data):
    """Put out one report: `text` for people, `data` (what the report file holds of it) for log handlers."""
    if settings.terminal:
        _to_terminal(text)
    else:
        _to_log(text, data)


def _to_log(text, data):
    import logging

    try:
        logging.getLogger("clearloop").warning("%s", text, extra={"clearloop": data})
    except Exception as error:  # a filter or a handler of the program's that raises by itself
        from clearloop.watch.once import complain

        complain(f"a logging handler failed: {type(error).__name__}")


def _to_terminal(text):
    stream = sys.stderr
    try:
        number = stream.fileno()
    except Exception:
        number = -1
    try:
        if number < 0:
            stream.write(text + "\n")
            return
        if _in_colour(number):
            text = coloured(text)
        _write_all(number, _encoded(text + "\n", stream))
    except Exception:
        return


def _encoded(text, stream):
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        for fancy, simple in (("·", "-"), ("×", "x"), ("…", "..."), ("→", "->")):
            text = text.replace(fancy, simple)
        return text.encode(encoding, "backslashreplace")


def _write_all(number, data):
    while data:
        data = data[os.write(number, data) :]


def _in_colour(number):
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and os.isatty(number)


def coloured(text):
    """`text` with its parts in colour."""
    return _PARTS.sub(lambda found: f"{_COLOURS[found.lastgroup]}{found.group()}{RESET}", text)
