"""A reporting module that has seen nothing yet, and programs run in processes of their own."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import clearloop
from clearloop.watch import callbacks, once, outlets, report_file, reporting, settings
from clearloop.watch.places import Places

from .held import Seen


@pytest.fixture
def said(monkeypatch):
    """The (text, data) pairs of a reporting module that has seen nothing yet."""
    reporting.settle()  # of tests before
    heard = []
    monkeypatch.setattr(reporting, "_places", Places())
    monkeypatch.setattr(reporting, "counts", {})
    monkeypatch.setattr(reporting, "_found_at", {})
    monkeypatch.setattr(reporting, "_summed_up", False)
    monkeypatch.setattr(once, "_said", set())
    monkeypatch.setattr(callbacks, "_callbacks", [])
    monkeypatch.setattr(settings, "report", None)
    monkeypatch.setattr(report_file, "unwritten", 0)
    monkeypatch.setattr(report_file, "_broken", False)
    monkeypatch.setattr(outlets, "say", lambda text, data: heard.append((text, data)))
    return heard


class Programs:
    """Small programs, run by `clearloop run` or by Python."""

    def __init__(self, folder):
        self.folder = folder
        home = str(Path(clearloop.__file__).parents[1])
        unset = ("CLEARLOOP_REPORT", "CLEARLOOP_SLOW", "CLEARLOOP_WATCH", "NO_COLOR", "PYTHONASYNCIODEBUG")
        self.env = {name: value for name, value in os.environ.items() if name not in unset}
        self.env |= {"PYTHONPATH": home, "PYTHONDONTWRITEBYTECODE": "1"}

    def write(self, name, text):
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def run(self, *options, text, env=None, **settings):
        """`clearloop run OPTIONS app.py`, with app.py made of `text`."""
        self.write("app.py", text)
        return self.process("-m", "clearloop", "run", *options, "app.py", env=env, **settings)

    def python(self, text, env=None):
        """`python app.py`."""
        self.write("app.py", text)
        return self.process("app.py", env=env)

    def process(self, *words, env=None, **settings):
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            **settings,
        )

    def records(self, name="found.jsonl", kind=None):
        """What the report file holds."""
        found = [json.loads(line) for line in (self.folder / name).read_text().splitlines()]
        return [record for record in found if kind is None or record["kind"] == kind]


@pytest.fixture
def programs(tmp_path):
    return Programs(tmp_path)


@pytest.fixture
def seen(monkeypatch):
    """What the watchdog hands over during the test."""
    return Seen(monkeypatch)
