"""A dump tells what the recorders hold: whole, from any thread, also while a loop is blocked; to its owner alone, and
never a value of the program's."""

import asyncio
import contextlib
import contextvars
import fcntl
import json
import os
import signal
import stat
import threading
import time

import pytest

import clearloop
import clearloop.watch
from clearloop.show import records, summary
from clearloop.show.building import build_model
from clearloop.show.dump import read
from clearloop.watch import dump_file, dumping, reporting
from dumped import Dumped

from .held import line_of

PATIENCE = 60  # seconds, for what ends by itself


@pytest.fixture
def taken(tmp_path):
    """Dump, and read it back."""

    def take(name="taken.dump"):
        clearloop.watch.dump(tmp_path / name)
        return Dumped(tmp_path / name)

    return take


async def nothing():
    pass


# ---- what is in it ---------------------------------------------------------------------------------------------------


def test_unfinished_tasks_with_their_parents_and_where_they_wait(taken):
    async def deep():
        await asyncio.Event().wait()

    async def child():
        await deep()

    async def parent():
        own = asyncio.create_task(child(), name="child")
        await own

    async def main():
        parent_task = asyncio.create_task(parent(), name="parent")
        await asyncio.sleep(0.01)
        found = taken()
        parent_task.cancel()
        return found

    found = clearloop.run(main())
    assert found.problems == []
    live = found.live
    assert live["child"].parent == live["parent"].id
    assert live["parent"].waits_other == live["child"].id
    assert found.name(live["child"].coro).endswith("child")
    # the innermost of the program's own frames: the event is waited for in the standard library, or in ours
    assert found.name(live["child"].code).endswith("deep")
    assert found.dump.lines[live["child"].code, live["child"].lasti][1] == "await asyncio.Event().wait()"
    assert found.name(live["parent"].code).endswith("parent")
    assert found.dump.lines[live["parent"].code, live["parent"].lasti][1] == "await own"


def test_steps_name_the_line_of_the_await(taken):
    async def waits():
        await asyncio.sleep(0.001)
        await asyncio.get_running_loop().create_future()  # here

    async def main():
        task = asyncio.create_task(waits())
        await asyncio.sleep(0.01)
        found = taken()
        task.cancel()
        return found

    found = clearloop.run(main())
    steps = [r for r in found.of(records.STEP) if r.code and found.name(r.code).endswith("waits")]
    assert found.line(steps[-1]) == (
        line_of(waits),
        "await asyncio.get_running_loop().create_future()  # here",
    )


def test_the_head_says_who_when_and_why(taken):
    before = time.monotonic_ns(), time.time_ns()
    head = taken().dump.head
    assert before[0] <= head.monotonic_ns <= time.monotonic_ns()
    assert before[1] <= head.clock_ns <= time.time_ns()
    assert (head.pid, head.reason, head.clearloop) == (os.getpid(), "asked", clearloop.__version__)
    assert head.python.startswith("3.")


def test_the_order_of_the_parts():
    async def main():
        return list(dumping.collect())

    tags = [bytes(piece[:4]) for piece in clearloop.run(main())]
    assert tags[0] == dump_file.MAGIC[:4]
    kinds = [tag for place, tag in enumerate(tags) if tags[place - 1] != tag]
    assert kinds == [dump_file.MAGIC[:4], b"HEAD", b"LOOP", b"STAL", b"CODE", b"LINE", b"WORK", b"RECS", b"DONE"]


def test_it_is_a_picture_of_one_moment():
    """What is taken later does not depend on what the program does meanwhile."""

    async def main():
        pieces = dumping.collect()
        asyncio.create_task(nothing(), name="too late")
        await asyncio.sleep(0)
        return Dumped(b"".join(pieces))

    found = clearloop.run(main())
    assert found.problems == []
    assert "too late" not in found.names().values()


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "a\nb\x00c\x1b[31m", "naïve ☃ \U0001f600", "lonely \ud800 half", "x" * 5000, ""],
    ids=["markup", "control", "unicode", "surrogate", "long", "empty"],
)
def test_odd_names(taken, name):
    async def main():
        task = asyncio.create_task(asyncio.sleep(60), name=name)
        await asyncio.sleep(0)
        found = taken()
        task.cancel()
        return found

    found = clearloop.run(main())
    assert found.problems == []
    spelt = name.encode("utf-8", "replace").decode()[:1000]
    assert spelt in found.live


def test_a_stall_is_there_as_a_record_and_as_a_report(taken):
    async def blocks():
        time.sleep(0.3)  # here

    async def main():
        asyncio.get_running_loop().slow_callback_duration = 0.05
        await asyncio.create_task(blocks(), name="the blocking one")
        await asyncio.to_thread(reporting.settle, PATIENCE)
        return asyncio.get_running_loop()._watch_number(), taken()

    number, found = clearloop.run(main())
    reports = [report for report in found.dump.stalls if report["loop"] == number and report["line"] == line_of(blocks)]
    [report] = reports
    assert report["task"] == "the blocking one"
    assert report["end_ns"] - report["begin_ns"] >= 0.2e9
    [record] = [r for r in found.loops[number] if r.kind == records.STALL and r.time == report["begin_ns"]]
    assert records.VERDICTS[record.how] == report["verdict"]
    assert found.names()[record.actor] == "the blocking one"
    assert found.line(record) == (line_of(blocks), "time.sleep(0.3)  # here")
    assert abs(record.span - (report["end_ns"] - report["begin_ns"])) <= 1024


# ---- while a loop is blocked -----------------------------------------------------------------------------------------


def blocked_in_sleep(done):
    while not done.is_set():
        time.sleep(0.001)


def blocked_in_compute(done):
    count = 0
    while not done.is_set():
        count += 1


@pytest.mark.parametrize("block", [blocked_in_sleep, blocked_in_compute])
def test_from_another_thread_while_the_loop_is_blocked(taken, block):
    begun, done = threading.Event(), threading.Event()
    found = []

    def watcher():
        begun.wait(PATIENCE)
        before = time.monotonic_ns()
        found.append(taken())
        found.append(before)
        done.set()

    async def culprit():
        begun.set()
        block(done)

    async def main():
        task = asyncio.create_task(culprit(), name="culprit")
        other = asyncio.create_task(asyncio.sleep(60), name="other")
        await task
        other.cancel()
        return asyncio.get_running_loop()._watch_number()

    thread = threading.Thread(target=watcher)
    thread.start()
    number = clearloop.run(main())
    thread.join(PATIENCE)
    dumped, before = found
    assert dumped.problems == []
    assert {"culprit", "other"} <= set(dumped.live)
    running = dumped.loops[number][-1]
    assert running.kind == records.STEP
    assert running.actor == dumped.live["culprit"].id
    assert running.time + running.span >= before  # it still ran when the dump was made


@pytest.mark.parametrize("block", [blocked_in_sleep, blocked_in_compute])
def test_a_stall_that_goes_on_is_told_with_its_line_so_far(taken, block):
    done = threading.Event()
    found = []

    def watcher():
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not reporting.going_on():
            time.sleep(0.01)
        found.append(taken())
        done.set()

    async def culprit():
        block(done)

    async def main():
        asyncio.get_running_loop().slow_callback_duration = 0.05
        thread = threading.Thread(target=watcher)
        thread.start()
        await asyncio.create_task(culprit(), name="culprit")
        await asyncio.to_thread(thread.join, PATIENCE)
        await asyncio.to_thread(reporting.settle, PATIENCE)
        found.append(taken("after.dump"))
        return asyncio.get_running_loop()._watch_number()

    number = clearloop.run(main())
    during, after = found
    [report] = [report for report in during.dump.stalls if report.get("ongoing")]
    assert (report["loop"], report["task"], report["verdict"]) == (number, "culprit", None)
    assert report["stack"][0]["function"].endswith("culprit")
    assert report["end_ns"] - report["begin_ns"] >= 0.05e9
    # what it became is told once, and no longer as going on
    assert not any(report.get("ongoing") for report in after.dump.stalls)
    assert [one["begin_ns"] for one in after.dump.stalls].count(report["begin_ns"]) == 1
    # the page, the lines and the JSON have it, at the step that has not ended
    model = build_model(during.dump)
    loop = next(loop for loop in model.loops if loop.number == number)
    [stall] = [stall for stall in loop.stalls if stall.report.get("ongoing")]
    assert model.strings[loop.tasks.name[loop.spans.lane[stall.span]]] == "culprit"
    assert stall.verdict == "still going on"
    assert any("by task culprit" in line and "[still going on]" in line for line in summary.lines(model))
    [told] = [one for of in summary.facts(model)["loops"] for one in of["stalls"] if one["ongoing"]]
    assert (told["task"], told["verdict"]) == ("culprit", None)


# ---- loops -----------------------------------------------------------------------------------------------------------


def test_several_loops_a_closed_one_and_one_that_never_ran(programs):
    ran = programs.python(
        """
        import asyncio, threading, clearloop, clearloop.watch

        async def here(name):
            await asyncio.create_task(asyncio.sleep(0.001), name=name)

        closed = clearloop.new_event_loop()
        closed.run_until_complete(here("in the closed one"))
        closed.close()
        never = clearloop.new_event_loop()
        ready, done = threading.Event(), threading.Event()

        async def elsewhere():
            await here("elsewhere")
            ready.set()
            done.wait(60)

        thread = threading.Thread(target=clearloop.run, args=(elsewhere(),), name="the other thread")
        thread.start()
        ready.wait(60)

        async def main():
            await here("in the main thread")
            clearloop.watch.dump("app.dump")

        clearloop.run(main())
        done.set()
        thread.join()
        never.close()
        """
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    found = Dumped(programs.folder / "app.dump")
    assert len(found.dump.loops) == 4
    by_name = {}
    spelt = found.names()
    for loop in found.dump.loops:
        for record in found.loops[loop.number]:
            if record.kind == records.TASK and record.actor in spelt:
                by_name[spelt[record.actor]] = loop
    assert set(by_name) == {"in the closed one", "elsewhere", "in the main thread"}
    assert len({loop.number for loop in by_name.values()}) == 3
    assert by_name["elsewhere"].thread == "the other thread"
    assert by_name["in the main thread"].thread == "MainThread"
    [problem] = found.problems  # of the one that never ran
    assert "has recorded nothing" in problem


def test_no_loop_at_all(programs):
    ran = programs.python("import clearloop.watch; clearloop.watch.dump('app.dump')")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = Dumped(programs.folder / "app.dump")
    assert (found.dump.loops, found.problems) == ([], [])


def test_recording_that_is_off_says_so(programs):
    ran = programs.python(
        """
        import asyncio, clearloop, clearloop.watch

        async def main():
            asyncio.create_task(asyncio.sleep(60), name="still there")
            clearloop.watch.dump("app.dump")

        clearloop.run(main())
        """,
        env={"CLEARLOOP_RECORD": "0"},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    found = Dumped(programs.folder / "app.dump")
    assert found.records == []
    assert "still there" in found.live
    [problem] = found.problems
    assert "CLEARLOOP_RECORD=0" in problem


def test_a_ring_that_has_gone_round_says_how_much_is_gone(programs):
    ran = programs.python(
        """
        import asyncio, clearloop, clearloop.watch

        async def main():
            for _ in range(3000):
                await asyncio.sleep(0)
            clearloop.watch.dump("app.dump")

        clearloop.run(main())
        """,
        env={"CLEARLOOP_RECORD": "0.03125", "CLEARLOOP_RECORD_ALL": "1"},  # 1024 records
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    found = Dumped(programs.folder / "app.dump")
    [loop] = found.dump.loops
    assert loop.capacity == loop.kept == 1024
    assert loop.overwritten == loop.written - 1024 >= 1976
    times = [record.time for record in found.records if record.kind == records.STEP]
    assert times == sorted(times)


def test_in_a_forked_child(programs):
    ran = programs.python(
        """
        import asyncio, os, clearloop, clearloop.watch

        async def main():
            await asyncio.create_task(asyncio.sleep(0), name="before the fork")
            child = os.fork()
            if not child:
                try:
                    clearloop.watch.dump("child.dump")
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            print(child)

        clearloop.run(main())
        """
    )
    assert ran.returncode == 0, ran.stderr
    found = Dumped(programs.folder / "child.dump")
    assert found.dump.head.pid == int(ran.stdout)
    assert "before the fork" in found.names().values()


# ---- the file --------------------------------------------------------------------------------------------------------


def test_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "a.dump"
    old = os.umask(0)
    try:
        clearloop.watch.dump(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.write_bytes(b"x" * 1_000_000)
        path.chmod(0o644)
        clearloop.watch.dump(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)
    assert read(path).problems == []  # nothing is left of what stood there


def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "a.dump").symlink_to(victim)
    with pytest.raises(OSError, match=r"a link is not followed.*a\.dump"):
        clearloop.watch.dump(tmp_path / "a.dump")
    os.link(victim, tmp_path / "b.dump")
    with pytest.raises(OSError, match=r"another name.*b\.dump"):
        clearloop.watch.dump(tmp_path / "b.dump")
    assert victim.read_text() == "precious"


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        clearloop.watch.dump(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        clearloop.watch.dump("/dev/null")
    with pytest.raises(IsADirectoryError):
        clearloop.watch.dump(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        clearloop.watch.dump(tmp_path / "missing" / "a.dump")
    with pytest.raises(TypeError):
        clearloop.watch.dump(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_elses_file_is_not_used(tmp_path):
    path = tmp_path / "a.dump"
    path.touch()
    os.chown(path, 12345, 12345)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        clearloop.watch.dump(path)
    assert path.stat().st_size == 0


def test_two_dumps_to_one_file_do_not_mix(tmp_path):
    path = tmp_path / "a.dump"
    with open(path, "wb") as other:
        other.write(b"half a dump")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another dump is being written"):
            clearloop.watch.dump(path)
    assert path.read_bytes() == b"half a dump"


def open_below(folder):
    """What the process has open in it; other threads open files of their own."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them is gone
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [path for path in found if path.startswith(f"{folder}/")]


def test_a_full_disk_is_an_error_and_leaves_no_descriptor(monkeypatch, tmp_path):
    def full(number, data):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(dump_file.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        clearloop.watch.dump(tmp_path / "a.dump")
    monkeypatch.undo()
    assert open_below(tmp_path) == []


def test_short_writes_are_continued(monkeypatch, tmp_path):
    write = os.write
    monkeypatch.setattr(dump_file.os, "write", lambda number, data: write(number, bytes(data)[:7]))
    clearloop.watch.dump(tmp_path / "a.dump")
    monkeypatch.undo()
    assert read(tmp_path / "a.dump").problems == []


@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_a_crash_while_it_is_written_leaves_what_was_written(programs, after):
    """The program is killed in the middle of the writing, after so many chunks and half of the next."""
    ran = programs.python(
        f"""
        import asyncio, os, signal, clearloop, clearloop.watch
        from clearloop.watch import dump_file

        def write_all(number, pieces):
            for place, piece in enumerate(pieces):
                if place == {after} + 1:
                    os.write(number, piece[: len(piece) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                os.write(number, piece)

        dump_file.write_all = write_all

        async def main():
            for place in range(40):
                await asyncio.create_task(asyncio.sleep(0), name=f"task {{place}}")
            clearloop.watch.dump("app.dump")

        clearloop.run(main())
        """
    )
    assert ran.returncode == -signal.SIGKILL
    found = Dumped(programs.folder / "app.dump")
    assert any("cut short" in problem for problem in found.problems)
    assert (found.dump.head.pid != 0) == (after > 0)
    assert bool(found.dump.loops) == (after > 1)
    if after == 7:  # half of the records
        assert len(found.records) > 20
        assert "task 5" in found.names().values()


def test_every_cut_can_be_read(tmp_path):
    async def main():
        await asyncio.create_task(asyncio.sleep(0), name="here")
        clearloop.watch.dump(tmp_path / "a.dump")

    clearloop.run(main())
    whole = (tmp_path / "a.dump").read_bytes()
    assert read(whole).problems == []
    for size in range(8, len(whole), max(1, len(whole) // 300)):
        assert read(whole[:size]).problems != []


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_no_value_is_in_it(programs):
    """Whatever stands in arguments, locals, results, errors, context variables, and on the command line."""
    programs.write(
        "vault.py",
        """
        import os
        KEYS = [os.environ["THE_SECRET"] + str(place) for place in range(10)]
        """,
    )
    programs.write(
        "app.py",
        """
        import asyncio, contextvars, functools, time, clearloop, clearloop.watch
        from vault import KEYS
        current = contextvars.ContextVar("current")

        class Locker:
            def __init__(self, content):
                self.content = content
            def __repr__(self):
                return f"Locker({self.content})"
            def open(self, key):
                time.sleep(0.2)
                return self.content

        async def spend(key, *, other):
            local = key + other
            current.set(key)
            await asyncio.sleep(0.001)
            locker = Locker(local)
            await clearloop.run_sync(locker.open, other)
            await asyncio.get_running_loop().run_in_executor(None, functools.partial(locker.open, key=other))
            locker.open(key)
            asyncio.get_running_loop().call_soon(locker.open, key)
            raise ValueError(local)

        async def main():
            asyncio.get_running_loop().slow_callback_duration = 0.05
            tasks = [asyncio.create_task(spend(KEYS[place], other=KEYS[place + 1])) for place in range(3)]
            waits = asyncio.create_task(asyncio.Queue().get())
            await asyncio.wait(tasks)
            for task in tasks:
                try:
                    await task
                except ValueError as error:
                    kept = error
            await asyncio.sleep(0.01)
            from clearloop.watch import reporting
            await asyncio.to_thread(reporting.settle, 60)
            clearloop.watch.dump("app.dump")
            waits.cancel()

        clearloop.run(main())
        """,
    )
    secret = "hunter2correcthorse"
    ran = programs.process("app.py", "--password", secret + "argv", env={"THE_SECRET": secret})
    assert ran.returncode == 0, ran.stderr
    found = Dumped(programs.folder / "app.dump")
    assert found.problems == []
    assert found.dump.stalls
    assert len(found.jobs()) >= 6
    data = (programs.folder / "app.dump").read_bytes()
    for form in (secret, secret.encode("utf-16-le").decode("latin-1"), secret[::-1]):
        assert form.encode("latin-1") not in data
    # the test would see it
    assert b"time.sleep(0.2)" in data


def test_no_code_of_the_program_runs_for_it(tmp_path):
    """Names, representations, loaders and attributes of the program's own may do anything: they are not asked."""
    ran = []

    class Nosy(asyncio.Future):
        def __repr__(self):
            ran.append("repr")
            return "Nosy"

        def __getattr__(self, name):
            ran.append(name)
            raise AttributeError(name)

    class Awaitable:
        def __init__(self, future):
            self.future = future

        def __await__(self):
            return iter(self.future)

        def __getattr__(self, name):
            ran.append(name)
            raise AttributeError(name)

    class Text(str):
        def __str__(self):
            return self

        def encode(self, *args):
            ran.append("encode")
            return b""

    class Loader:
        def get_source(self, name):
            ran.append("get_source")
            return "await here\n" * 50

    text = "async def strange(thing):\n    await thing\n"
    namespace = {"__name__": "strange", "__loader__": Loader()}
    exec(compile(text, str(tmp_path / "nowhere.py"), "exec"), namespace)

    async def main():
        loop = asyncio.get_running_loop()
        future = Nosy(loop=loop)
        tasks = [
            asyncio.create_task(namespace["strange"](future), name=Text("subclass of str")),
            asyncio.create_task(namespace["strange"](Awaitable(loop.create_future()))),
        ]
        await asyncio.sleep(0.001)
        del ran[:]
        clearloop.watch.dump(tmp_path / "a.dump")
        asked = list(ran)
        for task in tasks:
            task.cancel()
        return asked

    assert clearloop.run(main()) == []
    found = Dumped(tmp_path / "a.dump")
    strange = [task for task in found.live.values() if task.coro and found.name(task.coro) == "strange"]
    assert len(strange) == 2
    assert found.dump.lines[strange[0].code, strange[0].lasti] == (2, "")  # the source is not to be had


# ---- by itself, at the first stall ---------------------------------------------------------------------------------


STALLS = """
    import asyncio, time

    async def block(seconds):
        time.sleep(seconds)

    async def main():
        await asyncio.create_task(asyncio.sleep(0.01), name="before")
        for place in range(3):
            await asyncio.create_task(block(0.3), name=f"culprit {place}")
            await asyncio.sleep(0.05)
        print("went on")

    asyncio.run(main())
"""


def test_the_first_stall_leaves_a_dump(programs):
    ran = programs.run("--dump-on-stall", "made/for/it", text=STALLS)
    assert (ran.returncode, ran.stdout) == (0, "went on\n")
    folder = programs.folder / "made" / "for" / "it"
    [path] = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = Dumped(path)
    assert found.problems == []
    assert path.name.startswith(f"stall-{found.dump.head.pid}-")
    assert found.dump.head.reason == "stall"
    assert f"clearloop view made/for/it/{path.name}" in ran.stderr
    names = found.names()
    assert {"before", "culprit 0"} <= set(names.values())
    stalls = [record for record in found.of(records.STALL) if records.VERDICTS[record.how] != "descheduled"]
    assert names[stalls[0].actor] == "culprit 0"  # the stall is inside
    assert [report["task"] for report in found.dump.stalls if report["verdict"] != "descheduled"][:1] == ["culprit 0"]


def test_children_leave_theirs_too(programs):
    programs.write("child.py", STALLS)
    ran = programs.run(
        "--dump-on-stall",
        "dumps",
        text="""
        import subprocess, sys
        print(subprocess.Popen([sys.executable, "-m", "clearloop", "run", "child.py"]).wait())
        """,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, ["went", "on", "0"])
    [path] = (programs.folder / "dumps").iterdir()
    assert f"-{Dumped(path).dump.head.pid}-" in path.name


def test_a_dump_that_fails_is_said_once_and_harms_nothing(programs):
    ran = programs.run(
        "--dump-on-stall",
        "dumps",
        text=f"import os; os.rmdir('dumps'); open('dumps', 'w').close()\n{STALLS.replace(chr(10) + '    ', chr(10))}",
    )
    assert (ran.returncode, ran.stdout) == (0, "went on\n")
    assert ran.stderr.count("the dump of the first stall cannot be written") == 1


@pytest.mark.parametrize(
    "env, why",
    [({"CLEARLOOP_RECORD": "0"}, "recording is switched off"), ({"CLEARLOOP_WATCH": "0"}, "watching is switched off")],
)
def test_what_can_never_be_dumped_is_refused(programs, env, why):
    ran = programs.run("--dump-on-stall", "dumps", text="print('ran')", env=env)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert why in ran.stderr


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(programs):
    programs.write("file", "")
    ran = programs.run("--dump-on-stall", "file/dumps", text="print('ran')")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "can't write dumps to 'file/dumps'" in ran.stderr


def test_the_variables_of_a_context_are_not_walked(tmp_path):
    """Objects in context variables are none of the dump's business, however large."""
    holder = contextvars.ContextVar("holder")

    async def main():
        holder.set("x" * 5_000_000)
        await asyncio.sleep(0)
        clearloop.watch.dump(tmp_path / "a.dump")

    clearloop.run(main())
    assert json.dumps("x" * 100).encode()[1:-1] not in (tmp_path / "a.dump").read_bytes()
