"""`clearloop ps`: the processes of this user (as root: of all) that run on clearloop, and how their loops are."""

from __future__ import annotations

import json
from typing import Any

from clearloop.cli.output import put
from clearloop.cli.parser import Parser

SECONDS = 2.0  # a process whose interpreter is held by a call answers later, or not at all


def main(words: list[str]) -> int:
    """Print a line for each loop of each process; return the exit status."""
    parser = Parser(
        prog="clearloop ps",
        usage="clearloop ps [--json]",
        description="List the processes that run on clearloop, and how their loops are.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(words)

    from clearloop.show import list as listing

    found = everybody()
    if chosen.json:
        put([json.dumps({"processes": found})])
    elif found:
        put(listing.rows(found))
    else:
        put(["no process that runs on clearloop answers"])
    return 0


def everybody() -> list[dict[str, Any]]:
    """What each process says of itself; all are asked at once."""
    from clearloop.show.process import Process, Refused, Unreachable, processes

    asked, found = [], []
    for pid in processes():
        process = Process(pid, SECONDS)
        try:
            process.begin("hello")
        except Unreachable:  # it has ended meanwhile
            continue
        asked.append(process)
    for process in asked:
        with process:
            try:
                found.append(process.finish())
            except (Unreachable, Refused) as error:
                found.append({"pid": process.pid, "error": str(error)})
    return found
