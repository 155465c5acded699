"""Runs groups of test folders in a pytest process each, two side by side where there are two processors.

    python tools/run_groups.py "tests/engine tests/net" tests/conformance then tests/watch -- ARGUMENTS OF PYTEST

Much of a group's time is waiting, the rest one processor's work.  What comes after "then" runs alone, when the others
have ended, well or badly.  What the first group says is seen as it comes, the others' when they have ended, in order.
The status is 1 when a group failed; one in which nothing was selected has not.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

NOTHING_SELECTED = 5


def run(group, arguments, output):
    """Run one group, and return its status; `output` is a file, or None for our own."""
    command = [sys.executable, "-m", "pytest", *shlex.split(group), *arguments]
    options = {} if output is None else {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
    return subprocess.run(command, check=False, **options).returncode


def side_by_side(groups, arguments):
    """Run groups, two at a time, and return whether all went well."""
    outputs = [None, *(tempfile.TemporaryFile() for _ in groups[1:])]
    well = True
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as places:
        runs = [places.submit(run, group, arguments, output) for group, output in zip(groups, outputs, strict=True)]
        for ended, output in zip(runs, outputs, strict=True):
            status = ended.result()
            well &= status in (0, NOTHING_SELECTED)
            if output is not None and status != NOTHING_SELECTED:
                output.seek(0)
                sys.stdout.buffer.write(output.read())
                sys.stdout.flush()
    return well


def main(words):
    end = words.index("--")
    # an empty group would be all tests to pytest
    groups, arguments = [group for group in words[:end] if group.strip()], words[end + 1 :]
    first_alone = groups.index("then") if "then" in groups else len(groups)
    well = side_by_side(groups[:first_alone], arguments)
    for group in groups[first_alone + 1 :]:
        well &= run(group, arguments, None) in (0, NOTHING_SELECTED)
    return int(not well)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
