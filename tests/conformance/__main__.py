"""``python -m tests.conformance``: how many of CPython's tests run on the target, per module; runs none of them."""

import importlib.util
import sys

if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_asyncio") is None:
    sys.exit("this interpreter has no test suite (test.test_asyncio); Debian has it in libpython3.x-testsuite")

from . import counts, plan

print(*counts.lines(counts.planned(plan.plan())), sep="\n")
