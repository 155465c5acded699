"""The pytest plugin: tests that fail when they block the event loop, clearloop as the loop of a suite, virtual time.

pytest imports this file in every suite of an environment that has clearloop installed, so it imports nothing of
clearloop: what a suite uses of it, no_stall.py does.
"""

import pytest

MARKER = "no_stall"
_USED = pytest.StashKey()


def pytest_addoption(parser):
    group = parser.getgroup("clearloop")
    group.addoption("--clearloop", action="store_true", help="run the tests on clearloop loops")
    parser.addini("clearloop", "run the tests on clearloop loops, as --clearloop does", type="bool", default=False)
    parser.addini(
        MARKER,
        "fail every test that blocks the event loop for longer than this many seconds; empty: only those marked",
        default="",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        f"{MARKER}(seconds=0.05): fail the test when it blocks the event loop for longer; 0 takes the test out of the "
        "suite's own limit. It runs on clearloop loops.",
    )
    limit = _limit_of_suite(config)
    if limit or config.getoption("--clearloop") or config.getini("clearloop"):
        _use(config)


def pytest_collection_modifyitems(config, items):
    # before any fixture makes a loop
    if any(item.get_closest_marker(MARKER) is not None for item in items):
        _use(config)


def pytest_unconfigure(config):
    restore = config.stash.get(_USED, None)
    if restore is not None:
        restore()


@pytest.fixture
def virtual_clock(request):
    """A runner in virtual time: `virtual_clock.run(main())`; an hour of sleeps ends in milliseconds."""
    import inspect

    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        raise pytest.UsageError(
            f"{request.node.name} is a coroutine function, which another plugin runs on a loop in real time: make it "
            "a plain test, and hand its coroutine to virtual_clock.run()"
        )
    from clearloop.testing.clock import virtual_clock

    yield from virtual_clock()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    limit = _limit_of(item)
    if not limit:
        yield
        return
    from clearloop.testing.no_stall import Guard

    guard = item.stash[_GUARD] = Guard(limit)
    try:
        yield
    finally:
        guard.close()


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_setup(item):
    outcome = yield
    _check(item, outcome, "setting up")


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_call(item):
    outcome = yield
    _check(item, outcome, "the test")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    outcome = yield
    _check(item, outcome, "tearing down", last=True)


_GUARD = pytest.StashKey()


def _check(item, outcome, phase, last=False):
    guard = item.stash.get(_GUARD, None)
    if guard is None:
        return
    text = guard.verdict()
    if text is not None and outcome.excinfo is None:
        outcome.force_exception(pytest.fail.Exception(f"{phase} {text}", pytrace=False))
    if last and guard.saw_nothing():
        item.warn(pytest.PytestWarning(f"{MARKER}: no clearloop loop ran in this test, so nothing was watched"))


def _use(config):
    if _USED not in config.stash:
        from clearloop.testing.no_stall import use_clearloop

        config.stash[_USED] = use_clearloop()


def _limit_of_suite(config):
    text = config.getini(MARKER)
    try:
        return float(text) if text else 0.0
    except ValueError:
        raise pytest.UsageError(f"{MARKER} wants a number of seconds, not {text!r}") from None


def _limit_of(item):
    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return _limit_of_suite(item.config)
    return _seconds(*marker.args, **marker.kwargs)


def _seconds(seconds=0.05):
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
        raise pytest.UsageError(f"{MARKER} wants a number of seconds, not {seconds!r}")
    return seconds
