"""python tools/accuracy.py: where the watchdog names the right line, as a table in docs/accuracy.md.

    python tools/accuracy.py measure found-3.13.json     run the cases on this Python (a minute)
    python tools/accuracy.py table found-*.json          write the table from what several Pythons have found

A case is a test of tests/watch, which asserts the line, the call and the verdict of a real block; this program adds
what the watchdog had said by the time the block ended.  A cell says when the right line was named: `during` the block,
and again at its end; at its `end`, for calls in C that hold the GIL and let nobody look; or what went wrong.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "accuracy.md"
BEGIN, END = "<!-- the table: python tools/accuracy.py -->", "<!-- end of the table -->"
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")


@dataclass(frozen=True)
class Case:
    name: str
    test: str  # below tests/watch
    verdict: str
    when: str = "during"  # or `end`; `counted`: nobody's line


def _where(name: str, test: str) -> Case:
    return Case(name, f"test_where.py::test_{test}", "blocking")


def _call(name: str, peer: str) -> Case:
    return Case(name, f"test_real_calls.py::test_call[{peer}]", "blocking")


def _c_call(name: str, function: str, when: str = "end") -> Case:
    return Case(name, f"test_verdicts.py::test_the_line_of_a_call_that_holds_the_gil[{function}]", "compute", when)


def _c_call_without_name(name: str, function: str) -> Case:
    return _c_call(name, f"{function}-None")


CASES = [
    _where("a task, three calls deep", "task_three_calls_deep"),
    _where("an async generator", "async_generator"),
    _where("`__aexit__`", "aexit"),
    _where("a timer", "timer"),
    _where("a done-callback", "done_callback"),
    _where("a signal handler", "signal_handler"),
    _where("`data_received`", "data_received"),
    _where("a descriptor's reader", "reader_of_a_descriptor"),
    _where("an executor's callback", "callback_of_an_executor"),
    _where("an eager task", "eager_task"),
    _where("a stack of depth 900", "deep_stack[900]"),
    _call("`socket.recv`", "socket_recv"),
    _call("`socket.connect`", "socket_connect"),
    _call("urllib, slow server", "urllib"),
    _call("requests, slow server", "requests"),
    _call("`http.client`, slow server", "http_client"),
    _call("SQLite, a lock", "sqlite_lock"),
    _call("a FIFO", "fifo"),
    _call("`input`", "input"),
    _call("`subprocess.run`", "subprocess_run"),
    _call("`os.system`", "os_system"),
    _call("`threading.Lock`", "lock_acquire"),
    _call("`threading.Lock` in a `with`", "lock_in_a_with"),
    _call("`threading.Condition`", "condition"),
    _call("`threading.Event`", "event"),
    _call("`queue.Queue`", "queue_get"),
    _call("`Thread.join`", "thread_join"),
    _call("`Future.result`", "future_result"),
    _call("`submit(…).result()`, threads", "submit_and_result"),
    _call("`submit(…).result()`, a process", "result_of_another_process"),
    _call("`concurrent.futures.wait`", "futures_wait"),
    _call("a call over several lines", "over_several_lines"),
    Case("ten jobs of which one sleeps", "test_victims.py::test_ten_jobs_of_which_one_sleeps", "blocking"),
    Case("Python code that computes", "test_verdicts.py::test_compute_in_python", "compute"),
    _c_call("`pbkdf2_hmac`", "key_derivation-_hashlib.pbkdf2_hmac", "during"),
    _c_call("`bz2.compress`", "compression-bz2.compress", "during"),
    _c_call("a catastrophic pattern", "catastrophic_pattern-re.Pattern.match"),
    _c_call("`json.loads` of 20 MB", "large_json-json.loads"),
    _c_call("`sorted` of millions", "large_sort-sorted"),
    _c_call("`in` over millions", "membership-list.__contains__"),
    _c_call_without_name("a power of many digits", "power"),
    Case("garbage collection", "test_verdicts.py::test_garbage_collection", "gc", "counted"),
    Case("another thread hogs the GIL", "test_verdicts.py::test_another_thread_holds_the_gil", "gil", "counted"),
    Case("SIGSTOP", "test_verdicts.py::test_a_stopped_process_is_not_to_blame", "descheduled", "counted"),
]


class Collector:
    """What each case's test has asserted, and what the watchdog had said before the block ended."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        report = (yield).get_result()
        if report.when == "setup" and report.skipped:
            self.found[item.nodeid] = {"outcome": "skipped"}
        if report.when != "call":
            return
        found: dict[str, Any] = {"outcome": report.outcome}
        seen = item.funcargs.get("seen")
        if seen is not None and seen.blamed:
            stall = max(seen.blamed, key=lambda one: one.seconds)
            place = (stall.file, stall.line)
            found["verdict"] = stall.verdict
            found["during"] = any((early.file, early.line) == place for early in seen.began)
        self.found[item.nodeid] = found


def measure(file: Path) -> int:
    collector = Collector()
    tests = [f"tests/watch/{case.test}" for case in CASES]
    status = pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[collector])
    found = {case.name: collector.found.get(f"tests/watch/{case.test}", {"outcome": "missing"}) for case in CASES}
    version = ".".join(platform.python_version_tuple()[:2])
    file.write_text(json.dumps({"python": version, "cases": found}, indent=1, ensure_ascii=False) + "\n")
    return int(status)


def cell(case: Case, found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    if found["outcome"] != "passed":
        return f"**{found['outcome']}**"
    if case.when == "during":
        return "during, end" if found.get("during") else "end"
    return "end" if case.when == "end" else "yes"


def table(files: list[Path]) -> None:
    by_python = {}
    for file in files:
        data = json.loads(file.read_text())
        by_python[data["python"]] = data["cases"]
    rows = [["what blocks", "verdict", *PYTHONS], ["---"] * (2 + len(PYTHONS))]
    for case in CASES:
        cells = [cell(case, by_python.get(version, {}).get(case.name)) for version in PYTHONS]
        rows.append([case.name, f"`{case.verdict}`", *cells])
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/accuracy.py", description=__doc__.splitlines()[0])
    words = parser.add_subparsers(dest="word", required=True)
    one = words.add_parser("measure", help="run the cases on this Python")
    one.add_argument("file", type=Path)
    many = words.add_parser("table", help="write the table")
    many.add_argument("files", type=Path, nargs="+")
    chosen = parser.parse_args()
    if chosen.word == "measure":
        return measure(chosen.file)
    table(chosen.files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
