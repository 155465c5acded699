"""Per-test time limits that let the run go on, and the count at its end.

A loop that hangs in one test must not end the run, so the limit here is a signal rather than the project's default of
ending the process. The count says, module by module, how much of CPython's suite ran on the target.
"""

import gc
import re
from collections import Counter

import pytest

RAN = pytest.StashKey()
LEFT_OUT = re.compile("Skipped: (private|later|older): ")
SECONDS_PER_TEST = 30


def _conformance_case(item):
    return getattr(getattr(item, "cls", None), "source", None)


def pytest_collection_modifyitems(config, items):
    if not config.pluginmanager.hasplugin("timeout"):
        return
    for item in items:
        if _conformance_case(item) is not None:
            item.add_marker(pytest.mark.timeout(SECONDS_PER_TEST, method="signal"))


@pytest.fixture(scope="package", autouse=True)
def what_others_hold_is_not_walked():
    """Many of the tests collect garbage a hundred times; what pytest and earlier tests hold need not be walked."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    source = _conformance_case(item)
    if source is None:
        return
    counts = item.config.stash.setdefault(RAN, {}).setdefault(source.module_name, Counter())
    left_out = report.skipped and isinstance(report.longrepr, tuple) and LEFT_OUT.match(str(report.longrepr[2]))
    if left_out:
        counts[left_out[1]] += 1
    elif report.when == "call" or not report.passed:
        counts["run"] += report.when == "call" or report.skipped
        counts[report.outcome] += 1


def pytest_terminal_summary(terminalreporter, config):
    ran = config.stash.get(RAN, {})
    if ran:
        from .counts import lines

        terminalreporter.section("CPython's asyncio tests")
        for line in lines(ran):
            terminalreporter.write_line(line)
