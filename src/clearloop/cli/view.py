"""`clearloop view`: a dump of the recorder as a page, as a Perfetto trace, as a few lines, or as JSON.

What can be read of a damaged dump is shown; each thing that is missing is a line on stderr, and the exit status is 2.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clearloop.cli.parser import Parser
from clearloop.cli.usage import UsageError

ENDINGS = (".clearloop", ".dump", ".bin")  # of a dump's name; the page's has .html instead


def main(words: list[str]) -> int:
    """Show the dump that `words` name; return the exit status. Raises UsageError for what is no dump."""
    chosen = _parser().parse_args(words)

    from clearloop.show import summary

    model = _model(chosen.dump)
    page = chosen.output
    if page is None and (chosen.open or not (chosen.json or chosen.perfetto)):
        page = _beside(chosen.dump)
    written = []
    if page is not None:
        _write(_page, model, page)
        written.append(f"timeline: {page}")
    if chosen.perfetto is not None:
        _write(_perfetto, model, chosen.perfetto)
        written.append(f"Perfetto trace: {chosen.perfetto}, for https://ui.perfetto.dev")
    try:
        if chosen.json:
            json.dump(summary.facts(model), sys.stdout, indent=2)
            print()
        else:
            print(*summary.lines(model), *written, sep="\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough; the interpreter would complain of what is left when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for problem in model.problems:
        print(f"clearloop view: {chosen.dump}: {problem}", file=sys.stderr)
    if chosen.open:
        import webbrowser

        webbrowser.open(Path(page).resolve().as_uri())
    return 2 if model.problems else 0


def _parser() -> Parser:
    parser = Parser(
        prog="clearloop view",
        usage="clearloop view DUMP [options]",
        description=(
            "Show a dump of the recorder: a timeline in one HTML file, which opens from disk in any browser.\n"
            "Prints where it is, and in a few lines what the dump holds."
        ),
        epilog=(
            "Without --output the page goes beside the dump, unless --json or --perfetto ask for something else.\n"
            "Exit status 2: it is no dump, or something in it could not be read; what could be is shown."
        ),
    )
    parser.add_argument("dump", metavar="DUMP", help="made by clearloop.watch.dump or 'clearloop dump'")
    parser.add_argument("-o", "--output", metavar="OUT.html", help="where the page goes")
    parser.add_argument("--perfetto", metavar="OUT.pftrace", help="write a trace for ui.perfetto.dev")
    parser.add_argument("--json", action="store_true", help="print what is in it as JSON: tasks, jobs, stalls, gaps")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser


def _model(path: str) -> Any:
    from clearloop.show import dump, model

    try:
        return model.build(dump.read(path))
    except dump.DumpError as error:
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        raise UsageError(f"can't read {path!r}: {error.strerror}") from None


def _beside(dump: str) -> str:
    start, ending = os.path.splitext(dump)
    return (start if ending in ENDINGS else dump) + ".html"


def _write(how: Callable[[Any, str], None], model: Any, path: str) -> None:
    try:
        how(model, path)
    except OSError as error:
        raise UsageError(f"can't write {path!r}: {error.strerror}") from None


def _page(model: Any, path: str) -> None:
    from clearloop.show.page import write

    write(model, path)


def _perfetto(model: Any, path: str) -> None:
    from clearloop.show import perfetto

    try:
        perfetto.write(model, path)
    except perfetto.Missing as missing:
        raise UsageError(str(missing)) from None
