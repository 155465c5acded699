"""docs/accuracy.md and tools/accuracy.py speak of tests that exist, and the table of all of them."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "accuracy.py"
pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="the tools are not here")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("accuracy_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_case_is_a_test(tool):
    for case in tool.CASES:
        file, function = re.fullmatch(r"(\w+\.py)::(\w+)(?:\[.*\])?", case.test).groups()
        assert f"def {function}(" in (Path(__file__).parent / file).read_text(), case.name


def test_the_page_has_every_case(tool):
    lines = [line for line in tool.PAGE.read_text().splitlines() if line.startswith("| ")]
    named = [tuple(cell.strip() for cell in line.strip("|").split("|"))[:2] for line in lines[2:]]
    assert named == [(case.name, f"`{case.verdict}`") for case in tool.CASES]


def test_the_page_knows_no_failure(tool):
    assert "**" not in tool.PAGE.read_text()
