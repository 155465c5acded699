"""The aiohttp and asyncpg programs again, where a mistake with memory shows: garbage is collected all the time, the
allocator checks every block, and the loop is in debug mode.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from chosen import LOOP

import clearloop

HERE = Path(__file__).parent
MODES = {
    "garbage": {"CLEARLOOP_APPS_TORTURE": "1"},
    "checks": {"PYTHONMALLOC": "debug", "PYTHONASYNCIODEBUG": "1"},
}
SETS = {
    "aiohttp": ["test_aiohttp_faults.py", "test_aiohttp_websockets.py", "test_aiohttp.py"],
    "asyncpg": ["test_asyncpg.py"],
}
# sizes that are about load, not about memory: each would take a mode alone longer than all the others together
HEAVY = "not thousand and not chat and not many_messages and not both_directions and not copy_in and not compressed"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("programs", SETS)
def test_programs_under(mode, programs):
    pytest.importorskip(programs, reason=f"{programs} is not installed")
    paths = [str(Path(clearloop.__file__).parents[1])]
    env = {**os.environ, **MODES[mode], "CLEARLOOP_APPS_LOOP": LOOP, "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    words += ["-k", HEAVY, *[str(HERE / name) for name in SETS[programs]]]
    outcome = subprocess.run(words, env=env, capture_output=True, text=True, timeout=100)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert " passed" in outcome.stdout
