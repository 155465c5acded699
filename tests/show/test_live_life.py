"""The live view's socket and thread: when they are there, who may come in, and that nobody is disturbed by them."""

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest
from watched import Watched, wait_for

from clearloop.show.process import Process, Unreachable, processes
from clearloop.watch import folders, live

TICKS = """
    import asyncio, clearloop, sys
    async def main():
        print("ready", flush=True)
        while True:
            await asyncio.sleep(0.001)
    clearloop.run(main())
"""

WAITS = """
    import asyncio, clearloop, sys
    async def main():
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.readline)
    clearloop.run(main())
"""


@pytest.fixture
def watched(monkeypatch):
    watched = Watched()
    monkeypatch.setenv("XDG_RUNTIME_DIR", watched.runtime)
    yield watched
    watched.close()


def connect(watched, program):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(60)

    def connected():
        try:
            sock.connect(watched.socket(program.pid))
        except BlockingIOError:  # so many stand at the door
            return False
        return True

    wait_for(connected, "the connection")
    return sock


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def steps(program):
    with Process(program.pid) as process:
        return process.ask("hello")["loops"][0]["steps"]


# ---- life ------------------------------------------------------------------------------------------------------------


def test_only_its_user_can_come_near(watched):
    program = watched.start(WAITS)
    assert mode(watched.folder) == 0o700
    assert mode(watched.socket(program.pid)) == 0o600


def test_the_socket_goes_with_the_program(watched):
    program = watched.start(WAITS)
    program.communicate("\n", timeout=60)
    assert program.returncode == 0
    assert os.listdir(watched.folder) == []


def test_what_kill_leaves_ps_removes(watched):
    program = watched.start(WAITS)
    program.kill()
    program.wait()
    assert os.path.exists(watched.socket(program.pid))
    listed = watched.command("ps", "--json")
    assert listed.returncode == 0, listed.stderr
    assert program.pid not in [found["pid"] for found in json.loads(listed.stdout)["processes"]]
    assert os.listdir(watched.folder) == []


def test_a_number_that_is_used_again(watched):
    """The socket of a process that was killed is in the way of a later one of the same number."""
    os.makedirs(watched.folder, 0o700)
    text = f"""
        import os, socket
        stale = socket.socket(socket.AF_UNIX)
        stale.bind({watched.folder!r} + f"/{{os.getpid()}}.sock")
        stale.close()
    """
    program = watched.start(text.replace("\n        ", "\n    ") + WAITS)
    wait_for(lambda: program.pid in processes(), "the process")
    assert steps(program) > 0


@pytest.mark.parametrize("setting", [{"CLEARLOOP_LIVE": "0"}, {"CLEARLOOP_WATCH": "0"}])
def test_switched_off(watched, setting):
    program = watched.start(WAITS, answers=False, **setting)
    program.communicate("\n", timeout=60)
    assert not os.path.exists(watched.folder)


def test_a_short_program_has_none(watched):
    ran = watched.run(
        """
        import asyncio, clearloop, sys
        for _ in range(3):
            clearloop.run(asyncio.sleep(0))
        assert "clearloop.watch.live" not in sys.modules
        """,
        CLEARLOOP_LIVE="",
    )
    assert ran.returncode == 0, ran.stderr
    assert not os.path.exists(watched.folder)


def test_by_itself_after_a_while(watched):
    program = watched.start(WAITS, CLEARLOOP_LIVE="")
    assert steps(program) > 0


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")
def test_nobody_wakes_up_while_nobody_asks(watched):
    program = watched.start(WAITS)
    steps(program)  # it has been asked once
    folder = f"/proc/{program.pid}/task"

    def switches():
        found = {}
        for task in os.listdir(folder):
            with open(f"{folder}/{task}/comm") as name, open(f"{folder}/{task}/status") as status:
                if name.read().startswith("clearloop-"):
                    found[task] = [line for line in status if "_ctxt_switches" in line]
        return found

    # the watchdog parks after a tick, the visitor's place is given up at once: then the same numbers, again and again
    assert len(switches()) == 2
    pause = threading.Event()
    before = switches()
    for _ in range(40):
        pause.wait(0.5)
        after = switches()
        if after == before:
            return
        before = after
    pytest.fail(f"they wake up all the time: {after}")


# ---- fork, and children ----------------------------------------------------------------------------------------------


def test_fork(watched):
    """The child has nothing of it until a loop of its own runs; the parent answers as before; no warning."""
    program = watched.start(
        """
        import asyncio, clearloop, os, sys, time
        from clearloop.watch import live
        def threads(): return sorted(open(f"/proc/self/task/{n}/comm").read() for n in os.listdir("/proc/self/task"))
        async def wait():
            while live.path() is None:
                await asyncio.sleep(0.01)
        clearloop.run(wait())
        path = live.path()
        child = os.fork()
        if child == 0:
            assert live.path() is None and len(threads()) == 1, threads()
            assert os.path.exists(path)
            clearloop.run(wait())
            assert live.path() != path and os.path.exists(live.path())
            sys.exit(7)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        assert os.path.exists(path)
        print("ready", flush=True)
        clearloop.run(asyncio.sleep(1000))
        """,
        "-Werror::DeprecationWarning",
    )
    assert steps(program) > 0
    assert os.listdir(watched.folder) == [f"{program.pid}.sock"]


def test_fork_while_the_loop_runs(watched):
    program = watched.start(
        """
        import asyncio, clearloop, os
        async def main():
            from clearloop.watch import live
            while live.path() is None:
                await asyncio.sleep(0.01)
            for n in range(20):
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)
                await asyncio.sleep(0.002)
            print("ready", flush=True)
            await asyncio.sleep(1000)
        clearloop.run(main())
        """,
        "-Werror::DeprecationWarning",
    )
    assert steps(program) > 0


def test_children_inherit_nothing(watched):
    ran = watched.run(
        """
        import asyncio, clearloop, subprocess, sys
        from clearloop.watch import live
        async def main():
            while live.path() is None:
                await asyncio.sleep(0.01)
            code = "import os; print([n for n in range(3, 200) if os.path.exists(f'/dev/fd/{n}')])"
            print(subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, text=True).stdout)
        clearloop.run(main())
        """
    )
    assert ran.stdout.strip() == "[]", (ran.stdout, ran.stderr)


def test_signals_go_to_the_main_thread(watched):
    program = watched.start(
        """
        import asyncio, clearloop, signal
        async def main():
            from clearloop.watch import live
            while live.path() is None:
                await asyncio.sleep(0.01)
            print("ready", flush=True)
            signal.signal(signal.SIGUSR1, lambda *_: print("signal", flush=True))
            await asyncio.sleep(1000)
        clearloop.run(main())
        """
    )
    blocked = {}
    for task in os.listdir(f"/proc/{program.pid}/task"):
        with open(f"/proc/{program.pid}/task/{task}/status") as file:
            status = dict(line.split(":", 1) for line in file)
            blocked[status["Name"].strip()] = int(status["SigBlk"], 16)
    assert blocked["clearloop-live"] >> (signal.SIGUSR1 - 1) & 1
    assert blocked["clearloop-live"] >> (signal.SIGINT - 1) & 1


# ---- folders and users -----------------------------------------------------------------------------------------------


def make_link(path):
    os.mkdir(path + "-real", 0o700)
    os.symlink(path + "-real", path)


def make_open(path):
    os.mkdir(path)
    os.chmod(path, 0o755)


def make_file(path):
    with open(path, "w"):
        pass


def make_anothers(path):
    os.mkdir(path, 0o700)
    os.chown(path, 65534, 65534)


UNSAFE = [make_link, make_open, make_file]
if os.geteuid() == 0:
    UNSAFE.append(make_anothers)


@pytest.mark.parametrize("make", UNSAFE)
def test_an_unsafe_folder_is_not_used(watched, make):
    make(watched.folder)
    with pytest.raises(OSError):
        folders.check(watched.folder, os.geteuid())
    ran = watched.run(
        """
        import asyncio, clearloop, logging, sys
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        async def main():
            while "clearloop.watch.live" not in sys.modules:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            from clearloop.watch import live
            assert live.path() is None
        clearloop.run(main())
        clearloop.run(asyncio.sleep(0.1))
        print("ended")
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("ended\n")
    assert ran.stdout.count("the live view does not work") == 1
    assert ran.stderr == ""
    if os.path.isdir(watched.folder):
        assert os.listdir(watched.folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_not_answered(watched):
    program = watched.start(TICKS)
    code = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    s.connect(sys.argv[1]); s.settimeout(60)\n"
        "    s.sendall(b'{\"ask\": \"hello\"}\\n')\n"
        "    print(s.recv(100))\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    words = [sys.executable, "-c", code, watched.socket(program.pid)]
    outside = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert outside.stdout.strip() == "PermissionError", outside.stderr
    # even if somebody opens all doors
    os.chmod(watched.runtime, 0o755)
    os.chmod(watched.folder, 0o755)
    os.chmod(watched.socket(program.pid), 0o666)
    inside = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert inside.stdout.strip() in ("b''", "BrokenPipeError", "ConnectionResetError"), inside.stderr
    os.chmod(watched.folder, 0o700)
    assert steps(program) > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_asks_for_a_process_of_another_user_is_told(watched):
    program = watched.start(TICKS)
    os.chmod(watched.runtime, 0o755)
    # everything is imported first: another user may not be able to read it
    code = (
        "import os, sys\n"
        "from clearloop.show.process import Process, Unreachable\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: Process(int(sys.argv[1])).ask('hello')\n"
        "except Unreachable as error: print(error)\n"
    )
    words = [sys.executable, "-c", code, str(program.pid)]
    ran = subprocess.run(words, env=watched.env, capture_output=True, text=True, timeout=60)
    assert "belongs to the user root: only that user and root may ask it" in ran.stdout, ran.stderr


# ---- hostile visitors ------------------------------------------------------------------------------------------------

GARBAGE = {
    "bytes": b"\xff\xfe\x00" * 100 + b"\n",
    "no JSON": b"hello\n",
    "no object": b"[1, 2]\n",
    "nothing asked": b'{"what": 1}\n',
    "deep": b'{"ask": ' + b"[" * 4000 + b"\n",
    "too long": b'{"ask": "' + b"x" * 5000,
    "two at once": b'{"ask": "hello"}\n{"ask": "hello"}\n',
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_ends_the_connection(watched, what):
    program = watched.start(TICKS)
    with connect(watched, program) as sock:
        try:
            sock.sendall(GARBAGE[what])
            assert sock.recv(100) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert steps(program) > 0


BAD_REQUESTS = [
    {"ask": "nothing known"},
    {"ask": "stack"},
    {"ask": "stack", "task": "1"},
    {"ask": "stack", "task": 10**30},
    {"ask": "cancel", "task": -1},
    {"ask": "cancel", "task": None},
    {"ask": "tasks", "most": "all"},
    {"ask": "tasks", "most": [1]},
]


def test_bad_requests_are_told_so(watched):
    program = watched.start(TICKS)
    with connect(watched, program) as sock, sock.makefile("r") as answers:
        for request in BAD_REQUESTS:
            sock.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(answers.readline())
            assert answer["ok"] is False and "failed" not in answer["error"], answer
        sock.sendall(b'{"ask": "hello"}\n')
        assert json.loads(answers.readline())["ok"] is True


def test_half_a_line_is_waited_for_only_a_while(watched):
    program = watched.start(TICKS)
    with connect(watched, program) as sock:
        sock.sendall(b'{"ask": "he')
        assert steps(program) > 0
        assert sock.recv(100) == b""
    assert steps(program) > 0


def test_a_line_in_pieces(watched):
    program = watched.start(TICKS)
    with connect(watched, program) as sock, sock.makefile("r") as answers:
        for byte in b'{"ask": "hello"}\n':
            sock.sendall(bytes([byte]))
        assert json.loads(answers.readline())["pid"] == program.pid


def test_a_hundred_that_say_nothing(watched):
    program = watched.start(TICKS)
    before = steps(program)
    crowd = [connect(watched, program) for _ in range(100)]
    try:
        for _ in range(20):
            assert steps(program) >= before
        folder = f"/proc/{program.pid}/fd"
        if os.path.isdir(folder):
            assert len(os.listdir(folder)) < 40
    finally:
        for sock in crowd:
            sock.close()
    wait_for(lambda: steps(program) > before, "the next step")


def test_who_never_reads(watched):
    many = "held = [asyncio.create_task(asyncio.sleep(999)) for _ in range(5000)]"
    text = TICKS.replace("async def main():", f"async def main():\n        {many}")
    program = watched.start(text)
    crowd = [connect(watched, program) for _ in range(8)]
    try:
        for sock in crowd:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b'{"ask": "tasks"}\n')
        before = steps(program)
        wait_for(lambda: steps(program) > before, "the next step")
        # each of them is dismissed in the end
        for sock in crowd:
            ended = select.poll()
            ended.register(sock, 0)  # the other end's closing is always told
            wait_for(lambda ended=ended: ended.poll(0), "the end of the connection")
    finally:
        for sock in crowd:
            sock.close()


def test_who_goes_in_the_middle(watched):
    program = watched.start(TICKS)
    for _ in range(50):
        with connect(watched, program) as sock:
            sock.sendall(b'{"ask": "tasks"}\n')
    assert steps(program) > 0


def test_a_dump_comes_in_blocks(watched):
    program = watched.start(
        """
        import sys, types
        dumping = types.ModuleType("clearloop.watch.dumping")
        dumping.collect = lambda **options: iter([b"a" * 3_000_000, b"", b"b"])
        import clearloop.watch
        sys.modules["clearloop.watch.dumping"] = clearloop.watch.dumping = dumping
        """.replace("\n        ", "\n    ")
        + TICKS
    )
    ran = watched.command("dump", str(program.pid), "out.bin")
    assert ran.returncode == 0, ran.stderr
    path = os.path.join(watched.runtime, "out.bin")
    with open(path, "rb") as file:
        assert file.read() == b"a" * 3_000_000 + b"b"
    assert mode(path) == 0o600
    assert steps(program) > 0


# ---- descriptors -----------------------------------------------------------------------------------------------------


def test_what_the_program_has_closed_is_not_touched(tmp_path):
    """A daemon closes every descriptor, and opens others that get the same numbers."""
    reading, writing = os.pipe()
    held = live.Held(reading)
    assert held.still_there()
    other = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.dup2(other, reading)  # what a program's open() may get after its close()
    assert not held.still_there()
    held.close()
    os.fstat(reading)  # still open: it is the program's
    for fd in (reading, writing, other):
        os.close(fd)


def test_a_program_that_closes_everything(watched):
    ran = watched.run(
        """
        import asyncio, clearloop, os, socket
        from clearloop.watch import live
        async def wait():
            while live.path() is None:
                await asyncio.sleep(0.01)
        clearloop.run(wait())
        os.closerange(3, 200)
        servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
        async def main():
            loop = asyncio.get_running_loop()
            for server in servers:
                server.setblocking(False)
                client = socket.create_connection(server.getsockname())
                connection, _ = await asyncio.wait_for(loop.sock_accept(server), 30)
                connection.close()
                client.close()
        clearloop.run(main())
        print("all accepted")
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "all accepted\n"


# ---- reasons ---------------------------------------------------------------------------------------------------------


def refusal(pid):
    with pytest.raises(Unreachable) as raised:
        Process(pid).ask("hello")
    return str(raised.value)


def test_why_a_process_cannot_be_asked(watched):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    assert refusal(int(ended.stdout)) == f"there is no process {int(ended.stdout)}"
    other = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1, text=True)
    with other:
        other.stdout.readline()
        assert "does not run on clearloop" in refusal(other.pid)
        other.communicate("\n")
    program = watched.start(TICKS, answers=False, CLEARLOOP_LIVE="0")
    assert "CLEARLOOP_LIVE=0" in refusal(program.pid)


def test_a_stopped_process_is_called_that(watched):
    program = watched.start(TICKS)
    program.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: open(f"/proc/{program.pid}/stat").read().rpartition(")")[2].split()[0] == "T", "the stop")
        with pytest.raises(Unreachable, match="it is stopped"):
            Process(program.pid, seconds=0.5).ask("hello")
    finally:
        program.send_signal(signal.SIGCONT)
    assert steps(program) > 0
