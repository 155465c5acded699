"""`clearloop run`: any Python program, on clearloop, with nothing in it changed."""

from __future__ import annotations

from clearloop.cli.parser import Parser
from clearloop.cli.usage import UsageError


def main(words: list[str]) -> None:
    """Run the program that `words` name, as `python` would.

    Returns when the program's main module has ended by itself; whatever it raises passes through.
    Raises UsageError when there is no such program.
    """
    parser = _parser()
    options, program = _split(words, parser.options_with_value())
    chosen = parser.parse_args(options)
    if not program:
        raise UsageError("no program given: name a script, -m MODULE or -c CODE")

    from clearloop.cli.program import find

    start = find(program)
    # Only now: to be told of a wrong name, nobody should wait for asyncio to be imported.
    from clearloop.cli.takeover import take_over
    from clearloop.cli.watching import watch

    watching = watch(chosen.report, chosen.strict)
    if chosen.timeline is not None or chosen.dump_on_stall is not None or chosen.record is not None:
        from clearloop.cli.recording import prepare

        prepare(chosen.timeline, chosen.dump_on_stall, chosen.record)
    take_over()
    with watching:
        start()


def _parser() -> Parser:
    parser = Parser(
        prog="clearloop run",
        usage="clearloop run [options] SCRIPT | -m MODULE | -c CODE  [ARGS]",
        description=(
            "Run a Python program with clearloop as the loop that asyncio gives it, also where it chooses\n"
            "asyncio.SelectorEventLoop or uvloop. Everything else is as 'python' has it."
        ),
        epilog=(
            "the program:\n"
            "  SCRIPT         a file, a folder or zip file with a __main__.py, or - for standard input\n"
            "  -m MODULE      a module or package, found as an import finds it\n"
            "  -c CODE        the code itself\n"
            "  ARGS           everything after it is the program's own"
        ),
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="write what was found to FILE, one JSON object a line (also: the environment variable CLEARLOOP_REPORT)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with status 3 after a run in which the program blocked the loop, forgot an await or lost an error",
    )
    parser.add_argument(
        "--timeline",
        metavar="OUT.html",
        help="record everything, and draw a page of it when the program ends",
    )
    parser.add_argument(
        "--dump-on-stall",
        metavar="DIR",
        help="when the loop is first blocked, write what was recorded to a file in DIR, for 'clearloop view'",
    )
    parser.add_argument(
        "--record",
        metavar="MIB",
        help="memory for each loop's records; 0: none (default: 8, with --timeline 32; also: CLEARLOOP_RECORD)",
    )
    return parser


def _split(words: list[str], with_value: set[str]) -> tuple[list[str], list[str]]:
    """Our own options, and the words from the program's name on (whose options are none of ours)."""
    i = 0
    while i < len(words):
        word = words[i]
        if word == "--":
            # What follows is a file, whatever it looks like.
            return words[:i], [_as_file(words[i + 1]), *words[i + 2 :]] if words[i + 1 :] else []
        if word == "-" or word[:2] in ("-m", "-c") or not word.startswith("-"):
            break
        i += 2 if word in with_value else 1
    return words[:i], words[i:]


def _as_file(word: str) -> str:
    return "./" + word if word.startswith("-") else word
