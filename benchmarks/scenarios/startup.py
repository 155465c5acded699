"""The CPU time that a program pays before its first line: the import, and the import with a loop made.

These run in an interpreter that has loaded nothing of the benchmarks, hence as text.
"""

from catalog import STARTUP, Scenario

_TIMED = """
import time
before = time.process_time()
{lines}
print(1e3 * (time.process_time() - before))
"""


def import_only(module):
    return _TIMED.format(lines=f"import {module}")


def import_and_loop(module):
    return _TIMED.format(lines=f"import {module}\nloop = {module}.new_event_loop()") + "loop.close()\n"


SCENARIOS = [
    Scenario("import time", STARTUP, import_only),
    Scenario("import time, with a loop made", STARTUP, import_and_loop),
]
