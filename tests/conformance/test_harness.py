"""The harness keeps itself honest: no stale exclusions, no class without a decision, no loop that slips past."""

import asyncio
import unittest

import pytest

pytest.importorskip("test.test_asyncio", reason="this interpreter has no test suite (test.test_asyncio)")

from . import exclusions, plan, target
from .derive import OnTarget, derive, method_names
from .redirect import redirected


def all_classes():
    return [(name, case) for name, module in plan.modules() for case in plan.cases(module)]


@pytest.mark.parametrize(
    "kind,pattern",
    [(rule.kind, pattern) for rule in exclusions.RULES if rule.holds for pattern in rule.patterns],
)
def test_every_exclusion_still_names_a_test(kind, pattern):
    only = exclusions.Rule(kind, (pattern,), (), (), "")
    if kind == "elsewhere":
        found = any(only.matching(f"{module}.{case.__name__}") for module, case in all_classes())
    else:
        found = any(
            only.matching(case.source.test_id(method), case.source.variant)
            for case in plan.plan()
            for method in method_names(case)
        )
    assert found, f"{pattern} ({kind}) names nothing in test.test_asyncio of Python {exclusions.VERSION}"


def test_every_exclusion_says_why():
    assert all(rule.reason for rule in exclusions.RULES)


def test_every_special_class_of_the_plan_still_exists():
    here = {f"{module}.{case.__name__}" for module, case in all_classes()}
    modules = {module for module, _ in all_classes()}
    for name in {*plan.BODIES, *plan.SPECIAL, *plan.WITHOUT_LOOP, *plan.WITH_NAMES_CLASSES}:
        if name.partition(".")[0] in modules:
            assert name in here or name in plan.IN_SOME_VERSIONS, name


def test_every_class_runs_or_is_listed_as_elsewhere():
    derived = {(case.source.module_name, case.source.case) for case in plan.plan()}
    for module, case in all_classes():
        assert ((module, case) in derived) != bool(exclusions.elsewhere(module, case.__name__)), (module, case)


def test_redirected_names_make_and_recognise_the_target():
    with redirected():
        for make in (asyncio.new_event_loop, asyncio.SelectorEventLoop, asyncio.BaseEventLoop):
            loop = make()
            try:
                assert isinstance(loop, target.EventLoop)
                assert isinstance(loop, asyncio.SelectorEventLoop)
            finally:
                loop.close()

        async def running():
            return asyncio.get_running_loop()

        assert isinstance(asyncio.run(running()), target.EventLoop)


def test_a_loop_of_asyncios_own_may_not_run():
    loop = asyncio.SelectorEventLoop()
    try:
        with redirected(), pytest.raises(AssertionError, match="asyncio's own"):
            loop.run_forever()
    finally:
        loop.close()


def test_a_class_that_never_makes_a_loop_is_noticed():
    module = next(module for name, module in plan.modules() if name == "test_locks")
    case = type("Loopless", (unittest.TestCase,), {"test_nothing": lambda self: None})
    derived = derive(module, case)
    assert issubclass(derived, OnTarget)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(derived)(result)
    assert [message for _, message in result.errors if "without a single loop" in message]
