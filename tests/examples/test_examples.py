"""Each example runs by itself, and prints what it is meant to print, line by line."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clearloop

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))


def _expected():
    # By its path: test folders are no packages, and another one may have an `expected` too.
    spec = importlib.util.spec_from_file_location(
        "expected_of_examples", Path(__file__).with_name("expected.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


expected = _expected()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path):
    if "aiohttp" in (FOLDER / name).read_text():
        pytest.importorskip("aiohttp")
    path = FOLDER / name
    home = str(Path(clearloop.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if name in expected.REPORTS:
        assert expected.REPORTS[name] in ran.stderr
    else:
        assert ran.stderr == expected.ERRORS.get(name, "").format(path=path)
    assert ran.stdout == expected.OUTPUT[name]
    assert ran.returncode == 0


def test_every_example_is_tested_and_in_the_index():
    index = (FOLDER / "README.md").read_text()
    assert set(EXAMPLES) == set(expected.OUTPUT) == set(re.findall(r"\]\((\w+\.py)\)", index))
