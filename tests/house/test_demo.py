"""`make demo` shows what it promises."""

import re
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "tools" / "demo.py"


def test_demo():
    """A machine that does not run the process for a while makes one stall of several, or one more: it is run again."""
    for _ in range(4):
        try:
            return look()
        except AssertionError:
            pass
    look()


def look():
    words = [sys.executable, str(DEMO)]
    ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100, check=True)
    blocked, unblocked = ran.stdout.split("$ clearloop run demo_unblocked.py")
    assert re.search(r"blocked \d\.\d\d s so far: demo_blocked\.py:8 in fetch: time\.sleep\(0\.2\)", blocked)
    assert re.search(r"blocked \d\.\d\d s by task job 0: demo_blocked\.py:8 in fetch: .* \[blocking call, CPU", blocked)
    victims = r"^ +(9|10) waited, worst task job \d \+\d\.\d\d s · instead: await asyncio\.sleep\(0\.2\)$"
    assert re.search(victims, blocked, re.M)
    assert "clearloop: blocked 10 times, " in blocked
    assert "clearloop: blocked" not in unblocked
    times = [float(text) for text in re.findall(r"took (\d+\.\d) s", ran.stdout)]
    assert times[0] >= 2.0 > times[1]
