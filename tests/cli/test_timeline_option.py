"""`clearloop run --timeline OUT.html`: a page at the end of the run, however the program ends and whatever it has done
with its loops."""

import base64
import json
import re
import sys
import zlib

import pytest

PACKED = re.compile(rb'<script type="text/plain" class="packed">([^<]*)</script>')

WORK = """
import asyncio, sys, time

async def child():
    await asyncio.sleep(0.001)

async def main(name="the child"):
    await asyncio.create_task(child(), name=name)
"""


def told(path):
    """What the page of `path` tells: its facts, strings among them."""
    raw = zlib.decompress(b"".join(map(base64.b64decode, PACKED.findall(path.read_bytes()))), 31)
    length = int.from_bytes(raw[-4:], "little")
    return json.loads(raw[-4 - length : -4])


@pytest.fixture
def run(programs):
    def run(text, *options, name="app.py", **env):
        programs.write(name, text)
        return programs.clearloop("--timeline", "out.html", *options, name, **env)

    return run


ENDS = {
    "by itself": ("asyncio.run(main())", 0),
    "by an exception": ("asyncio.run(main())\nraise ValueError('so')", 1),
    "by an exception in the loop": (
        "async def fails():\n    await main()\n    raise ValueError\nasyncio.run(fails())",
        1,
    ),
    "by sys.exit": ("asyncio.run(main())\nsys.exit(7)", 7),
    "by sys.exit in the loop": ("async def leave():\n    await main()\n    sys.exit(8)\nasyncio.run(leave())", 8),
    "by Ctrl-C": (
        "import os, signal\n"
        "async def interrupted():\n"
        "    await main()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await asyncio.sleep(60)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "asyncio.run(interrupted())",
        -2,
    ),
    "with its loop open": (
        "loop = asyncio.new_event_loop()\nloop.run_until_complete(main())\nsys.stderr = sys.__stderr__",
        0,
    ),
}


@pytest.mark.parametrize("end, status", ENDS.values(), ids=ENDS)
def test_a_page_however_the_program_ends(run, programs, end, status):
    ran = run(f"{WORK}\n{end}\n")
    assert ran.returncode == status, ran.stderr
    assert ran.stderr.splitlines()[-1] == "clearloop: the timeline is in out.html" or status == -2
    assert "the timeline is in out.html" in ran.stderr
    assert "the child" in told(programs.folder / "out.html")["strings"]


def test_all_loops_of_the_program_are_in_it(run, programs):
    ran = run(
        f"{WORK}\nimport gc\nfor place in range(3):\n    asyncio.run(main(f'child {{place}}'))\n    gc.collect()\n"
    )
    assert ran.returncode == 0, ran.stderr
    page = told(programs.folder / "out.html")
    assert {"child 0", "child 1", "child 2"} <= set(page["strings"])


def test_every_step_is_in_it(run, programs):
    """Also where the budget of a program that runs without the option would be used up."""
    steps = 40_000
    ran = run(f"{WORK}\nasync def busy():\n    for _ in range({steps}): await asyncio.sleep(0)\nasyncio.run(busy())\n")
    assert ran.returncode == 0, ran.stderr
    page = told(programs.folder / "out.html")
    counts = {name: count for name, count, *_ in page["columns"]}
    assert counts["0.spans.kind"] > steps
    assert counts["0.gaps.steps"] == 0


def test_a_ring_that_is_small_holds_the_end(run, programs):
    text = f"{WORK}\nasync def both():\n    await main('first')\n"
    text += "    for _ in range(5000): await asyncio.sleep(0)\n    await main('last')\nasyncio.run(both())\n"
    ran = run(text, "--record", "0.03")
    assert ran.returncode == 0, ran.stderr
    strings = told(programs.folder / "out.html")["strings"]
    assert "last" in strings
    assert "first" not in strings


def test_the_programs_own_exit_handlers_come_first(run, programs):
    text = f"{WORK}\nimport atexit\natexit.register(lambda: asyncio.run(main('in the exit handler')))\n"
    ran = run(text + "asyncio.run(main())\n")
    assert ran.returncode == 0, ran.stderr
    assert "in the exit handler" in told(programs.folder / "out.html")["strings"]


def test_the_program_may_change_its_folder_and_environment(run, programs):
    ran = run(f"{WORK}\nimport os\nos.mkdir('d')\nos.chdir('d')\nos.environ.clear()\nasyncio.run(main())\n")
    assert ran.returncode == 0, ran.stderr
    assert (programs.folder / "out.html").exists()


def test_with_strict_the_page_is_there_as_well(run, programs):
    ran = run(f"{WORK}\nasync def forgets():\n    child()\nasyncio.run(forgets())\n", "--strict")
    assert ran.returncode == 3, ran.stderr
    assert (programs.folder / "out.html").exists()


def test_children_neither_draw_nor_record_more(run, programs):
    text = (
        f"{WORK}\nimport os, subprocess\n"
        "pid = os.fork()\n"
        "if not pid:\n    asyncio.run(main('in the fork'))\n    sys.exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "asyncio.run(main())\n"
        "print(os.path.exists('out.html'))\n"
        "print(subprocess.check_output([sys.executable, '-c', 'import os; print(sorted(os.environ))'], text=True))\n"
    )
    ran = run(text, CLEARLOOP_RECORD="")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0] == "False"
    assert "CLEARLOOP_RECORD_ALL" not in ran.stdout
    assert "in the fork" not in told(programs.folder / "out.html")["strings"]


def test_a_program_without_a_loop_gets_no_page(run, programs):
    ran = run("print('no loop')")
    assert (ran.returncode, ran.stdout) == (0, "no loop\n")
    assert "no timeline: the program has not run a loop" in ran.stderr
    assert not (programs.folder / "out.html").exists()


def test_recording_that_is_off_is_switched_on(run, programs):
    ran = run(f"{WORK}\nasyncio.run(main())\n", CLEARLOOP_RECORD="0")
    assert ran.returncode == 0, ran.stderr
    assert "the child" in told(programs.folder / "out.html")["strings"]


def test_what_stood_there_stays_until_the_page_is_whole(run, programs):
    (programs.folder / "out.html").write_text("the old page")
    ran = run(f"{WORK}\nasyncio.run(main())\nprint(open('out.html').read())\n")
    assert (ran.returncode, ran.stdout) == (0, "the old page\n")
    assert (programs.folder / "out.html").read_bytes().startswith(b"<!")


@pytest.mark.parametrize("out", ["missing/out.html", "app.py/out.html", "."])
def test_a_page_that_cannot_be_written_is_refused_before_the_program_starts(programs, out):
    programs.write("app.py", "print('ran')")
    ran = programs.clearloop("--timeline", out, "app.py")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"can't write the timeline {out!r}" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("size", ["much", "-1", "nan", "inf", ""])
def test_a_size_that_is_none(programs, size):
    programs.write("app.py", "print('ran')")
    ran = programs.clearloop("--record", size, "app.py")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--record: a number of MiB" in ran.stderr


def test_no_records_and_a_page_contradict_each_other(programs):
    programs.write("app.py", "print('ran')")
    ran = programs.clearloop("--record", "0", "--timeline", "out.html", "app.py")
    assert (ran.returncode, ran.stdout) == (2, "")


def test_the_size_counts_for_the_loops(programs):
    programs.write(
        "app.py",
        """
        import asyncio
        async def main(): return asyncio.get_running_loop()._recording()[0]
        print(asyncio.run(main()))
        """,
    )
    assert programs.clearloop("--record", "2", "app.py").stdout == "65536\n"


def test_a_page_that_fails_at_the_end_changes_nothing_else(run, programs):
    ran = run(f"{WORK}\nimport os\nasyncio.run(main())\nos.mkdir('out.html')\nprint('done')\nsys.exit(5)\n")
    assert (ran.returncode, ran.stdout) == (5, "done\n")
    assert "the timeline out.html cannot be written" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_python_says_nothing_of_its_own(run):
    assert sys.version_info >= (3, 11)
    ran = run(f"{WORK}\nasyncio.run(main())\n", PYTHONWARNINGS="error")
    assert (ran.returncode, ran.stderr) == (0, "clearloop: the timeline is in out.html\n")
