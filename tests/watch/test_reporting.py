"""What becomes of a stall: said in full once, then counted; and nothing of it reaches the program."""

import json
import logging
import os
import threading

import pytest

from clearloop.watch import callbacks, outlets, places, report_file, reporting, settings
from clearloop.watch.callbacks import on_stall

from .stalls import make_stall

FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def went_by(times=1, **fields):
    for _ in range(times):
        reporting.began(make_stall(**{**fields, "ongoing": True, "verdict": None, "seconds": 0.1}))
        reporting.ended(make_stall(**fields))


def test_a_line_during_and_two_after(said):
    went_by()
    (during, _), (after, data) = said
    assert during == "clearloop: blocked 0.10 s so far: /srv/app/db.py:42 in fetch_user: time.sleep(1)"
    assert after.endswith("38 waited, worst task ws-ping +0.99 s · instead: await asyncio.sleep(1)")
    assert data["kind"] == "stall" and data["advice"] == "await asyncio.sleep(1)"


def test_the_same_place_is_counted(said):
    went_by(times=1000)
    texts = [text.partition("/srv")[0] for text, _ in said]
    assert texts == [
        "clearloop: blocked 0.10 s so far: ",
        "clearloop: blocked 1.00 s by task req-17: ",
        "clearloop: blocked 10 times, 10.00 s in all: ",
        "clearloop: blocked 100 times, 100.00 s in all: ",
        "clearloop: blocked 1000 times, 1000.00 s in all: ",
    ]


def test_another_place_is_another_finding(said):
    went_by(times=2)
    went_by(times=2, line=43)
    assert len(said) == 4


def test_a_summary_at_exit_of_what_was_held_back(said):
    went_by(times=3)
    went_by(line=50, seconds=0.2)
    del said[:]
    reporting.sum_up()
    reporting.sum_up()
    ((text, _),) = said
    assert text.splitlines() == [
        "clearloop: blocked 4 times, 3.20 s in all, at 2 places:",
        "                3 ×     3.00 s, longest 1.00 s: /srv/app/db.py:42 in fetch_user: time.sleep(1)",
        "                1 ×     0.20 s, longest 0.20 s: /srv/app/db.py:50 in fetch_user: time.sleep(1)",
    ]


def test_no_summary_when_everything_was_said(said):
    went_by()
    del said[:]
    reporting.sum_up()
    assert said == []


def test_the_machine_is_not_blamed(said):
    reporting.ended(make_stall(verdict="descheduled"))
    assert said == [] and reporting.blamed() == 0 and reporting.counts == {"descheduled": 1}


def test_a_line_that_was_out_is_taken_back(said):
    went_by(verdict="descheduled")
    assert said[1][0] == "clearloop: not the program's doing: the machine did not run it for 1.00 s"
    went_by()
    assert len(said) == 4  # the place has not blocked before


@pytest.mark.parametrize("verdict, blamed", [("blocking", 1), ("compute", 1), ("gil", 0), ("gc", 0)])
def test_who_is_blamed(said, verdict, blamed):
    went_by(verdict=verdict)
    assert reporting.blamed() == blamed


def test_the_table_of_places_is_bounded(said, monkeypatch):
    monkeypatch.setattr(places, "MOST", 10)
    for line in range(100):
        went_by(line=line)
    assert len(reporting._places.known) == 10 and reporting._places.others.count == 90
    reporting.sum_up()
    assert sum(place["count"] for place in said[-1][1]["places"]) == 100


def test_findings_are_counted_as_places_are(said):
    for _ in range(10):
        reporting.found("never_awaited", "clearloop: never awaited: f()", file="a.py", line=1)
    assert [text for text, _ in said] == [
        "clearloop: never awaited: f()",
        "clearloop: never awaited: f() [10 times]",
    ]
    assert reporting.blamed() == 10


# -- nothing reaches the program --


class Unspeakable:
    def __getattr__(self, name):
        raise RuntimeError("no such thing")


def test_a_record_that_is_none(said, caplog):
    for _ in range(3):
        reporting.began(Unspeakable())
        reporting.ended(Unspeakable())
    assert [record.message for record in caplog.records] == [  # each once
        "clearloop: the report of a stall failed: RuntimeError",
        "clearloop: advice could not be found: RuntimeError",
    ]


def test_an_outlet_that_fails(said, monkeypatch, caplog):
    monkeypatch.setattr(outlets, "say", lambda text, data: 1 / 0)
    went_by(times=3)
    assert len(caplog.records) == 1


def test_a_logging_handler_that_raises(monkeypatch):
    class Failing(logging.Handler):
        def emit(self, record):
            raise RuntimeError("the handler")

    handler = Failing()
    logging.getLogger("clearloop").addHandler(handler)
    monkeypatch.setattr(settings, "terminal", False)
    try:
        outlets.say("clearloop: blocked", {})
    finally:
        logging.getLogger("clearloop").removeHandler(handler)


@FORKS
def test_a_forked_child_starts_anew(said):
    """The fork may happen while another thread holds the lock."""
    went_by()
    holding, release = threading.Event(), threading.Event()

    def hold():
        with reporting._lock:
            holding.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(30)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            went_by(times=2, verdict="compute")
            status = 0 if reporting.counts == {"compute": 2} else 2
        finally:
            os._exit(status)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- callbacks --


def test_callbacks_hear_of_every_stall(said):
    heard = []
    with on_stall(heard.append):
        went_by(times=3)
        went_by(verdict="descheduled")
        assert reporting.settle(60)
    went_by()
    assert reporting.settle(60)
    assert [stall.verdict for stall in heard] == ["blocking"] * 3 + ["descheduled"]
    assert heard[0].advice == "await asyncio.sleep(1)"


def test_a_subscription_can_be_removed_twice(said):
    heard = []
    subscription, other = on_stall(heard.append), on_stall(heard.append)
    subscription.remove()
    subscription.remove()
    went_by()
    assert reporting.settle(60)
    assert len(heard) == 1
    other.remove()
    assert callbacks._callbacks == []


def test_a_callback_that_fails_is_logged_once_and_hurts_nobody(said, caplog):
    heard = []

    def fails(stall):
        heard.append("failed")
        raise SystemExit(1)

    on_stall(fails)
    on_stall(lambda stall: heard.append("heard"))
    went_by(times=3)
    assert reporting.settle(60)
    assert heard == ["failed", "heard", "heard", "heard"]
    assert len(caplog.records) == 1 and "on_stall" in caplog.text


def test_a_callback_may_remove_itself(said):
    heard = []

    def once(stall):
        heard.append(stall)
        subscription.remove()

    subscription = on_stall(once)
    went_by(times=2)
    assert reporting.settle(60)
    assert len(heard) == 1


@pytest.fixture
def hangs(said):
    """A callback that does not return before the test lets it."""
    held, inside, heard = threading.Event(), threading.Event(), []

    def hang(stall):
        inside.set()
        assert held.wait(60)
        heard.append(stall.number)

    subscription = on_stall(hang)
    yield held, inside, heard
    held.set()
    assert callbacks.drain(60)
    subscription.remove()


def test_while_a_callback_hangs_stalls_are_reported_and_told_afterwards(said, hangs):
    held, inside, heard = hangs
    went_by(number=1)
    assert inside.wait(60)
    went_by(number=2, line=43)
    assert [data["line"] for _, data in said if data["kind"] == "stall"] == [42, 43]
    assert heard == []
    held.set()
    assert reporting.settle(60)
    assert heard == [1, 2]


def test_stalls_that_find_the_queue_full_are_counted(said, hangs, caplog, monkeypatch):
    held, inside, heard = hangs
    monkeypatch.setattr(callbacks, "MOST", 2)
    monkeypatch.setattr(callbacks, "untold", 0)
    went_by(number=1)
    assert inside.wait(60)
    for number in range(2, 7):
        went_by(number=number)
    assert callbacks.untold == 3
    assert reporting.counts == {"blocking": 6}
    held.set()
    assert reporting.settle(60)
    assert heard == [1, 2, 3]
    assert len(caplog.records) == 1 and "do not return" in caplog.text


def test_the_watchdog_notices_while_a_callback_hangs(programs):
    """The callback of the first stall returns when the second one stands in the report."""
    ran = programs.run(
        "--report",
        "found.jsonl",
        text="""
        import asyncio, time
        import clearloop

        def hang(stall):
            until = time.monotonic() + 50
            while time.monotonic() < until:
                if sum('"stall"' in line for line in open("found.jsonl")) > 1:
                    print("let go", flush=True)
                    break
                time.sleep(0.01)
            subscription.remove()

        subscription = clearloop.watch.on_stall(hang)

        async def main():
            time.sleep(0.4)
            await asyncio.sleep(0)
            time.sleep(0.4)

        asyncio.run(main())
        """,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[0] == "let go"
    assert len(programs.records(kind="stall")) >= 2


def test_only_callables_are_taken():
    with pytest.raises(TypeError, match="callable"):
        on_stall(None)


# -- the report file --

EVERY_LINE = {"kind", "version", "time", "pid"}
STALL = EVERY_LINE | {"seconds", "verdict", "cpu_seconds", "task", "callback", "file", "line", "function", "code"}
STALL |= {"call", "stack", "delayed_count", "delayed", "advice", "note", "loop", "steps"}


def report_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_stall_in_the_file(said, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "report", str(tmp_path / "report"))
    went_by(times=2)
    reporting.sum_up()
    first, second, last = report_lines(tmp_path / "report")
    assert set(first) == STALL
    assert first["stack"][1] == {"file": "/srv/app/db.py", "line": 42, "function": "fetch_user"}
    assert first["delayed"] == [
        {"task": "ws-ping", "callback": None, "seconds": 0.99},
        {"task": None, "callback": "timer tick()", "seconds": 0.5},
    ]
    assert first["time"] == "2026-11-22T17:30:00.000+00:00" and first["version"] == report_file.VERSION
    assert second == first
    assert last["kind"] == "summary" and last["stalls"]["blocking"] == 2 and last["places"][0]["count"] == 2


@FORKS
def test_every_line_is_there_at_once(said, monkeypatch, tmp_path):
    """Nothing is buffered: a process that is killed loses no line."""
    monkeypatch.setattr(settings, "report", str(tmp_path / "report"))
    child = os.fork()
    if child == 0:
        try:
            reporting.ended(make_stall())
        finally:
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(report_lines(tmp_path / "report")) == 1


def test_a_full_disk_costs_lines_only(said, monkeypatch, caplog):
    monkeypatch.setattr(settings, "report", "/dev/full")
    went_by(times=3)
    assert report_file.unwritten == 3
    assert len(caplog.records) == 1 and "/dev/full cannot be written" in caplog.text
    assert len(said) == 2  # the lines are out


def test_a_disk_that_was_full_for_a_moment(said, monkeypatch, tmp_path):
    """A line that was cut off does not take the next one with it."""
    path = tmp_path / "report"
    monkeypatch.setattr(settings, "report", str(path))
    write = os.write
    monkeypatch.setattr(os, "write", lambda number, data: write(number, data[:10]))
    went_by()
    monkeypatch.undo()
    monkeypatch.setattr(settings, "report", str(path))
    report_file._broken = True
    reporting.ended(make_stall())
    cut, whole = path.read_text().splitlines()
    assert len(cut) == 10 and json.loads(whole)["kind"] == "stall"


def test_a_folder_that_is_missing(said, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(settings, "report", str(tmp_path / "none" / "report"))
    went_by(times=2)
    assert len(caplog.records) == 1


def test_a_pipe_that_nobody_reads(said, monkeypatch, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(settings, "report", str(pipe))
    went_by()
    assert report_file.unwritten == 1


def test_hostile_names_are_json_all_the_same(said, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "report", str(tmp_path / "report"))
    went_by(task="a\n\x00\ud800", function="\33[2J")
    (record,) = report_lines(tmp_path / "report")
    assert record["task"] == "a \\x00\\ud800"
