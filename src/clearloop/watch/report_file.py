"""The file that --report names: one JSON object a line, each written by one system call as soon as it is known.

So the file is complete up to a crash, several processes can write to one file, and a disk that is full costs lines,
nothing else.  What the fields mean stands in docs/report-format.md; VERSION changes when one of them does.
"""

import os

from clearloop.watch import settings

VERSION = 1

_file = None  # the path and the descriptor, once something was written
unwritten = 0
_broken = False  # the last write ended in the middle of a line


def write(record):
    """Append one record; False when there is no file or it cannot be written."""
    global unwritten
    if settings.report is None:
        return False
    try:
        import json

        _append(json.dumps(record, default=repr, separators=(",", ":")).encode("ascii") + b"\n")
        return True
    except Exception as error:
        unwritten += 1
        from clearloop.watch.once import complain

        complain(f"the report file {settings.report} cannot be written: {error}")
        return False


def record(kind, **fields):
    """A record of `kind` with what every line has."""
    return {"kind": kind, "version": VERSION, "time": now(), "pid": os.getpid(), **fields}


def now():
    """The local time with its offset, ISO 8601."""
    from datetime import datetime

    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def start_anew(path):
    """Empty the file at `path`, or make it; raises OSError when that cannot be done."""
    if os.path.exists(path) and not os.path.isfile(path):
        return  # a pipe or a device
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666))


def _append(line):
    global _broken
    if _broken:
        line = b"\n" + line
    number = _descriptor()
    written = os.write(number, line)
    if written < len(line):
        _broken = True
        raise OSError(f"{written} of {len(line)} bytes written")
    _broken = False


def _descriptor():
    global _file
    if _file is None or _file[0] != settings.report:
        # Not blocking: a pipe that nobody reads must not hold up the watchdog
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        _file = settings.report, os.open(settings.report, flags, 0o666)
    return _file[1]
