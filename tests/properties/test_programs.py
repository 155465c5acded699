"""Random programs leave the same log on clearloop as on asyncio: order, results, errors, messages, counts."""

import os

import pytest
from hypothesis import HealthCheck, given, settings

from programs import EXPORTED, FOREIGN, MIXED, ORACLE, OURS, PROGRAMS, Run

LIMITS = settings(max_examples=int(os.environ.get("CLEARLOOP_EXAMPLES", "300")), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("api", [OURS, MIXED, FOREIGN, EXPORTED], ids=["ours", "mixed", "foreign", "exported"])
@LIMITS
@given(program=PROGRAMS)
def test_same_log_as_asyncio(api, program):
    expected, expected_reports = Run(program, ORACLE).run()
    log, reports = Run(program, api).run()
    assert log == expected
    assert reports == expected_reports
