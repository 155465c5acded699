"""Per-test time limits that let the run go on, and the count at its end.

A loop that hangs in one test must not end the run, so the limit here is a signal rather than the project's default of
ending the process. The count says, module by module, how much of CPython's suite ran on the target.
"""

import gc

import pytest

SECONDS_PER_TEST = 30


def _conformance_case(item):
    return getattr(getattr(item, "cls", None), "source", None)


def pytest_collection_modifyitems(config, items):
    if not config.pluginmanager.hasplugin("timeout"):
        return
    for item in items:
        if _conformance_case(item) is not None:
            item.add_marker(pytest.mark.timeout(SECONDS_PER_TEST, method="signal"))


def pytest_collection_finish(session):
    # many of the tests collect garbage a hundred times; what pytest itself holds need not be walked each time
    gc.collect()
    gc.freeze()
