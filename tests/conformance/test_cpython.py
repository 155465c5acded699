"""Where pytest finds CPython's asyncio tests, made to run on the target: one class per class and variant of theirs."""

import pytest

pytest.importorskip(
    "test.test_asyncio",
    reason="this interpreter has no test suite (test.test_asyncio); Debian has it in libpython3.x-testsuite",
)

from . import plan

globals().update((case.__name__, case) for case in plan.plan())
