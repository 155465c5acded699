"""What `make demo` shows: ten jobs that block the loop, and the loop naming each of them.

The program is examples/10_blocked.py, unchanged.  It runs in asyncio's debug mode, which reports every callback that
held the loop for longer than `slow_callback_duration`: a report that comes when the callback has ended.
"""

import functools
import logging
import re
import runpy
import sys
from pathlib import Path

import clearloop

HOME = Path(__file__).parents[1]
PROGRAM = HOME / "examples" / "10_blocked.py"


def impatient_loop():
    """A loop in debug mode that finds five milliseconds slow; each of the jobs takes ten."""
    loop = clearloop.new_event_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.005
    return loop


class Brief(logging.Formatter):
    """The log line without the place of creation, which is the same for all ten, and with short paths."""

    def format(self, record):
        line = re.sub(r" created at [^ >]+", "", super().format(record))
        return line.replace(f"{HOME}/", "")


def main():
    print(f"clearloop {clearloop.__version__} on Python {sys.version.split()[0]}")
    print(f"{PROGRAM.relative_to(HOME)}: ten tasks that should run side by side, and each calls time.sleep(0.01)\n")
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(Brief("loop was held | %(message)s"))
    logging.basicConfig(handlers=[output])
    clearloop.run = functools.partial(clearloop.run, loop_factory=impatient_loop)
    runpy.run_path(str(PROGRAM), run_name="__main__")
    print(
        "\nEach line marked 'loop was held' names the task, its coroutine and the line where that is defined.\n"
        "examples/11_unblocked.py is the same program with the blocking calls moved off the loop."
    )


if __name__ == "__main__":
    main()
