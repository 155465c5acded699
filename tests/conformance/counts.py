"""How much of CPython's suite runs on the target, module by module."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from .exclusions import VERSION
from .target import CHOICE


def planned(cases: Iterable[type]) -> dict[str, Counter]:
    """For each module, how many tests run and how many are left out, by kind, over all variants."""
    modules: dict[str, Counter] = defaultdict(Counter)
    for case in cases:
        source = case.source
        modules[source.module_name]["run"] += len(source.runs)
        modules[source.module_name].update(source.left_out)
    return modules


def lines(modules: Mapping[str, Counter]) -> list[str]:
    total = sum(modules.values(), Counter())
    table = [_line(name, counts) for name, counts in sorted(modules.items())]
    return [*table, _line(f"Python {VERSION[0]}.{VERSION[1]}, all", total)]


def _line(name: str, counts: Counter) -> str:
    text = (
        f"conformance: {name:26} {counts['run']:5} run on {CHOICE}, "
        f"{counts['private']} excluded (private), {counts['later']} later"
    ) + (f", {counts['older']} older" if counts["older"] else "")
    outcomes = [f"{counts[outcome]} {outcome}" for outcome in ("failed", "skipped") if counts[outcome]]
    return text + (f"; of those run {', '.join(outcomes)}" if outcomes else "")
