"""Random programs leave the same log on clearloop as on asyncio: order, results, errors, messages, counts."""

import os
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import EXPORTED, FOREIGN, MIXED, ORACLE, OURS, PROGRAMS, Dense, Run

EXAMPLES = int(os.environ.get("CLEARLOOP_EXAMPLES", "200"))
LIMITS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

# coroutines that a program leaves unfinished complain when they are thrown away, on either loop
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]
apis = pytest.mark.parametrize("api", [OURS, MIXED, FOREIGN, EXPORTED], ids=["ours", "mixed", "foreign", "exported"])


def compare(program, api):
    if api is OURS and sys.version_info < (3, 13):
        pytest.skip("clearloop's gather, wait_for and timeout are those of asyncio's newest release")
    expected, expected_reports = Run(program, ORACLE).run()
    log, reports = Run(program, api).run()
    assert log == expected
    assert told(reports) == told(expected_reports)


def told(reports):
    # asyncio tells of errors in shielded futures from 3.14, clearloop.shield always
    return [report for report in reports if "in shielded future" not in report]


@apis
@LIMITS
@given(program=PROGRAMS)
def test_same_log_as_asyncio(api, program):
    compare(program, api)


@apis
@LIMITS
@given(seed=st.integers(0, 2**32))
def test_same_log_as_asyncio_when_busy(api, seed):
    compare(Dense(seed).program(), api)
