"""`clearloop top`: a running process, full-screen; with --json one snapshot of it."""

from __future__ import annotations

import sys
import time

from clearloop.cli.parser import Parser, seconds
from clearloop.cli.usage import UsageError


def main(words: list[str]) -> int:
    """Show the process that `words` name until its user leaves; return the exit status."""
    chosen = _parser().parse_args(words)
    from clearloop.show.process import Process, Refused, Unreachable, find

    try:
        pid = find(chosen.process)
        if chosen.json:
            _print_snapshot(pid, chosen.interval)
            return 0
        with Process(pid) as process:  # so that what is wrong is said before the screen is taken
            process.ask("hello")
    except (Unreachable, Refused) as error:
        raise UsageError(str(error)) from None
    try:
        from clearloop.show.top import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise UsageError("this needs Textual: pip install 'clearloop[top]' (--json does without)") from None
    if not sys.stdout.isatty():
        raise UsageError("standard output is no terminal; --json prints a snapshot")
    Top(pid, chosen.interval).run()
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="clearloop top",
        usage="clearloop top [options] PID | NAME",
        description=(
            "Watch a running process: how busy its loops are and how late, what blocks them, and each of its tasks.\n"
            "'clearloop ps' lists the processes that can be asked."
        ),
        epilog=(
            "keys:\n"
            "  n b h w s a    sort by name, busy, held, waiting, steps, age (again, or r: the other way round)\n"
            "  /  Escape      show only tasks with that in their name; all of them\n"
            "  Enter          a task's chain of awaits, and the times of its steps\n"
            "  Space          pause; Tab the next loop\n"
            "  d              write what the recorder has to a file\n"
            "  k              cancel the task, after asking\n"
            "  q              quit"
        ),
    )
    parser.add_argument("process", metavar="PID | NAME", help="a process, or the name of the program that it runs")
    parser.add_argument(
        "--interval", type=seconds(0.05, 3600), default=1.0, metavar="SECONDS", help="between two looks (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print one snapshot of an interval as JSON, and end")
    return parser


def _print_snapshot(pid: int, interval: float) -> None:
    import json

    from clearloop.show.top_feed import Feed

    feed = Feed(pid, interval)
    try:
        feed.take()
        time.sleep(interval)
        snapshot = feed.take()
    finally:
        feed.process.close()
    snapshot.pop("detail")
    print(json.dumps(snapshot))
