"""--timeline, --dump-on-stall and --record: prepares the recorder before the program starts, draws the page at its end.

The page is drawn in an exit handler, after the program's own: whether its main module has returned, raised, called
sys.exit or was interrupted.  The recordings of loops that the program has closed, or forgotten, are kept until then.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile

from clearloop.cli.usage import UsageError

TIMELINE_MIB = 32  # a million records: as much as a page can show


def prepare(timeline: str | None, dump_on_stall: str | None, size: str | None) -> None:
    """Set up what the options ask for; UsageError when a file or folder cannot be written, or they contradict."""
    if size is not None:
        mib = _size(size)
        if mib == 0 and (timeline is not None or dump_on_stall is not None):
            raise UsageError("--record 0 leaves nothing to show")
        os.environ["CLEARLOOP_RECORD"] = size
    if dump_on_stall is not None:
        _prepare_folder(dump_on_stall)
    if timeline is not None:
        _prepare_timeline(timeline, size)


def _size(text: str) -> float:
    try:
        mib = float(text)
    except ValueError:
        mib = -1
    if not 0 <= mib <= 16384:
        raise UsageError(f"--record: a number of MiB from 0 to 16384 was expected, not {text!r}")
    return mib


def _is_off() -> bool:
    return os.environ.get("CLEARLOOP_RECORD", "").strip().lower() in ("0", "no", "off", "false")


def _prepare_folder(folder: str) -> None:
    from clearloop.watch import settings

    if _is_off():
        raise UsageError("--dump-on-stall: recording is switched off (CLEARLOOP_RECORD=0)")
    if os.environ.get("CLEARLOOP_WATCH") in ("0", "no", "off", "false"):
        raise UsageError("--dump-on-stall: watching is switched off (CLEARLOOP_WATCH=0)")
    path = os.path.abspath(folder)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(f"can't write dumps to {folder!r}: {error.strerror}") from None
    settings.dump_on_stall = path
    os.environ["CLEARLOOP_DUMP_ON_STALL"] = path  # for the processes that the program starts


def _prepare_timeline(out: str, size: str | None) -> None:
    path = os.path.abspath(out)
    existed = os.path.exists(path)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666))
    except OSError as error:
        raise UsageError(f"can't write the timeline {out!r}: {error.strerror}") from None
    if not existed:
        os.unlink(path)  # there is none until there is something in it
    from clearloop.engine import registry, scheduler

    registry.keep_closed = True
    scheduler.record_all(TIMELINE_MIB if size is None and (_is_off() or not _asked()) else None)
    atexit.register(_draw, path, os.getpid())


def _asked() -> bool:
    return bool(os.environ.get("CLEARLOOP_RECORD", "").strip())


def _draw(path: str, process: int) -> None:
    """In the exit handlers: the recordings, as a page.  Whatever fails is said in one line."""
    if os.getpid() != process:
        return  # a child that was forked, and runs its parent's handlers
    from clearloop.watch import dumping, lines, outlets, reporting
    from clearloop.watch.plain_text import one_line

    shown = lines.short_path(path)
    try:
        reporting.settle()  # the last stall may still be on its way
        from clearloop.show import dump, model, page

        read = dump.read(b"".join(dumping.collect("exit")))
        if not any(loop.pieces for loop in read.loops):
            text = "clearloop: no timeline: the program has not run a loop of clearloop's"
        else:
            page.write(model.build(read), path)
            text = f"clearloop: the timeline is in {shown}"
    except KeyboardInterrupt:
        text = f"clearloop: interrupted: no timeline in {shown}"
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        text = f"clearloop: the timeline {shown} cannot be written: {one_line(reason)}"
    for stream in (sys.stdout, sys.stderr):  # what the program has printed comes first
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    outlets.say(text, {"kind": "timeline", "file": path})
