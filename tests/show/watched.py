"""Programs that answer: each in a process of its own, with a folder for its socket that nobody else uses."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import clearloop

HOME = str(Path(clearloop.__file__).parents[1])


def wait_for(condition, what="it", seconds=60):
    """Wait until `condition()` is true, and return what it gave."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"{what} did not come about"
        time.sleep(0.005)
    return found


class Watched:
    """The folder, and the programs that were started with it."""

    def __init__(self):
        self.runtime = tempfile.mkdtemp(prefix="cl-", dir="/tmp")  # short: a socket's path has little room
        self.folder = os.path.join(self.runtime, "clearloop")
        self.started = []
        unset = ("CLEARLOOP_REPORT", "CLEARLOOP_SLOW", "CLEARLOOP_WATCH", "PYTHONASYNCIODEBUG")
        self.env = {name: value for name, value in os.environ.items() if name not in unset}
        self.env |= {"PYTHONPATH": HOME, "CLEARLOOP_LIVE": "1", "XDG_RUNTIME_DIR": self.runtime}

    def write(self, text, name="app.py"):
        path = os.path.join(self.runtime, name)
        Path(path).write_text(textwrap.dedent(text))
        return path

    def run(self, text, *flags, **env):
        """Run a program to its end."""
        words = [sys.executable, *flags, self.write(text)]
        return subprocess.run(words, env={**self.env, **env}, capture_output=True, text=True, timeout=60)

    def start(self, text, *flags, name="app.py", answers=True, **env):
        """Start a program, and wait until it has printed a line; then until its socket is there."""
        process = subprocess.Popen(
            [sys.executable, *flags, self.write(text, name)],
            env={**self.env, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.started.append(process)
        assert process.stdout.readline(), "the program has ended"
        if answers:
            wait_for(lambda: os.path.exists(self.socket(process.pid)), "the socket")
        return process

    def socket(self, pid):
        return os.path.join(self.folder, f"{pid}.sock")

    def command(self, *words, **env):
        """`clearloop WORDS`."""
        return subprocess.run(
            [sys.executable, "-m", "clearloop", *words],
            env={**self.env, "PYTHONIOENCODING": "utf-8", **env},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            cwd=self.runtime,
        )

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        shutil.rmtree(self.runtime, ignore_errors=True)


@contextlib.contextmanager
def watched_programs():
    """A Watched whose programs this process finds, too."""
    programs = Watched()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = programs.runtime
    try:
        yield programs
    finally:
        programs.close()
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
