"""`clearloop view`: what it prints and writes, and what it says of dumps that are none, or damaged."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import clearloop
from clearloop.cli import main as command

sys.path.insert(0, str(Path(__file__).parents[1] / "show"))  # where dumps are made by hand
from dump_maker import DumpMaker, blocked_jobs


@pytest.fixture
def dump(tmp_path):
    return blocked_jobs(10).write(tmp_path / "ten.clearloop")


def view(*words, **settings):
    """In a process of its own, as it is used."""
    home = str(Path(clearloop.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "clearloop", "view", *map(str, words)],
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        timeout=60,
        **settings,
    )


def test_the_page_goes_beside_the_dump_and_what_is_in_it_is_told(dump):
    ran = view(dump)
    page = dump.with_suffix(".html")
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert ran.stdout.splitlines() == [
        "app.py (process 4711), Python 3.13.0: the last 2.00 s",
        "loop 0 (MainThread): 2.00 s, 11 tasks, 12 steps, busy 100%",
        "  10 stalls, the longest first:",
        *[
            f"    0.200 s by task job-{i}: app.py:12 in job: time.sleep(0.2) [blocking], held {9 - i} tasks"
            for i in range(5)
        ],
        "    and 5 more",
        f"timeline: {page}",
    ]
    assert page.read_text().lower().startswith("<!doctype html>")


def test_where_the_page_goes_can_be_said(dump, tmp_path):
    other = tmp_path / "other.html"
    assert view(dump, "-o", other).stdout.endswith(f"timeline: {other}\n")
    assert other.exists() and not dump.with_suffix(".html").exists()


def test_json_has_everything_and_writes_no_page(dump):
    ran = view(dump, "--json")
    told = json.loads(ran.stdout)
    assert [each.name for each in dump.parent.iterdir()] == [dump.name]
    assert (told["version"], told["pid"], told["program"], told["problems"]) == (1, 4711, "app.py", [])
    (loop,) = told["loops"]
    assert [task["name"] for task in loop["tasks"]] == ["main", *[f"job-{i}" for i in range(10)]]
    last = loop["tasks"][-1]
    assert (last["file"], last["line"], last["coroutine"], last["outcome"]) == ("app.py", 10, "job", "returned")
    assert last["busy"] == 0.2 and 1.8 < last["held"] < 1.81 and last["parent"] == loop["tasks"][0]["id"]
    stall = loop["stalls"][0]
    assert (stall["file"], stall["line"], stall["code"], stall["held"]) == ("app.py", 12, "time.sleep(0.2)", 9)
    assert loop["utilisation"] == 1 and loop["records"] == {"written": 47, "overwritten": 0}


def test_jobs_gaps_and_what_was_overwritten(tmp_path):
    made = blocked_jobs(3, in_workers=True)
    made.loops[0]["overwritten"] = 1234
    made.gap(300_000_000, 5_000_000, 77)
    path = made.write(tmp_path / "jobs.clearloop")
    (loop,) = json.loads(view(path, "--json").stdout)["loops"]
    assert loop["gaps"] == {"count": 1, "seconds": 0.005, "steps": 77}
    assert [job["function"] for job in loop["jobs"]] == ["sleep"] * 3
    assert loop["jobs"][2]["worker"] == "clearloop-worker-2"
    ran = view(path)
    assert "3 jobs off the loop" in ran.stdout
    assert "1234 older records were overwritten" in ran.stdout
    assert "1 gap: 77 steps in 5.0 ms were not recorded" in ran.stdout


def test_a_perfetto_trace(dump, tmp_path):
    pytest.importorskip("perfetto", reason="the extra clearloop[perfetto]")
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

    out = tmp_path / "out.pftrace"
    ran = view(dump, "--perfetto", out)
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert f"Perfetto trace: {out}, for https://ui.perfetto.dev" in ran.stdout
    trace = Trace()
    trace.ParseFromString(out.read_bytes())
    assert {"main", "job-9"} <= {packet.track_descriptor.name for packet in trace.packet}
    assert not dump.with_suffix(".html").exists()


def test_without_the_package_the_extra_is_named(dump, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "perfetto", None)
    monkeypatch.setitem(sys.modules, "perfetto.protos.perfetto.trace.perfetto_trace_pb2", None)
    assert command.main(["view", str(dump), "--perfetto", str(tmp_path / "out")]) == 2
    assert "pip install 'clearloop[perfetto]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_page_is_opened(dump, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert command.main(["view", str(dump), "--open"]) == 0
    assert opened == [dump.with_suffix(".html").resolve().as_uri()]


def test_a_dump_that_was_cut_short_is_shown_with_status_2(dump):
    raw = dump.read_bytes()
    dump.write_bytes(raw[: len(raw) - 200])
    ran = view(dump)
    assert ran.returncode == 2
    assert ran.stderr == f"clearloop view: {dump}: the file is cut short: what follows is up to the cut\n"
    assert "11 tasks" in ran.stdout and dump.with_suffix(".html").exists()


@pytest.mark.parametrize(
    "raw, text",
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7", "not a dump of clearloop"),
        (b"CLEARLP\x02", "a dump of version 2; this clearloop reads version 1"),
    ],
)
def test_what_is_no_dump_is_one_line_and_status_2(tmp_path, raw, text):
    path = tmp_path / "file"
    path.write_bytes(raw)
    ran = view(path)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", f"clearloop view: {path}: {text}\n", 2)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "words, text",
    [
        ((), "the following arguments are required: DUMP"),
        (("none",), "can't read 'none': No such file or directory"),
        (("",), "can't read '': No such file or directory"),
        ((".",), "can't read '.': Is a directory"),
        (("DUMP", "-o", "no/such/folder/x.html"), "can't write 'no/such/folder/x.html': No such file or directory"),
        (("DUMP", "--fly"), "unrecognized arguments: --fly"),
    ],
)
def test_wrong_calls_are_one_line_and_status_2(dump, words, text):
    ran = view(*[dump if word == "DUMP" else word for word in words], cwd=dump.parent)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", f"clearloop view: {text}\n", 2)


def test_who_was_held_is_counted_from_the_step_and_not_from_when_the_watchdog_looked(tmp_path):
    made = blocked_jobs(3)
    made.stalls[1]["begin_ns"] -= 500  # while the task itself still stood in line
    path = made.write(tmp_path / "x.clearloop")
    stalls = json.loads(view(path, "--json").stdout)["loops"][0]["stalls"]
    assert {stall["task"]: stall["held"] for stall in stalls} == {"job-0": 2, "job-1": 1, "job-2": 0}


def test_names_that_would_move_the_cursor_are_escaped(tmp_path):
    made = DumpMaker()
    made.head["program"] = "\x1b[2Japp\n.py"
    made.task(1, 0, made.code("f"), name="\x1b]0;x\x07")
    made.stall(1, 10, 300_000_000)
    made.step(1, 10, 300_000_000, 2)
    out = view(made.write(tmp_path / "x.clearloop")).stdout
    assert "\x1b" not in out and "\x07" not in out and r"\x1b]0;x\x07" in out


def test_a_reader_that_goes_away_ends_it_quietly(dump):
    home = str(Path(clearloop.__file__).parents[1])
    command = f"{sys.executable} -m clearloop view {dump} --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PYTHONPATH": home}, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in ran.stderr


def test_help_tells_the_options():
    ran = view("--help")
    assert all(option in ran.stdout for option in ("--perfetto", "--json", "--open", "--output")) and not ran.returncode


def test_the_page_is_its_owners(dump):
    view(dump)
    assert stat.S_IMODE(dump.with_suffix(".html").stat().st_mode) == 0o600
