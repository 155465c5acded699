"""The ratios of the benchmarks' table: of what was measured side by side, not of two medians."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def row(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    import catalog
    import report

    yield lambda unit, **rounds: report.Row(
        catalog.Scenario("a row", catalog.SERVER if unit == "µs" else catalog.STEPS, None),
        "",
        {name: report.Series(windows) for name, windows in rounds.items()},
    )
    for name in set(sys.modules) - before:  # their names are common ones
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCHMARKS:
            del sys.modules[name]


def test_a_machine_that_is_slow_for_a_while_is_in_no_ratio(row):
    """Each window of ours costs half of the peer's; in one, everything is ten times dearer."""
    table = row("µs", clearloop=((1.0, 10.0, 1.0),), uvloop=((2.0, 20.0, 2.0),), floor=((0.5, 5.0, 0.5),))
    assert table.lead("clearloop", "uvloop") == 2
    assert table.lead("floor", "clearloop") == 2  # the cost to the floor


def test_of_a_round_in_which_one_has_failed_there_is_none(row):
    table = row("µs", clearloop=((1.0,), (), (1.0,)), uvloop=((3.0,), (1.0,), (5.0,)), rloop=((),))
    assert table.leads("clearloop", "uvloop") == [[3.0], [5.0]]
    assert table.lead("clearloop", "rloop") is None
    assert table.best_peer() == "uvloop"


def test_the_best_peer_is_the_hardest_to_beat(row):
    table = row("k/s", clearloop=((4.0, 40.0),), uvloop=((2.0, 20.0),), rloop=((1.0, 39.0),))
    assert table.lead("clearloop", "uvloop") == 2
    assert table.best_peer() == "uvloop"
