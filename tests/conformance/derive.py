"""From one of CPython's test classes to a class of ours that runs the same tests on the target's loop.

The derived class overrides as little as possible: `run`, so that the redirection covers set-up, test and clean-up,
and the two helpers of the test-suite's base class that build on private parts of asyncio's loop. What a single class
needs beyond that is given by the plan as a class body.
"""

import asyncio
import types
import unittest
from collections import Counter
from dataclasses import dataclass, field

from test.test_asyncio import utils as test_utils

from . import exclusions, target
from .redirect import LoopName, redirected
from .virtual_time import VirtualTimeLoop


class DropIn(types.ModuleType):
    """What ``import asyncio`` gives a test in the *names* variant: asyncio, with the target's names in front."""

    def __init__(self):
        super().__init__("asyncio")

    def __getattr__(self, name):
        if name in asyncio.__all__ and hasattr(target.names, name):
            return getattr(target.names, name)
        return getattr(asyncio, name)

    def __setattr__(self, name, value):
        setattr(asyncio, name, value)

    def __delattr__(self, name):
        delattr(asyncio, name)


@dataclass
class Source:
    """Where a derived class comes from, and what has become of its tests."""

    module: types.ModuleType
    case: type
    variant: str = ""
    needs_loop: bool = True
    names: bool = False
    runs: list[str] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)
    started: set[str] = field(default_factory=set)
    loops: int = 0

    @property
    def module_name(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    def test_id(self, method: str) -> str:
        return f"{self.module_name}.{self.case.__name__}.{method}"


class OnTarget:
    """The part that every derived class has in front of CPython's."""

    source: Source

    def run(self, result=None):
        source = self.source
        before = LoopName.made
        source.started.add(self._testMethodName)
        module_asyncio = vars(source.module).get("asyncio")
        if source.names:
            source.module.asyncio = DropIn()
        try:
            with redirected():
                return super().run(result)
        finally:
            if source.names:
                source.module.asyncio = module_asyncio
            source.loops += LoopName.made - before

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        source = cls.source
        whole_class_ran = source.runs and source.started >= set(source.runs)
        if source.needs_loop and whole_class_ran and not source.loops:
            raise AssertionError(f"{source.case.__qualname__} ran to its end without a single loop of the target's")


class WithTestUtils(OnTarget):
    """For classes over the test-suite's own TestCase, whose helpers assume asyncio's loop."""

    @staticmethod
    def close_loop(loop):
        vars(loop).pop("call_soon", None)  # a test may have broken it on this instance
        if not loop.is_closed():
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def new_test_loop(self, gen=None):
        loop = target.new_event_loop() if gen is None else VirtualTimeLoop(gen)
        self.set_event_loop(loop)
        return loop


def method_names(case: type) -> list[str]:
    return unittest.defaultTestLoader.getTestCaseNames(case)


def derive(module, case: type, *, variant="", needs_loop=True, names=False, body=None, decorate=None) -> type:
    """A class that runs the tests of `case` on the target.

    Parameters:
        variant: distinguishes several classes made from one; part of the new class's name.
        needs_loop: False if the tests make no loop at all, so that the guard does not wait for one.
        names: put the target's public names where the test module has ``asyncio``.
        body: further attributes of the class.
        decorate: a class decorator of the test-suite's to apply at the end.
    """
    source = Source(module, case, variant, needs_loop, names)
    front = WithTestUtils if issubclass(case, test_utils.TestCase) else OnTarget
    name = "__".join(filter(None, (source.module_name, case.__name__, variant)))
    derived = type(name, (front, case), {"source": source, "__doc__": case.__doc__, **(body or {})})
    if decorate is not None:
        derived = decorate(derived)
    for method in method_names(derived):
        rule = exclusions.rule_for(source.test_id(method), variant)
        if rule is None:
            source.runs.append(method)
        else:
            source.left_out[rule.kind] += 1
            setattr(derived, method, unittest.skip(f"{rule.kind}: {rule.reason}")(getattr(derived, method)))
    return derived
