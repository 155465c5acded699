"""The runner of the test groups: what is run once more, and what has failed all the same."""

import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[2] / "tools" / "run_groups.py"
UNSTEADY = """
def test_unsteady(request):
    seen = request.path.with_name("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError("the first time")
"""
BROKEN = "def test_broken(): assert False\n"
CRASHING = "import os\ndef test_crashing(): os.abort()\n"
STEADY = "def test_steady(): pass\n"


@pytest.fixture
def groups(tmp_path):
    def run(*texts, again):
        for number, text in enumerate(texts):
            folder = tmp_path / f"group{number}"
            folder.mkdir()
            (folder / f"test_group{number}.py").write_text(text)
        names = [f"group{number}" for number in range(len(texts))]
        command = [sys.executable, str(RUNNER), "--again", str(again), *names, "--", "-q", "-p", "no:randomly"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        said = [line for line in ended.stdout.splitlines() if line.startswith("failed once, passed alone:")]
        return ended.returncode, said

    return run


def test_what_fails_once_is_named(groups):
    assert groups(STEADY, UNSTEADY + STEADY, again=2) == (
        0,
        ["failed once, passed alone: group1/test_group1.py::test_unsteady"],
    )


@pytest.mark.parametrize(
    "texts, again",
    [
        ((UNSTEADY,), 0),
        ((BROKEN,), 2),
        ((UNSTEADY, BROKEN), 2),
        ((UNSTEADY + BROKEN,), 1),
        ((CRASHING,), 2),
        (("import nothing_of_that_name",), 2),
    ],
    ids=["not asked for", "fails again", "another group failed", "too many", "crashed", "not even collected"],
)
def test_what_has_failed_all_the_same(groups, texts, again):
    status, _ = groups(*texts, again=again)
    assert status == 1
