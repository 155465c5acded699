"""Runs programs twice, by `python` and by `clearloop run`, in real processes, and compares."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import clearloop


class Programs:
    """A folder of small programs, and the two ways to run them."""

    def __init__(self, folder):
        self.folder = folder
        home = str(Path(clearloop.__file__).parents[1])
        self.env = {**os.environ, "PYTHONPATH": home, "PYTHONDONTWRITEBYTECODE": "1"}
        self.python_words = [sys.executable]
        self.clearloop_words = [sys.executable, "-m", "clearloop", "run"]

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def python(self, *words, **settings):
        return self._run(self.python_words, words, **settings)

    def clearloop(self, *words, **settings):
        return self._run(self.clearloop_words, words, **settings)

    def start(self, command, *words):
        """A process to talk to while it runs."""
        return subprocess.Popen(
            [*command, *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def same(self, *words, **settings):
        """Run it both ways, hold stdout, stderr and exit status against each other, and return Python's."""
        expected = self.python(*words, **settings)
        found = self.clearloop(*words, **settings)
        assert found.stdout == expected.stdout
        assert found.stderr == expected.stderr
        assert found.returncode == expected.returncode
        return expected

    def _run(self, command, words, input="", flags=(), **env):
        return subprocess.run(
            [command[0], *flags, *command[1:], *words],
            cwd=self.folder,
            env={**self.env, **env},
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def programs(tmp_path):
    return Programs(tmp_path)
