"""`clearloop tree`: every unfinished task of a process, down to the line where it waits, and what it waits for."""

from __future__ import annotations

import json

from clearloop.cli.output import put
from clearloop.cli.parser import Parser
from clearloop.cli.usage import UsageError


def main(words: list[str]) -> int:
    """Print the tree; return the exit status.  Raises UsageError when the process cannot be asked."""
    parser = Parser(
        prog="clearloop tree",
        usage="clearloop tree [--all] [--json] PID | NAME",
        description=(
            "Print the tasks of a process, each with its awaits down to the innermost line and what it waits for.\n"
            "Below a task stand those that it waits for, else those that it has created."
        ),
    )
    parser.add_argument("--all", action="store_true", help="print every task, also where many look alike")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as docs/live.md describes it")
    parser.add_argument("process", metavar="PID | NAME", help="a process, or the name of the program that it runs")
    chosen = parser.parse_args(words)

    from clearloop.show.process import Process, Refused, Unreachable, find

    try:
        with Process(find(chosen.process)) as process:
            answer = process.ask("tasks")
    except (Unreachable, Refused) as error:
        raise UsageError(str(error)) from None
    if chosen.json:
        put([json.dumps(answer)])
        return 0

    from clearloop.show import tree

    try:
        put(tree.lines(answer, chosen.all))
    except (KeyError, TypeError, IndexError, AttributeError):
        raise UsageError(f"process {process.pid} answers in a form that this version does not know") from None
    return 0
