"""Runs groups of test folders in a pytest process each, two side by side where there are two processors.

    python tools/run_groups.py --again 3 "tests/engine tests/net" tests/conformance then tests/watch -- PYTEST ARGUMENTS

Much of a group's time is waiting, the rest one processor's work.  What comes after "then" runs alone, when the others
have ended, well or badly.  What the first group says is seen as it comes, the others' when they have ended, in order.
The status is 1 when a group failed; one in which nothing was selected has not.

With --again N, up to N failed tests of a group are run once more, alone, when all groups have ended, as CPython's own
test runner does with --rerun: what fails again has failed, what passes is named at the end as depending on the
machine or on other tests, which is a fault of its own, but not the one that the test is about.  A group that
crashed, hung or failed in more tests than that has failed.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

TESTS_FAILED = 1
NOTHING_SELECTED = 5


class Group:
    """Some test folders, and what became of their tests."""

    def __init__(self, folders, arguments, memory):
        self.memory = memory  # the folder where pytest notes which tests failed, None: where it always does
        self.command = [sys.executable, "-m", "pytest", *shlex.split(folders), *arguments]
        if memory is not None:
            self.command += ["-o", f"cache_dir={memory}"]
        self.status = None

    def run(self, output=None, more=()):
        """Run its tests; `output` is a file, or None for our own."""
        options = {} if output is None else {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        self.status = subprocess.run([*self.command, *more], check=False, **options).returncode

    def went_well(self):
        return self.status in (0, NOTHING_SELECTED)

    def failed(self):
        """The names of the tests that failed, where pytest lived to note them; only for a group with a memory."""
        try:
            with open(os.path.join(self.memory, "v", "cache", "lastfailed")) as noted:
                return sorted(json.load(noted))
        except FileNotFoundError:
            return []

    def run_failed_again(self, most):
        """Run what failed once more, if it is no more than `most` tests, and return those that passed then."""
        if most == 0 or self.status != TESTS_FAILED:
            return []
        failed = self.failed()
        if not 0 < len(failed) <= most:
            return []
        print("\nonce more, alone:", *failed, flush=True)
        self.run(more=("--last-failed", "--last-failed-no-failures=none"))
        return failed if self.status == 0 else []


def side_by_side(groups):
    """Run groups, two at a time."""
    outputs = [None, *(tempfile.TemporaryFile() for _ in groups[1:])]
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as places:
        runs = [places.submit(group.run, output) for group, output in zip(groups, outputs, strict=True)]
        for group, ended, output in zip(groups, runs, outputs, strict=True):
            ended.result()
            if output is not None and group.status != NOTHING_SELECTED:
                output.seek(0)
                sys.stdout.buffer.write(output.read())
                sys.stdout.flush()


def main(words):
    end = words.index("--")
    folders, arguments = words[:end], words[end + 1 :]
    again = 0
    if folders[0] == "--again":
        again, folders = int(folders[1]), folders[2:]
    folders = [names for names in folders if names.strip()]  # an empty group would be all tests to pytest
    first_alone = folders.index("then") if "then" in folders else len(folders)
    with tempfile.TemporaryDirectory(prefix="tests-") as memory:
        memories = [os.path.join(memory, str(n)) if again else None for n in range(len(folders))]
        groups = [Group(names, arguments, own) for names, own in zip(folders, memories, strict=True)]
        alone = groups[first_alone + 1 :]
        groups = groups[:first_alone]
        side_by_side(groups)
        for group in alone:
            group.run()
            groups.append(group)
        unsteady = [name for group in groups for name in group.run_failed_again(again)]
        for name in unsteady:
            print("failed once, passed alone:", name)
        return int(not all(group.went_well() for group in groups))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
