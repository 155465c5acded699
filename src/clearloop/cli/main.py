"""The entry point: chooses the subcommand, and turns a wrong call into one line and exit status 2.

A subcommand is a module with `main(words)`, the words that follow its name; it is imported only when it is
asked for. What it returns is the exit status.
"""

from __future__ import annotations

import importlib
import sys

import clearloop
from clearloop.cli.usage import UsageError

COMMANDS = {
    "run": "run a Python program on clearloop",
    "ps": "list the processes that run on clearloop, and how their loops are",
    "tree": "print the tasks of a process, and what each waits for",
    "dump": "write the last seconds of a process, as its recorder has them, to a file",
    "top": "watch a running process, full-screen",
    "attach": "watch a process that runs on asyncio's own loop (Python 3.14)",
    "view": "show a dump of the recorder: as a timeline page, a Perfetto trace, JSON",
}

HELP = """usage: clearloop COMMAND ...

An asyncio event loop and runtime that keeps the loop clear.

commands:
{commands}

options:
  -h, --help     show this text
  --version      show the version

'clearloop COMMAND --help' says more about each.
"""


def main(words: list[str] | None = None) -> int | None:
    """Run the command `clearloop` with `words` (default: those of this process); return its exit status."""
    words = sys.argv[1:] if words is None else words
    name = "clearloop"
    try:
        command = _choose(words)
        if command is None:
            return 0
        name += " " + command
        result: int | None = importlib.import_module(f"clearloop.cli.{command}").main(words[1:])
        return result
    except UsageError as wrong:
        print(f"{name}: {wrong}", file=sys.stderr)
        return 2


def _choose(words: list[str]) -> str | None:
    """The subcommand asked for, or None when the answer has been printed already."""
    if not words:
        raise UsageError("no command given; 'clearloop --help' lists them")
    first = words[0]
    if first in COMMANDS:
        return first
    if first in ("-h", "--help"):
        print(HELP.format(commands="\n".join(f"  {n:<14} {what}" for n, what in COMMANDS.items())), end="")
    elif first == "--version":
        print("clearloop", clearloop.__version__)
    elif first.startswith("-"):
        raise UsageError(f"unknown option {first!r}; 'clearloop --help' lists them")
    else:
        raise UsageError(f"unknown command {first!r}; 'clearloop --help' lists them")
    return None
