"""Holds every .pyi against the module that it describes, by mypy's stubtest: `make lint` runs it.

Names that only the compiled modules use among themselves need no stub (--ignore-missing-stub); what a stub says has to
be true.  What cannot be is in tools/stubs_that_differ.txt, each with its reason.
"""

import os
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).parents[1]
SOURCE = HOME / "src"


def described():
    """The modules that have a stub; of the package itself tests/house holds the names."""
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in sorted(SOURCE.rglob("*.pyi"))]
    return [name for name in names if not name.endswith(".__init__")]


def main():
    options = ["--ignore-missing-stub", "--ignore-disjoint-bases", "--concise"]
    options += ["--allowlist", str(HOME / "tools" / "stubs_that_differ.txt"), "--ignore-unused-allowlist"]
    command = [sys.executable, "-m", "mypy.stubtest", *described(), *options]
    return subprocess.run(command, cwd=HOME, env={**os.environ, "MYPYPATH": str(SOURCE)}).returncode


if __name__ == "__main__":
    sys.exit(main())
