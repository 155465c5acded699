"""The lines of a stall: as documented, and harmless whatever names the program has given."""

import io
import os
import pty
import sys

import pytest

from clearloop.watch import lines, outlets, plain_text, settings
from clearloop.watch.places import is_milestone

from .stalls import make_stall


def test_during_the_block():
    assert lines.so_far(make_stall(seconds=0.1, verdict=None)) == (
        "clearloop: blocked 0.10 s so far: /srv/app/db.py:42 in fetch_user: time.sleep(1)"
    )


def test_after_the_block():
    assert lines.in_full(make_stall(), "await asyncio.sleep(1)") == (
        "clearloop: blocked 1.00 s by task req-17: /srv/app/db.py:42 in fetch_user: time.sleep(1) "
        "[blocking call, CPU 0 %]\n"
        "           38 waited, worst task ws-ping +0.99 s · instead: await asyncio.sleep(1)"
    )


def test_paths_below_the_current_folder_are_short(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert lines.short_path(str(tmp_path / "app" / "db.py")) == "app/db.py"
    assert lines.short_path(str(tmp_path) + "2/db.py") == str(tmp_path) + "2/db.py"


def test_a_folder_that_is_gone(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert lines.short_path("/srv/app.py") == "/srv/app.py"


def test_nobody_waited_and_no_advice():
    assert "\n" not in lines.in_full(make_stall(delayed_count=0, delayed=[]), None)


def test_callbacks_are_named_where_there_is_no_task():
    text = lines.in_full(make_stall(task=None, callback="callback Echo.data_received()"), None)
    assert text.startswith("clearloop: blocked 1.00 s by callback Echo.data_received(): ")


def test_a_callback_written_in_c():
    stall = make_stall(file=None, line=None, function=None, code=None, call="time.sleep", task=None)
    from clearloop.watch.places import Places

    assert lines.where(Places().of(stall)) == "time.sleep"
    assert lines.so_far(stall).startswith("clearloop: blocked 1.00 s so far: ")


def test_a_turn_of_many_steps():
    stall = make_stall(steps=250, task="the last", file=None, line=None, function=None, code=None, call=None)
    expected = "clearloop: blocked 1.00 s by a turn of 250 steps: no line of it was seen [blocking call, CPU 0 %]\n"
    assert lines.in_full(stall, None).startswith(expected)
    assert " by a turn of 3 steps: /srv/app/db.py:42 in " in lines.in_full(make_stall(steps=3), None)


@pytest.mark.parametrize(
    "verdict, text",
    [
        ("compute", "[compute, CPU 98 %]"),
        ("gil", "[waited for the GIL: thread worker at app.py:3]"),
        ("gc", "[garbage collection]"),
        ("blocking", "[blocking call, CPU 98 %]"),
    ],
)
def test_verdicts(verdict, text):
    note = {"gil": "thread worker at app.py:3", "blocking": "in recvfrom"}.get(verdict)
    shown = lines.in_full(make_stall(verdict=verdict, note=note, cpu_seconds=0.98), None)
    assert text in shown


HOSTILE = "x\33[2J\r\nclearloop: all is well\x00\x07\u202e\ud800\u2028\x9b31m"


@pytest.mark.parametrize("field", ["task", "file", "function", "code", "callback", "note", "call"])
def test_no_control_characters_reach_a_terminal(field):
    stall = make_stall(**{field: HOSTILE}, **({"task": None} if field == "callback" else {}))
    text = lines.in_full(stall, HOSTILE)
    assert text.count("\n") == 1  # ours
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_long_names_are_cut_off():
    assert len(lines.in_full(make_stall(task="x" * 10**6, code="f(" + "1," * 10**6 + ")"), None)) < 1000


class Hostile:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__

    def get_name(self):
        raise RuntimeError("no name")


class Endless:
    def __repr__(self):
        return "\n" * 10**6 + "x"


def test_values_whose_repr_raises():
    assert plain_text.shown(Hostile()) == "<Hostile object: RuntimeError in repr()>"
    assert plain_text.one_line(Hostile()) == "<RuntimeError in str()>"
    assert plain_text.name_of_task(Hostile()) == "<Hostile>"
    assert len(plain_text.shown(Endless())) <= plain_text.LONGEST


def test_milestones():
    assert [n for n in range(1, 100_001) if is_milestone(n)] == [10, 100, 1000, 10_000, 100_000]


# -- where they go --


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(settings, "terminal", True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def on_a_terminal(monkeypatch, text):
    """What a pseudo-terminal gets."""
    try:
        primary, secondary = pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminals here: {error}")
    with os.fdopen(secondary, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        outlets.say(text, {})
    try:
        return os.read(primary, 10_000).decode().replace("\r\n", "\n")
    finally:
        os.close(primary)


def test_colour_on_a_terminal(terminal, monkeypatch):
    text = lines.in_full(make_stall(), "await asyncio.sleep(1)")
    shown = on_a_terminal(monkeypatch, text)
    assert "\33[1m\33[31m1.00 s\33[0m" in shown
    assert shown == outlets.coloured(text) + "\n"


@pytest.mark.parametrize("name, value", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_when_it_is_not_wanted(terminal, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert on_a_terminal(monkeypatch, "clearloop: blocked 1.00 s") == "clearloop: blocked 1.00 s\n"


def test_no_colour_in_a_file(terminal, monkeypatch, tmp_path):
    with open(tmp_path / "stderr", "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        outlets.say("clearloop: blocked 1.00 s", {})
    assert (tmp_path / "stderr").read_text() == "clearloop: blocked 1.00 s\n"


def test_a_stream_without_a_descriptor(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    outlets.say("clearloop: blocked", {})
    assert sys.stderr.getvalue() == "clearloop: blocked\n"


def test_an_encoding_that_lacks_the_dot(terminal, monkeypatch, tmp_path):
    with open(tmp_path / "stderr", "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        outlets.say("clearloop: a · b … täsk", {})
    assert (tmp_path / "stderr").read_text() == "clearloop: a - b ... t\\xe4sk\n"


class Broken:
    def fileno(self):
        raise RuntimeError

    def write(self, text):
        raise OSError


@pytest.mark.parametrize("stream", [None, Broken(), object()])
def test_a_standard_error_that_is_gone(terminal, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    outlets.say("clearloop: blocked", {})


def test_a_full_standard_error(terminal, monkeypatch):
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        outlets.say("clearloop: blocked", {})


def test_elsewhere_it_is_a_warning_with_data(monkeypatch, caplog):
    monkeypatch.setattr(settings, "terminal", False)
    outlets.say("clearloop: blocked 50 %s", {"kind": "stall", "seconds": 1.0})
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("clearloop", "WARNING")
    assert record.getMessage() == "clearloop: blocked 50 %s"
    assert record.clearloop == {"kind": "stall", "seconds": 1.0}
