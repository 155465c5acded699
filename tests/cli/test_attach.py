"""`clearloop attach`: a program on asyncio's own loop is watched from outside, undisturbed, and let go again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

RECENT = sys.version_info >= (3, 14)
needs_314 = pytest.mark.skipif(not RECENT, reason="sys.remote_exec came with Python 3.14")

BLOCKS = """
    import asyncio, logging, sys, time
    logging.basicConfig(format="%(message)s")

    async def victim():
        while True:
            await asyncio.sleep(0.01)

    async def bad():
        while True:
            await asyncio.sleep(0.2)
            time.sleep(0.5)  # the line

    async def main():
        names = [asyncio.create_task(victim(), name=f"victim-{n}") for n in range(3)]
        names.append(asyncio.create_task(bad(), name="bad"))
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    asyncio.run(main())
    print("done")
"""

# nothing to do, and no timer: only an event from outside wakes it
IDLE = """
    import asyncio, sys

    async def main():
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        loop.add_reader(0, lambda: came.done() or came.set_result(None))
        print("ready", flush=True)
        await came

    asyncio.run(main())
    print("done")
"""


@contextmanager
def running(programs, text, *flags):
    """A program that says "ready" and then waits for a line; asserts that it ends well."""
    programs.write("target.py", text)
    process = subprocess.Popen(
        [sys.executable, *flags, "target.py"],
        cwd=programs.folder,
        env={**programs.env, "CLEARLOOP_REPORT": str(programs.folder / "report")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=open(programs.folder / "stderr", "w"),
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
        out, _ = process.communicate("\n", timeout=60)
        assert (out, process.returncode) == ("done\n", 0), errors(programs)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def attach(programs, pid, *options):
    found = subprocess.run(
        [sys.executable, "-m", "clearloop", "attach", *options, str(pid)],
        cwd=programs.folder,
        env=programs.env,
        capture_output=True,
        text=True,
        timeout=90,
    )
    if "no right" in found.stderr and found.returncode == 2:
        pytest.skip(found.stderr)
    assert "Traceback" not in found.stderr
    return found


def attached(programs, pid, *options):
    found = attach(programs, pid, "--json", "--wait", "60", *options)
    assert found.returncode == 0, (found.stderr, errors(programs))
    return json.loads(found.stdout)


def errors(programs):
    return (programs.folder / "stderr").read_text()


def stalls(programs):
    """The stalls in the report file, once there is one."""
    path = programs.folder / "report"
    for _ in range(3000):
        lines = path.read_text().splitlines() if path.exists() else []
        found = [data for data in map(json.loads, lines) if data["kind"] == "stall"]
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no stall was reported: {errors(programs)}")


def threads(pid):
    """The names of our own threads in a process."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            found.append(Path(f"/proc/{pid}/task/{task}/comm").read_text().strip())
        except OSError:  # it has just ended
            continue
    return sorted(name for name in found if name.startswith("clearloop"))


# -- what cannot be attached to --


def test_a_process_that_is_not_there(programs):
    found = attach(programs, 2**22 + 1)
    assert (found.returncode, found.stdout) == (2, "")
    assert "there is no process" in found.stderr


def test_a_process_that_is_no_python(programs):
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            found = attach(programs, process.pid)
        finally:
            process.kill()
    assert found.returncode == 2
    assert f"process {process.pid} does not run Python" in found.stderr


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can give rights away")
def test_without_the_right_to_trace(programs):
    poorer = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    with running(programs, IDLE) as process:
        if subprocess.run([*poorer, "readlink", f"/proc/{process.pid}/exe"], capture_output=True).returncode == 0:
            pytest.skip("no right is missed here")
        found = subprocess.run(
            [*poorer, sys.executable, "-m", "clearloop", "attach", str(process.pid)],
            cwd=programs.folder,
            env=programs.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert f"no right to look into process {process.pid}" in found.stderr


def test_what_is_no_number(programs):
    found = attach(programs, "me")
    assert found.returncode == 2 and found.stderr.count("\n") == 1


@pytest.mark.skipif(RECENT, reason="this Python can be attached to")
def test_an_older_python_is_named(programs):
    with running(programs, IDLE) as process:
        found = attach(programs, process.pid)
    version = ".".join(map(str, sys.version_info[:2]))
    assert found.returncode == 2
    assert re.search(rf"runs Python {re.escape(version)}[.\d]*; attaching needs 3\.14", found.stderr)


@needs_314
def test_remote_debugging_disabled(programs):
    with running(programs, IDLE, "-X", "disable-remote-debug") as process:
        found = attach(programs, process.pid)
    assert found.returncode == 2
    assert "does not let itself be reached" in found.stderr


@needs_314
def test_a_program_without_asyncio(programs):
    text = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\nprint('done')"
    with running(programs, text) as process:
        # it waits in read(), which nobody interrupts: only when it goes on can it answer
        found = attach(programs, process.pid, "--wait", "0.5")
        assert found.returncode == 1 and "has not answered" in found.stderr
    assert "clearloop" not in errors(programs)


@needs_314
def test_of_requests_that_nobody_waits_for_the_newest_is_kept(programs):
    text = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\nprint('done')"

    def left(process):
        return [name for name in os.listdir(folder) if name.startswith(f"clearloop-attach-{process.pid}-")]

    with running(programs, text) as process:
        root = f"/proc/{process.pid}/root"
        folder = root + "/tmp" if os.path.isdir(root + "/tmp") else "/tmp"
        for _ in range(3):
            assert attach(programs, process.pid, "--wait", "0").returncode == 1
        assert len(left(process)) == 1


@needs_314
def test_a_program_on_clearloop_is_watched_already(programs):
    text = IDLE.replace("asyncio.run(main())", "import clearloop; clearloop.run(main())")
    with running(programs, text) as process:
        assert attached(programs, process.pid)["native"] is True


# -- what can --


@needs_314
def test_the_blocking_line_is_named_while_the_program_runs(programs):
    with running(programs, BLOCKS) as process:
        answer = attached(programs, process.pid)
        assert answer["already"] is False
        assert [loop["steps_seen"] for loop in answer["loops"]] == [True]
        stall = stalls(programs)[0]
    text = (programs.folder / "target.py").read_text().splitlines()
    line = next(number for number, one in enumerate(text, 1) if "# the line" in one)
    assert (stall["line"], stall["function"], stall["task"]) == (line, "bad", "bad")
    assert (stall["code"], stall["call"]) == ("time.sleep(0.5)", "time.sleep")
    assert stall["verdict"] in ("blocking", "descheduled")
    assert stall["seconds"] > 0.3
    assert {one["task"] for one in stall["delayed"]} >= {"victim-0", "victim-1", "victim-2"}
    assert f"target.py:{line} in bad: time.sleep(0.5)" in errors(programs)


@needs_314
def test_the_live_view_answers_for_it(programs):
    text = BLOCKS.replace("await asyncio.sleep(0.2)", "await asyncio.wait_for(asyncio.sleep(0.2), 60)")
    text = text.replace(
        'print("ready"',
        """lock = asyncio.Lock()

        async def keeps():
            async with lock:
                await asyncio.Event().wait()

        names.append(asyncio.create_task(keeps(), name="keeps"))
        await asyncio.sleep(0)
        names.append(asyncio.create_task(keeps(), name="queues"))

        async def elsewhere():  # no executor's job, though asyncio makes the same kind of future for it
            import threading
            other = asyncio.new_event_loop()
            threading.Thread(target=other.run_forever, daemon=True).start()
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(1000), other))
        names.append(asyncio.create_task(elsewhere(), name="elsewhere"))
        await asyncio.sleep(0)
        print('ready'""",
    )
    with running(programs, text) as process:
        loops = {loop["number"] for loop in attached(programs, process.pid)["loops"]}
        stalls(programs)
        found = subprocess.run(
            [sys.executable, "-m", "clearloop", "top", "--json", "--interval", "3", str(process.pid)],
            cwd=programs.folder,
            env=programs.env,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert found.returncode == 0, found.stderr
        data = json.loads(found.stdout)
    assert loops <= {one["number"] for one in data["loops"]}
    shown = max(data["loops"], key=lambda one: one["tasks"])
    assert shown["utilisation"] > 0 and shown["stalls"]
    tasks = {task["name"]: task for task in data["tasks"]}
    assert {"victim-0", "victim-1", "victim-2", "bad", "keeps", "queues"} <= set(tasks)
    assert tasks["queues"]["waits"]["kind"] == "lock"
    assert tasks["queues"]["waits"]["holder"]["name"] == "keeps"
    assert tasks["keeps"]["waits"]["kind"] == "event"
    job = tasks["Task-1"]["waits"]
    assert (job["kind"], job["stage"], job["function"]) == ("job", "running", None)
    assert tasks["elsewhere"]["waits"]["kind"] == "future"
    assert tasks["bad"]["busy_seconds"] > 0
    assert tasks["victim-0"]["held_seconds"] > 0
    assert data["stalls"][0]["code"] == "time.sleep(0.5)"


@needs_314
def test_attaching_twice_and_detaching_leave_nothing_behind(programs):
    with running(programs, BLOCKS) as process:
        assert attached(programs, process.pid)["already"] is False
        more = threads(process.pid)
        assert "clearloop-watch" in more
        assert attached(programs, process.pid)["already"] is True
        assert threads(process.pid) == more
        assert attached(programs, process.pid, "--detach") == {"pid": process.pid, "detached": True}
        for _ in range(500):  # the kernel takes a moment to forget a thread
            if not threads(process.pid):
                break
            time.sleep(0.01)
        assert threads(process.pid) == []
        assert attached(programs, process.pid, "--detach")["detached"] is False
        assert attached(programs, process.pid)["already"] is False


@needs_314
def test_an_idle_loop_is_woken_for_it(programs):
    with running(programs, IDLE) as process:
        assert len(attached(programs, process.pid)["loops"]) == 1


@needs_314
def test_a_thread_that_blocks_is_attached_to_when_it_comes_back(programs):
    text = """
        import asyncio, os, sys

        async def main():
            print("ready", flush=True)
            os.read(0, 1)  # blocks until there is something
            while getattr(sys.modules.get("clearloop.watch.foreign"), "_watch", None) is None:
                await asyncio.sleep(0.01)

        asyncio.run(main())
        print("done")
    """
    with running(programs, text) as process:
        found = attach(programs, process.pid, "--wait", "0.3")
        assert found.returncode == 1
        assert "in the system call read" in found.stderr and "as soon as" in found.stderr


@needs_314
def test_a_loop_in_another_thread(programs):
    text = BLOCKS.replace(
        "asyncio.run(main())",
        "import threading; t = threading.Thread(target=asyncio.run, args=(main(),), name='second'); t.start()\n"
        "    while t.is_alive(): t.join(0.05)",
    )
    with running(programs, text) as process:
        answer = attached(programs, process.pid)
        assert [loop["thread"] for loop in answer["loops"]] == ["second"]
        assert stalls(programs)[0]["function"] == "bad"


@needs_314
def test_another_loop_shows_its_tasks_only(programs):
    pytest.importorskip("uvloop")
    # libuv does not come back to Python when its wait is interrupted, so this program has something to do
    text = BLOCKS.replace("asyncio.run(main())", "import uvloop; uvloop.run(main())")
    with running(programs, text) as process:
        found = attach(programs, process.pid, "--wait", "60")
    assert found.returncode == 0, found.stderr
    assert "uvloop.Loop" in found.stdout and "what blocks it cannot" in found.stdout


@needs_314
def test_a_program_that_forks_is_none_the_worse(programs):
    text = """
        import asyncio, os, signal, sys, warnings
        warnings.simplefilter("error")

        async def main():
            loop = asyncio.get_running_loop()
            answered = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, answered.set)
            print("ready", flush=True)
            await answered.wait()  # a fork waits for a thread that is just answering, but not long
            assert sys.modules["clearloop.watch.foreign"]._watch is not None
            for _ in range(3):
                child = os.fork()
                if not child:
                    os._exit(len(os.listdir("/proc/self/task")))
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
            while len(os.listdir("/proc/self/task")) < 2:
                await asyncio.sleep(0.01)

        asyncio.run(main())
        print("done")
    """
    with running(programs, text) as process:
        attached(programs, process.pid)
        os.kill(process.pid, signal.SIGUSR1)
    assert "Warning" not in errors(programs)
