"""`clearloop ps`, `tree` and `dump` as commands: what they print, as text and as JSON, and how they fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "show"))
from watched import Watched

PROGRAM = """
    import asyncio, clearloop
    async def child(): await asyncio.sleep(1000)
    async def main():
        children = [asyncio.create_task(child(), name=name) for name in ("one", "two\\x1b[2J\\n")]
        await asyncio.sleep(0)
        print("ready", flush=True)
        await asyncio.gather(*children)
    clearloop.run(main())
"""


@pytest.fixture
def watched():
    watched = Watched()
    yield watched
    watched.close()


def test_ps(watched):
    first = watched.start(PROGRAM, name="first.py")
    second = watched.start(PROGRAM, name="second.py")
    listed = watched.command("ps")
    assert listed.returncode == 0 and listed.stderr == ""
    lines = listed.stdout.splitlines()
    assert lines[0].split() == ["PID", "PROGRAM", "PYTHON", "LOOP", "TASKS", "BUSY", "NOW"]
    for program, name in ((first, "first.py"), (second, "second.py")):
        (line,) = [line for line in lines if line.split()[0] == str(program.pid)]
        assert name in line and line.endswith("waiting for something to do")


def test_ps_as_json(watched):
    program = watched.start(PROGRAM)
    listed = watched.command("ps", "--json")
    (found,) = [one for one in json.loads(listed.stdout)["processes"] if one["pid"] == program.pid]
    assert found["loops"][0]["tasks"] == 3
    assert found["python"].split(".")[:2] == [str(part) for part in sys.version_info[:2]]


def test_ps_with_a_module_and_arguments(watched):
    watched.write(PROGRAM, "package_app.py")
    program = watched.start(
        """
        import runpy, sys
        sys.argv[1:] = ["--password", "hunter2"]
        runpy.run_module("package_app", run_name="__main__", alter_sys=True)
        """
    )
    listed = watched.command("ps", "--json")
    assert "hunter2" not in listed.stdout and "password" not in listed.stdout
    assert str(program.pid) in listed.stdout


def test_tree_by_number_and_by_name(watched):
    program = watched.start(PROGRAM, name="shown.py")
    for name in (str(program.pid), "shown.py", "shown"):
        drawn = watched.command("tree", name)
        assert drawn.returncode == 0, drawn.stderr
        lines = drawn.stdout.splitlines()
        assert lines[0].startswith("loop 0: 3 tasks, busy ")
        assert lines[1].startswith("Task-1 (main): waits for gather(): 2 of 2 left")
        assert lines[2] == "│  shown.py:8 in main: await asyncio.gather(*children)"
        assert any(line.startswith(r"└─ two\x1b[2J (child): sleeps, ") for line in lines)
        assert "\x1b" not in drawn.stdout


def test_tree_as_json(watched):
    program = watched.start(PROGRAM)
    found = json.loads(watched.command("tree", "--json", str(program.pid)).stdout)
    assert [task["name"] for task in found["tasks"]] == ["Task-1", "one", "two\x1b[2J\n"]
    assert found["tasks"][0]["awaits"] == [task["id"] for task in found["tasks"][1:]]


def test_a_terminal_of_few_characters(watched):
    program = watched.start(PROGRAM)
    drawn = watched.command("tree", str(program.pid), PYTHONIOENCODING="ascii")
    assert drawn.returncode == 0, drawn.stderr
    assert "two" in drawn.stdout


def test_of_two_of_one_name_the_number_has_to_be_said(watched):
    numbers = [watched.start(PROGRAM, name="same.py").pid for _ in range(2)]
    failed = watched.command("tree", "same")
    assert failed.returncode == 2
    assert all(str(number) in failed.stderr for number in numbers)


@pytest.mark.parametrize("command", ["tree", "dump"])
def test_there_is_no_such_process(watched, command):
    more = ["file"] if command == "dump" else []
    for name, reason in (
        ("999999999", "there is no process 999999999"),
        ("0", "there is no process 0"),
        ("nobody-runs-this", "no process that answers runs 'nobody-runs-this'"),
        (str(os.getpid()), "does not answer"),
    ):
        failed = watched.command(command, name, *more)
        assert failed.returncode == 2
        assert failed.stdout == ""
        assert failed.stderr.startswith(f"clearloop {command}: ") and reason in failed.stderr
        assert failed.stderr.count("\n") == 1
    assert not os.path.exists(os.path.join(watched.runtime, "file"))


def test_wrong_calls(watched):
    for words in (["tree"], ["dump", "1"], ["ps", "--nothing"], ["tree", "1", "2"]):
        failed = watched.command(*words)
        assert failed.returncode == 2
        assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["top --interval", "attach --wait"])
@pytest.mark.parametrize("value", ["-1", "soon", "nan", "1e9"])
def test_seconds_out_of_bounds(watched, option, value):
    command, name = option.split()
    failed = watched.command(command, "1", f"{name}={value}")
    assert (failed.returncode, failed.stdout) == (2, "")
    start = f"clearloop {command}: argument {name}: {value!r} is not a number of seconds from "
    assert failed.stderr.startswith(start) and failed.stderr.count("\n") == 1


def test_a_dump_as_json(watched):
    program = watched.start(PROGRAM)
    told = json.loads(watched.command("dump", "--json", str(program.pid), "out").stdout)
    size = os.path.getsize(os.path.join(watched.runtime, "out"))
    assert told == {"pid": program.pid, "file": "out", "bytes": size}


def test_nothing_to_dump(watched):
    program = watched.start(PROGRAM, CLEARLOOP_RECORD="0")
    failed = watched.command("dump", str(program.pid), "out")
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert "no loop of clearloop's records in that process" in failed.stderr
    assert not os.path.exists(os.path.join(watched.runtime, "out"))


def test_a_dump_that_cannot_be_written(watched):
    program = watched.start(PROGRAM)
    failed = watched.command("dump", str(program.pid), "no/such/folder")
    assert failed.returncode == 2
    assert "no/such/folder" in failed.stderr or "dumps" in failed.stderr


def test_a_reader_that_goes(watched):
    program = watched.start(PROGRAM)
    command = f'"{sys.executable}" -m clearloop tree {program.pid} | true'
    ran = subprocess.run(command, shell=True, env=watched.env, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ran.stderr == ""
