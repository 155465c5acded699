"""Reads ``exclusions.toml``, the one list of what does not run on the target, and why.

A rule names tests by glob, ``module.Class.test`` or, for one variant only, ``module.Class/variant.test``; the versions
of Python in which it holds; and its reason. The kinds: *private* (the test replaces or reads private parts of
asyncio's own classes), *later* (a feature that is still to come), *older* (what asyncio itself has changed since) and,
for whole classes, *elsewhere* (not about a loop).
"""

import fnmatch
import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("exclusions.toml")
VERSION = sys.version_info[:2]


def _parse(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@dataclass(frozen=True)
class Rule:
    """Tests that do not run in the versions from `first` to `last`, both included."""

    kind: str
    patterns: tuple[str, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    reason: str

    @property
    def holds(self) -> bool:
        return self.first <= VERSION <= self.last

    def matching(self, test: str, variant: str = "") -> str | None:
        """The pattern that names ``module.Class.test`` in this variant, if one does."""
        case, _, method = test.rpartition(".")
        for pattern in self.patterns:
            name = f"{case}/{variant}.{method}" if "/" in pattern else test
            if fnmatch.fnmatchcase(name, pattern):
                return pattern
        return None


def load() -> list[Rule]:
    rules = []
    for kind, entries in tomllib.loads(FILE.read_text()).items():
        for entry in entries:
            first, _, last = entry.get("python", "3.11-3.99").partition("-")
            rules.append(
                Rule(kind, tuple(entry["tests"]), _parse(first), _parse(last or first), entry["reason"])
            )
    return rules


RULES = load()


def rule_for(test: str, variant: str = "") -> Rule | None:
    """The rule that keeps this test from running on this Python, if any; environment switches are obeyed."""
    wanted = {kind for kind in ("later", "private") if os.environ.get(f"CLEARLOOP_CONFORMANCE_{kind.upper()}") == "1"}
    for rule in RULES:
        if rule.holds and rule.kind != "elsewhere" and rule.kind not in wanted and rule.matching(test, variant):
            return rule
    return None


def elsewhere(module: str, case: str) -> Rule | None:
    """The rule that says that this class is not about a loop, if any."""
    for rule in RULES:
        if rule.kind == "elsewhere" and rule.holds and rule.matching(f"{module}.{case}"):
            return rule
    return None
