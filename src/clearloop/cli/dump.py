"""`clearloop dump`: what the recorder of a running process holds, written to a file with our own rights."""

from __future__ import annotations

import contextlib
import json
import os

from clearloop.cli.output import put
from clearloop.cli.parser import Parser
from clearloop.cli.usage import UsageError


def main(words: list[str]) -> int:
    """Write the file; return the exit status.  Raises UsageError when there is no dump to be had, or no file."""
    parser = Parser(
        prog="clearloop dump",
        usage="clearloop dump [--json] PID | NAME  FILE",
        description="Write the last seconds of a process, as its recorder has them, to FILE.",
    )
    parser.add_argument("process", metavar="PID | NAME", help="a process, or the name of the program that it runs")
    parser.add_argument("file", metavar="FILE", help="the file to write; one that is there is replaced")
    parser.add_argument("--json", action="store_true", help="print what was written as a JSON object")
    chosen = parser.parse_args(words)

    from clearloop.show.process import Process, Refused, Unreachable, find

    try:
        with Process(find(chosen.process)) as process:
            pid = process.pid
            size = _write(chosen.file, process)
    except (Unreachable, Refused) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"can't write {chosen.file!r}: {error.strerror}") from None
    if chosen.json:
        put([json.dumps({"pid": pid, "file": chosen.file, "bytes": size})])
    else:
        put([f"{chosen.file}: {size} bytes"])
    return 0


def _write(path: str, process: object) -> int:
    """All of it, or no file: what is half is not left behind under that name."""
    partial = f"{path}.partial"
    size = 0
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(fd, "wb") as file:
            for block in process.dump():  # type: ignore[attr-defined]
                file.write(block)
                size += len(block)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    return size
