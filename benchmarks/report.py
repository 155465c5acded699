"""Turns outcomes into the table: medians with their spread, ratios, and whether each row's goal is met."""



from __future__ import annotations

import os
import platform
import random
import statistics
from dataclasses import dataclass, field
from typing import Any

import catalog
import harness
import loops

MET, CLOSE, MISSED, UNKNOWN = "yes", "close", "**no**", "–"


@dataclass(frozen=True)
class Series:
    """The figures of one loop on one row, in each round those of its windows; of a round that failed none."""

    rounds: tuple[tuple[float, ...], ...] = ()
    remark: str = ""  # why there are none

    @property
    def figures(self) -> tuple[float, ...]:
        return tuple(statistics.median(windows) for windows in self.rounds if windows)

    @property
    def median(self) -> float:
        return statistics.median(self.figures)


@dataclass
class Row:
    scenario: catalog.Scenario
    heap: str
    series: dict[str, Series] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.scenario.name} ({self.heap} heap)" if self.heap else self.scenario.name

    def advantage(self, mine: float, theirs: float) -> float:
        """How many times better: above 1 is better, whichever way the unit runs."""
        better, worse = (mine, theirs) if self.scenario.more_is_better else (theirs, mine)
        return better / worse if worse > 0 else float("inf")

    def leads(self, name: str, other: str) -> list[list[float]]:
        """For each round in which both were measured: how many times better `name` was, window by window.

        Windows of one turn were measured within a second of each other, so what the machine did then is in both.
        """
        both = zip(self.rounds(name), self.rounds(other), strict=False)  # one that failed at first was not asked again
        return [
            [self.advantage(mine, theirs) for mine, theirs in zip(ours, others, strict=True)]
            for ours, others in both
            if ours and others
        ]

    def lead(self, name: str, other: str) -> float | None:
        """The median of all those, or None where there is not one."""
        found = [lead for windows in self.leads(name, other) for lead in windows]
        return statistics.median(found) if found else None

    def rounds(self, name: str) -> tuple[tuple[float, ...], ...]:
        return self.series[name].rounds if name in self.series else ()

    def best_peer(self) -> str | None:
        """The one that is hardest to beat for clearloop; where it is not in the run, the one with the best median."""
        peers = [name for name in loops.PEERS if name in self.series and self.series[name].figures]
        leads = {name: lead for name in peers if (lead := self.lead(loops.OURS, name)) is not None}
        if leads:
            return min(leads, key=lambda name: leads[name])
        order = max if self.scenario.more_is_better else min
        return order(peers, key=lambda name: self.series[name].median) if peers else None

    def verdict(self) -> str:
        """Whether our lead reaches the goal; `close` when only that of our best round does."""
        goal = self.scenario.goal
        reference = self.best_peer() if goal.against == "peer" else goal.against
        lead = self.lead(loops.OURS, reference) if reference else None
        if not reference or lead is None:
            return UNKNOWN
        needed = 1 / goal.factor if goal.cost or goal.against == "floor" else goal.factor
        if lead >= needed:
            return MET
        best = max(statistics.median(windows) for windows in self.leads(loops.OURS, reference))
        return CLOSE if best >= needed else MISSED


class Results:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self._failed: dict[tuple[str, str], str] = {}

    def put(self, scenario: catalog.Scenario, heap: str, loop: str, outcomes: list[harness.Outcome]) -> None:
        row = self.rows.setdefault((scenario.name, heap), Row(scenario, heap))
        remarks = [outcome.error or outcome.skip for outcome in outcomes if not outcome.windows]
        row.series[loop] = Series(tuple(outcome.windows for outcome in outcomes), remarks[0] if remarks else "")
        if any(outcome.error for outcome in outcomes):
            self._failed.setdefault((row.title, loop), remarks[0])

    def failures(self, names: tuple[str, ...]) -> list[str]:
        return [f"{title} on {loop}: {why}" for (title, loop), why in self._failed.items() if loop in names]


def amount(value: float) -> str:
    """Three significant digits, thousands with a thin gap."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cell(series: Series | None, notes: list[str], whose: str) -> str:
    if series is None:
        return ""
    if not series.figures:
        note = f"{whose}: {series.remark}"
        if note not in notes:
            notes.append(note)
        return f"– [{notes.index(note) + 1}]"
    text = amount(series.median)
    if len(series.figures) > 1:
        text += f" ({amount(min(series.figures))}–{amount(max(series.figures))})"
    return text


def _line(row: Row, names: list[str], notes: list[str], judged: bool) -> list[str]:
    ours, peer, floor = row.series.get(loops.OURS), row.best_peer(), row.series.get(loops.FLOOR)
    lead = row.lead(loops.OURS, peer) if peer else None
    ratio = "" if lead is None else f"{lead:.2f}×"
    has_ours = bool(ours and ours.figures)
    whose = loops.OURS if has_ours else peer
    cost = row.lead(loops.FLOOR, whose) if whose else None
    to_floor = "" if cost is None else f"{cost:.2f}×" + ("" if has_ours else " (peer)")
    title = f"{row.title}: {row.scenario.note}" if row.scenario.note else row.title
    columns = [title, row.scenario.unit]
    if loops.OURS in names:
        columns += [_cell(ours, notes, loops.OURS), ratio]
        columns += [str(row.scenario.goal), row.verdict()] if judged else []
    columns += [peer or "", to_floor]
    columns += [_cell(row.series.get(name), notes, name) for name in names if name != loops.OURS]
    return [*columns, _cell(floor, notes, "the C server")]


def markdown(results: Results, names: list[str], versions: dict[str, str], options: Any) -> str:
    """The table.  A quick run's figures are too short to be judged: it shows no goals."""
    notes: list[str] = []
    head = ["row", "unit"]
    if loops.OURS in names:
        head += [loops.OURS, "to best peer"] + ([] if options.quick else ["goal", "met"])
    head += ["best peer", "cost to floor", *(name for name in names if name != loops.OURS), "floor (C)"]
    lines = [_line(row, names, notes, not options.quick) for row in results.rows.values()]
    table = [head, ["---"] + ["---:"] * (len(head) - 1), *lines]
    verdicts = [row.verdict() for row in results.rows.values()]
    how = f"{options.rounds} × {options.seconds:g} s, medians (min–max)"
    text = [f"Python {platform.python_version()}, {machine()}; {how}."]
    text.append("Loops: " + ", ".join(f"{name} {versions[name]}" for name in names) + ".")
    text += ["", *("| " + " | ".join(line) + " |" for line in table)]
    if loops.OURS in names and not options.quick:
        counts = {word: verdicts.count(word) for word in (MET, CLOSE, MISSED)}
        text += ["", f"Goals met: {counts[MET]}, close: {counts[CLOSE]}, missed: {counts[MISSED]}."]
    if notes:
        text += ["", *(f"[{number}] {note}" for number, note in enumerate(notes, 1))]
    return "\n".join(text)


def costs(results: Results, options: Any) -> str:
    """The table of --cost: how many per cent more each row takes.

    Each round measures all variants side by side, in turns first and last, so that what the machine does meanwhile
    falls on both; the figure is the median of the rounds' own ratios, and behind it stands where that median lies with
    95 % certainty (bootstrap).
    """

    def cell(row: Row, more: str, less: str) -> str:
        pairs = zip(row.series[more].figures, row.series[less].figures, strict=True)
        ratios = [row.advantage(cheap, dear) for dear, cheap in pairs]
        low, high = certainty(ratios)
        return f"{100 * (statistics.median(ratios) - 1):+.1f} % ({100 * (low - 1):+.1f} … {100 * (high - 1):+.1f})"

    off, watched = (*loops.UNWATCHED, *loops.UNRECORDED)
    head = ["row", "unit", "off", "watching", "recording", "both"]
    table = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for row in results.rows.values():
        if len({len(row.series[name].figures) for name in (off, watched, loops.OURS)} - {0}) != 1:
            continue  # the failures are told by themselves
        pairs = ((watched, off), (loops.OURS, watched), (loops.OURS, off))
        table.append(
            [row.title, row.scenario.unit, _cell(row.series[off], [], off), *(cell(row, *pair) for pair in pairs)]
        )
    how = f"{options.rounds} × {options.seconds:g} s, the median of the rounds (and its 95 % interval)"
    text = [f"Python {platform.python_version()}, {machine()}; {how}.", ""]
    return "\n".join([*text, *("| " + " | ".join(line) + " |" for line in table)])


def certainty(ratios: list[float], resamples: int = 2000) -> tuple[float, float]:
    """Between what the median lies with 95 % certainty: medians of as many figures, drawn from these."""
    dice = random.Random(len(ratios))
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(resamples))
    return medians[resamples // 40], medians[-resamples // 40 - 1]


def machine() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs"


def plain(results: Results, versions: dict[str, str]) -> dict[str, Any]:
    """Every figure, for programs."""
    return {
        "python": platform.python_version(),
        "machine": machine(),
        "loops": versions,
        "rows": [
            {
                "name": row.scenario.name,
                "heap": row.heap,
                "unit": row.scenario.unit,
                "goal": str(row.scenario.goal),
                "met": row.verdict().strip("*"),
                "best_peer": row.best_peer(),
                "figures": {name: list(series.figures) for name, series in row.series.items()},
                "windows": {name: list(map(list, series.rounds)) for name, series in row.series.items()},
                "remarks": {name: series.remark for name, series in row.series.items() if series.remark},
            }
            for row in results.rows.values()
        ],
    }
