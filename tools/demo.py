"""What `make demo` shows: ten jobs that block the loop, named while they block, and the same ten unblocked."""

import os
import subprocess
import sys
from pathlib import Path

import clearloop

TOOLS = Path(__file__).parent


def show(name):
    """Run a program of this folder by `clearloop run`, and print the lines that are not its frame."""
    text = (TOOLS / name).read_text()
    print(f"\n$ cat {name}\n" + "".join(f"  | {line}" for line in text[text.index("def fetch") :].splitlines(True)))
    print(f"$ clearloop run {name}", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(clearloop.__file__).parents[1])}
    subprocess.run([sys.executable, "-m", "clearloop", "run", name], cwd=TOOLS, env=environment, check=True)


def main():
    print(f"clearloop {clearloop.__version__} on Python {sys.version.split()[0]}")
    show("demo_blocked.py")
    print(
        "\nThe first line came while the loop was held. The others say who held it, on which line, by what kind of\n"
        "call, how many had to wait, and what to write instead. The same place is then counted, not repeated."
    )
    show("demo_unblocked.py")
    print("\nNothing held the loop, so nothing is said. docs/watch.md has the rest.")


if __name__ == "__main__":
    main()
