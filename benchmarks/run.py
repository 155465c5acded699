"""python benchmarks/run.py: the same scenarios on clearloop, asyncio and every peer that is installed.

Rounds are interleaved (each round measures one row on all loops, one after the other, before the next round
starts), so that a machine that gets slower for a minute does so for everyone.  How to read the table:
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import catalog
import harness
import loops
import report

HEAPS = ("fresh", "warmed")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--loops", metavar="NAMES", help=f"comma-separated, of {', '.join(loops.ALL)} (all installed)"
    )
    parser.add_argument(
        "--only",
        metavar="GLOB",
        action="append",
        default=[],
        help="rows whose name matches, or contains the word; may be given several times",
    )
    parser.add_argument(
        "--rounds", metavar="N", type=_positive(int), help="measurements per row and loop (5; --cost: 25)"
    )
    parser.add_argument(
        "--seconds", metavar="S", type=_positive(float), help="length of a measurement (1.0; --cost: 0.2)"
    )
    parser.add_argument(
        "--heap",
        choices=(*HEAPS, "both"),
        help="state of the allocator in server rows (both; --quick: fresh)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke run: everything once and small, on clearloop and asyncio; its figures mean little",
    )
    parser.add_argument(
        "--cost",
        action="store_true",
        help="what watching and recording cost: clearloop as it is, without recording, and without both; "
        "cost_counts.py counts it, which is exact",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="every single figure, and the machine")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="the table, which also goes to stdout")
    parser.add_argument("--list", action="store_true", help="names and goals of the rows, and end")
    options = parser.parse_args(argv)
    if options.loops:
        options.loops = [name.strip() for name in options.loops.split(",") if name.strip()]
        for name in options.loops:
            if name not in loops.ALL:
                parser.error(f"no loop named {name!r}: there are {', '.join(loops.ALL)}")
    # what --cost looks for is smaller than what a machine does to a figure: many short pairs
    options.rounds = options.rounds or (1 if options.quick else 25 if options.cost else 5)
    options.seconds = options.seconds or (0.04 if options.quick else 0.2 if options.cost else 1.0)
    heap = options.heap or ("fresh" if options.quick else "both")
    options.heaps = HEAPS if heap == "both" else (heap,)
    options.rows = catalog.chosen(catalog.every_scenario(), options.only)
    if not options.rows:
        parser.error(f"no row matches {' or '.join(options.only)}: --list names them")
    return options


def _positive(kind: Any) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not 0 < value < 3600:
            raise argparse.ArgumentTypeError(f"{text} is out of range")
        return value

    number.__name__ = f"positive {kind.__name__}"
    return number


def contestants(options: argparse.Namespace) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """(loops to run, versions, why others are missing)."""
    if options.cost:
        found = loops.installed([loops.OURS])
        versions = {name: facts["version"] for name, facts in found.items() if "version" in facts}
        names = [loops.OURS, *loops.VARIANTS] if versions else []
        return names, versions, {name: facts["missing"] for name, facts in found.items() if "missing" in facts}
    wanted = options.loops or ([loops.OURS, "asyncio"] if options.quick else list(loops.ALL))
    found = loops.installed(wanted)
    missing = {name: facts["missing"] for name, facts in found.items() if "missing" in facts}
    versions = {name: facts["version"] for name, facts in found.items() if "version" in facts}
    return [name for name in wanted if name in versions], versions, missing


def blocks(rows: list[catalog.Scenario], heaps: tuple[str, ...]) -> list[tuple[str, list[catalog.Scenario]]]:
    """What is measured side by side: (heap, rows that differ only in clearloop's own spelling)."""
    twins: dict[Any, list[catalog.Scenario]] = {}
    for row in rows:
        twins.setdefault(row.measurement("asyncio"), []).append(row)
    return [
        (heap, block) for block in twins.values() for heap in (heaps if block[0].has_heap_states else ("",))
    ]


def rounds(options: argparse.Namespace, names: list[str], results: report.Results) -> None:
    """Measures all, block by block, and tells the progress on stderr when someone watches."""
    settings = harness.Settings(options.seconds, options.quick)
    watched = sys.stderr.isatty()
    for heap, block in blocks(options.rows, options.heaps):
        runners = [name for name in names if block[0].networked or name not in loops.TRANSPORTS]
        if block[0].kind in (catalog.SERVER, catalog.CLIENT) and not options.cost:
            runners.append(loops.FLOOR)
        taken: dict[Any, list[harness.Outcome]] = {}
        for turn in range(options.rounds):
            pairs = []
            for name, row in itertools.product(runners, block):
                series = taken.setdefault((name, row.measurement(name)), [])
                if (row.measurement(name), name) in [(other.measurement(name), whose) for other, whose in pairs]:
                    continue  # a twin's figure serves
                if not series or series[0].figure is not None:  # what has failed will again
                    pairs.append((row, name))
            if watched:
                print(f"\r\033[K{turn + 1}/{options.rounds} {block[0].name} {heap}", end="", file=sys.stderr)
            if turn % 2:
                pairs.reverse()
            for (row, name), outcome in zip(pairs, harness.measure(pairs, heap, settings), strict=True):
                taken[name, row.measurement(name)].append(outcome)
            for name, row in itertools.product(runners, block):
                results.put(row, heap, name, taken[name, row.measurement(name)])
    if watched:
        print("\r\033[K", end="", file=sys.stderr)


def _stop(signum: int, frame: Any) -> None:
    raise SystemExit(128 + signum)  # through every `finally`, so that no child is left behind


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    if options.list:
        for row in options.rows:
            print(f"{row.name:<50} {row.unit:<4} {row.goal}")
        return 0
    signal.signal(signal.SIGTERM, _stop)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names, versions, missing = contestants(options)
    for name, why in missing.items():
        print(f"not measured: {name} ({why})", file=sys.stderr)
    if (options.loops and missing) or not names:
        return 2
    results = report.Results()
    interrupted = False
    try:
        rounds(options, names, results)
    except KeyboardInterrupt:  # what has been measured until now is worth showing
        interrupted = True
    text = report.costs(results, options) if options.cost else report.markdown(results, names, versions, options)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    if options.json:
        figures = report.plain(results, versions)
        options.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    failures = results.failures((loops.OURS, "asyncio"))
    failures += [
        f"{name} cannot be used: {why}" for name, why in missing.items() if name in (loops.OURS, "asyncio")
    ]
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 130 if interrupted else 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
