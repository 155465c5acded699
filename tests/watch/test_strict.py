"""clearloop run --report and --strict: what they write, and the exit status."""

import os

import pytest

CLEAN = "import asyncio\nasync def main(): await asyncio.sleep(0)\nasyncio.run(main())\nprint('ended')\n"
FORGETS = "import asyncio\nasync def work(): pass\nasync def main(): work()\nasyncio.run(main())\nprint('ended')\n"
LOSES = """
    import asyncio
    async def fail(): raise ValueError("no")
    async def main():
        asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    asyncio.run(main())
    print("ended")
    """


BLOCKS = """
    import asyncio, time
    async def job(): time.sleep(0.25)
    async def main(): await asyncio.gather(job(), asyncio.create_task(asyncio.sleep(0), name="victim"))
    asyncio.run(main())
    print("ended")
    """
# by the processor's time: the machine may be busy with others
COMPUTES = BLOCKS.replace("time.sleep(0.25)", "exec('while time.thread_time() < 0.8: sum(range(1000))')")
MEANT = BLOCKS.replace("asyncio, time", "asyncio, time, clearloop").replace(
    "time.sleep(0.25)", "exec('with clearloop.watch.expect_block(str(1)): time.sleep(0.25)')"
)


def test_a_clean_run(programs):
    ran = programs.run("--strict", text=CLEAN)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("ended\n", "", 0)


WHY = [
    (FORGETS, "1 forgotten await"),
    (LOSES, "1 lost error"),
    (BLOCKS, "1 blocking call"),
    (COMPUTES, "1 computation"),
]


@pytest.mark.parametrize("text, why", WHY, ids=[why for _, why in WHY])
def test_status_3(programs, text, why):
    ran = programs.run("--strict", text=text)
    assert (ran.stdout, ran.returncode) == ("ended\n", 3)
    assert ran.stderr.endswith(f"clearloop: exit status 3: {why}\n")
    assert programs.run(text=text).returncode == 0


def test_a_block_that_is_meant(programs):
    ran = programs.run("--strict", "--report", "found.jsonl", text=MEANT)
    assert (ran.stderr, ran.returncode) == ("", 0)


def test_a_real_stall_in_the_file_and_on_the_screen(programs):
    ran = programs.run("--report", "found.jsonl", text=BLOCKS)
    (stall,) = programs.records(kind="stall")
    assert stall["verdict"] == "blocking" and stall["code"] == "time.sleep(0.25)" and stall["call"] == "time.sleep"
    assert (stall["line"], stall["function"]) == (3, "job") and stall["file"].endswith("/app.py")
    assert stall["stack"][-1] == {"file": stall["file"], "line": 3, "function": "job"}
    assert stall["advice"] == "await asyncio.sleep(0.25)" and stall["seconds"] >= 0.25 > stall["cpu_seconds"]
    assert "victim" in [one["task"] for one in stall["delayed"]] and stall["delayed_count"] >= 1
    assert programs.records(kind="summary")[0]["stalls"]["blocking"] == 1
    lines = ran.stderr.splitlines()
    assert len(lines) == 3 and " s so far: app.py:3 in job: time.sleep(0.25)" in lines[0]
    assert "app.py:3 in job: time.sleep(0.25) [blocking call, CPU" in lines[1]
    assert lines[2].endswith("instead: await asyncio.sleep(0.25)")


def test_without_the_command_it_is_logged(programs):
    text = "import logging; logging.basicConfig(format='%(name)s %(levelname)s %(message)s')\n"
    text += "import clearloop; clearloop.install()"
    ran = programs.python(text + BLOCKS.replace("\n    ", "\n"))
    lines = ran.stderr.splitlines()
    assert lines[0].startswith("clearloop WARNING clearloop: blocked 0.") and " s so far: " in lines[0]
    assert lines[1].startswith("clearloop WARNING clearloop: blocked 0.2") and len(lines) == 3
    assert programs.python(text + BLOCKS.replace("\n    ", "\n"), env={"CLEARLOOP_WATCH": "0"}).stderr == ""


@pytest.mark.parametrize("end, status", [("sys.exit()", 3), ("sys.exit(0)", 3), ("sys.exit(5)", 5), ("1 / 0", 1)])
def test_the_programs_own_status_comes_first(programs, end, status):
    assert programs.run("--strict", text=FORGETS + f"import sys\n{end}\n").returncode == status


def test_what_a_thread_does_after_the_end_counts(programs):
    text = FORGETS.replace("asyncio.run(main())", "import threading\nthreading.Thread(target=later).start()")
    text = "def later():\n    import time\n    time.sleep(0.2)\n    asyncio.run(main())\n" + text
    assert programs.run("--strict", text=text).returncode == 3


def test_exit_handlers_and_buffers_come_before_the_status(programs):
    text = FORGETS + "import atexit, sys\natexit.register(print, 'handler')\nsys.stdout.write('no newline')"
    ran = programs.run("--strict", text=text)
    assert (ran.stdout, ran.returncode) == ("ended\nno newlinehandler\n", 3)


def test_forked_children_have_a_status_of_their_own(programs):
    text = """
        import asyncio, os, sys
        async def work(): pass
        async def main(): work()
        child = os.fork()
        if child == 0:
            asyncio.run(main())
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    ran = programs.run("--strict", text=text, env={"PYTHONWARNINGS": "ignore"})
    assert (ran.stdout, ran.returncode) == ("0\n", 0)


def test_a_report_is_begun_anew_and_ends_with_a_summary(programs):
    programs.write("found.jsonl", "old\n")
    programs.run("--report", "found.jsonl", text=CLEAN)
    (summary,) = programs.records()
    assert summary["kind"] == "summary"
    assert set(summary) == {
        *("kind", "version", "time", "pid", "stalls", "stall_seconds", "never_awaited", "lost_exceptions"),
        *("stuck", "places", "unwritten"),
    }


def test_the_variable_appends(programs):
    for _ in range(2):
        programs.run(text=FORGETS, env={"CLEARLOOP_REPORT": "found.jsonl"})
    assert [record["kind"] for record in programs.records()] == ["never_awaited", "summary"] * 2


def test_the_folder_may_change(programs):
    programs.run("--report", "found.jsonl", text="import os\nos.chdir('/')\n" + FORGETS)
    assert len(programs.records()) == 2


def test_children_write_to_the_same_file(programs):
    text = f"""
        import subprocess, sys
        subprocess.run([sys.executable, "-m", "clearloop", "run", "-c", {FORGETS!r}])
        """
    programs.run("--report", "found.jsonl", text=text)
    records = programs.records()
    assert [record["kind"] for record in records] == ["never_awaited", "summary", "summary"]
    assert records[0]["pid"] == records[1]["pid"] != records[2]["pid"]


def test_a_report_that_cannot_be_written_is_a_wrong_call(programs):
    ran = programs.run("--report", "none/found.jsonl", text=CLEAN)
    expected = "clearloop run: can't write the report 'none/found.jsonl': No such file or directory\n"
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", expected, 2)


def test_a_disk_that_fills_up(programs):
    ran = programs.run("--report", "/dev/full", text=FORGETS)
    assert (ran.stdout, ran.returncode) == ("ended\n", 0)
    assert "clearloop: the report file /dev/full cannot be written" in ran.stderr


def test_standard_error_that_is_closed(programs):
    programs.write("app.py", FORGETS)
    command = "exec 2>&-; exec \"$@\""
    import subprocess
    import sys

    words = ["sh", "-c", command, "sh", sys.executable, "-m", "clearloop", "run", "--strict", "app.py"]
    ran = subprocess.run(words, cwd=programs.folder, env=programs.env, stdout=subprocess.PIPE, timeout=60)
    assert (ran.stdout, ran.returncode) == (b"ended\n", 3)


def test_a_program_that_is_killed_leaves_what_was_found(programs):
    programs.run("--report", "found.jsonl", text=FORGETS + "import os\nos.kill(os.getpid(), 9)")
    (record,) = programs.records()
    assert record["kind"] == "never_awaited"
    assert os.path.getsize(programs.folder / "found.jsonl") > 0
