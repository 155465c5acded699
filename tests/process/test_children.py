"""subprocess_exec, subprocess_shell and the streams over them: what comes through, what is left behind (nothing)."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import weakref

import pytest
from process_tools import Recorder, children, nothing_left, output, python, reports, run, until

import clearloop
from clearloop.process.launch import CAN_SPAWN

CAT = ("cat",)
WAYS = [clearloop, asyncio]
both = pytest.mark.parametrize("api", WAYS, ids=["clearloop", "asyncio"])


# ---- exit codes and streams ------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_codes(api, code, ends):
    async def main():
        process = await api.create_subprocess_shell(f"exit {code}")
        assert await process.wait() == code
        assert process.returncode == code
        assert await process.wait() == code

    with nothing_left():
        run(main())


@both
def test_death_by_signal(api, ends):
    async def main():
        process = await api.create_subprocess_exec("sleep", "1000")
        assert process.returncode is None
        process.terminate()
        assert await process.wait() == -signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # too late

    with nothing_left():
        run(main())


@both
def test_communicate_both_ways_and_stderr(api):
    async def main():
        data = os.urandom(3 << 20)
        process = await api.create_subprocess_exec(
            *python("import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d); sys.stderr.buffer.write(d)"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert await process.communicate(data) == (data, data)
        assert process.returncode == 0

    with nothing_left():
        run(main())


@both
def test_streams_line_by_line(api):
    async def main():
        process = await api.create_subprocess_exec(*CAT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(50):
            process.stdin.write(b"line %d\n" % number)
            await process.stdin.drain()
            assert await process.stdout.readline() == b"line %d\n" % number
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    with nothing_left():
        run(main())


def test_communicate_takes_what_was_read_before_into_account():
    async def main():
        process = await clearloop.create_subprocess_exec(*CAT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(b"first line\nsecond")
        assert await process.stdout.readline() == b"first line\n"
        await until(lambda: process.stdout._buffer == b"second")
        assert await process.communicate(b" and third") == (b"second and third", None)

    with nothing_left():
        run(main())


def test_communicate_cancelled_leaves_what_came_to_the_stream():
    async def main():
        process = await clearloop.create_subprocess_exec(
            *python("import sys; sys.stdout.write('x' * 300000); sys.stdout.flush(); sys.stdin.read()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=1 << 20,
        )
        pipe = process._transport.get_pipe_transport(1)
        output = clearloop.subprocess._Output.over(pipe, process.stdout)
        output.give_back()
        task = asyncio.create_task(process.stdout.readexactly(10))
        assert await task == b"x" * 10
        task = asyncio.create_task(process.communicate())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        rest = await process.stdout.read()
        assert rest == b"x" * 299990
        assert await process.wait() == 0

    with nothing_left():
        run(main())


def test_two_hundred_megabytes_both_ways_without_a_second_copy():
    size = 200 << 20

    async def main():
        data = bytes(size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        process = await clearloop.create_subprocess_exec(*CAT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = await process.communicate(data)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        assert len(out) == size and out == data
        assert grown < size * 1.3

    with nothing_left():
        run(main())


@both
def test_a_child_that_reads_nothing(api):
    async def main():
        process = await api.create_subprocess_exec("true", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert await process.communicate(bytes(1 << 20)) == (b"", None)

    with nothing_left():
        run(main())


@both
def test_a_child_that_closes_its_stdout_early(api):
    async def main():
        process = await api.create_subprocess_exec(
            *python("import os, sys; os.write(1, b'said'); os.close(1); os.close(2); sys.stdin.read(); os._exit(3)"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert await process.stdout.read() == b"said"
        assert process.returncode is None
        process.stdin.close()
        assert await process.wait() == 3

    with nothing_left():
        run(main())


def test_wait_does_not_wait_for_pipes():
    async def main():
        reading, writing = os.pipe()
        process = await clearloop.create_subprocess_exec(
            "sh", "-c", "exec 3<&0; cat <&3 & exit 5", stdin=reading, stdout=subprocess.PIPE
        )
        os.close(reading)
        assert await process.wait() == 5
        os.write(writing, b"from the grandchild")
        os.close(writing)
        assert await process.stdout.read() == b"from the grandchild"

    with nothing_left():
        run(main())


# ---- the protocol ----------------------------------------------------------------------------------------------------


def test_the_order_of_calls(ends):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_shell(Recorder, "echo out; echo err >&2; exit 4")
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert await protocol.lost is None
        assert protocol.calls[0] == "made" and protocol.calls[-1] == "lost"
        assert protocol.calls.count("exited") == 1
        assert {("closed", 0), ("closed", 1), ("closed", 2)} < set(protocol.calls)
        for fd in (1, 2):
            assert protocol.calls.index(("data", fd)) < protocol.calls.index(("closed", fd))
        assert protocol.data == {1: b"out\n", 2: b"err\n"}
        assert transport.get_returncode() == 4
        with pytest.raises(ProcessLookupError):
            transport.kill()
        transport.close()

    with nothing_left():
        run(main())


@pytest.mark.parametrize(
    "method", ["connection_made", "pipe_data_received", "pipe_connection_lost", "process_exited", "connection_lost"]
)
def test_what_a_callback_raises_is_reported_and_holds_nothing_up(method):
    async def main():
        class Broken(Recorder):
            pass

        def broken(self, *arguments):
            getattr(Recorder, method)(self, *arguments)
            raise ValueError(method)

        setattr(Broken, method, broken)
        with reports() as found:
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.subprocess_shell(Broken, "echo out", stdin=None, stderr=None)
            await protocol.lost
            await asyncio.sleep(0)
        assert {str(context["exception"]) for context in found} == {method}
        transport.close()

    with nothing_left():
        run(main())


def test_extra_info_is_a_popen():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Recorder, "sleep", "1000", stdout=None, stderr=None)
        popen = transport.get_extra_info("subprocess")
        assert isinstance(popen, subprocess.Popen)
        assert popen.pid == transport.get_pid() and popen.poll() is None
        assert popen.stdin is transport.get_pipe_transport(0).get_extra_info("pipe")
        popen.kill()
        popen.wait()  # takes the exit code away from the loop, which asks the Popen for it
        await protocol.lost
        assert transport.get_returncode() == popen.returncode == -signal.SIGKILL
        transport.close()

    with nothing_left():
        run(main())


def test_a_child_reaped_by_somebody_else_is_255(caplog):
    async def main():
        process = await clearloop.create_subprocess_exec("sleep", "1000")
        os.kill(process.pid, signal.SIGTERM)
        os.waitpid(process.pid, 0)
        assert await process.wait() == 255

    with nothing_left():
        run(main())
    assert "exit status already read" in caplog.text


def test_closing_kills():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Recorder, "cat")
        transport.close()
        assert await transport._wait() == -signal.SIGKILL
        await protocol.lost

    with nothing_left():
        run(main())


def test_waits_that_are_given_up_leave_nothing_behind():
    """Those of a program that asks by and by whether a child has ended, each time with a timeout."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(Recorder, "cat")
        waits = []
        for _ in range(500):
            wait = transport._wait()
            waits.append(weakref.ref(wait))
            wait.cancel()
            del wait
        assert sum(wait() is not None for wait in waits) < 50
        ended = transport._wait()
        transport.close()
        assert (await ended, await transport._wait()) == (-signal.SIGKILL, -signal.SIGKILL)

    with nothing_left():
        run(main())


def test_the_transport_is_an_object_as_any_other():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Recorder, "cat", stdout=None, stderr=None)
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert weakref.ref(transport)() is transport
        close, transport.close = transport.close, lambda: None  # as mocks do it
        transport.close()
        assert not transport.is_closing()
        close()
        await protocol.lost

    with nothing_left():
        run(main())


# ---- parameters ------------------------------------------------------------------------------------------------------


def test_parameters(tmp_path):
    async def main():
        assert (await output("pwd", cwd=tmp_path))[1] == os.fsencode(tmp_path) + b"\n"
        assert (await output("env", env={"A": "1", "PATH": os.environ["PATH"]}))[1].count(b"A=1\n") == 1
        assert (await output("/usr/bin/env", env={}))[1] == b""
        assert (await output("sh", "-c", "umask", umask=0o027))[1] == b"0027\n"
        show = "import os; print(os.getpid() == os.getsid(0), os.getpid() == os.getpgrp())"
        assert (await output(*python(show), start_new_session=True))[1] == b"True True\n"
        assert (await output(*python(show), process_group=0))[1] == b"False True\n"
        assert (await output("name", "-c", "echo $0", executable="/bin/sh"))[1] == b"name\n"
        assert (await output(b"echo", b"bytes", tmp_path))[1] == b"bytes " + os.fsencode(tmp_path) + b"\n"

    with nothing_left():
        run(main())


def test_descriptors_are_closed_except_those_passed():
    async def main():
        reading, writing = os.pipe()
        for fd in (reading, writing):
            os.set_inheritable(fd, True)
        show = "import os; print(*sorted(map(int, os.listdir('/proc/self/fd'))))"
        shown = (await output(*python(show)))[1].split()
        assert set(map(int, shown)) <= {0, 1, 2, 3}
        shown = (await output(*python(show), pass_fds=(writing,)))[1].split()
        assert str(writing).encode() in shown and (reading == 3 or str(reading).encode() not in shown)
        shown = (await output(*python(show), close_fds=False))[1].split()
        assert {str(writing).encode(), str(reading).encode()} <= set(shown)
        os.close(reading)
        os.close(writing)

    with nothing_left():
        run(main())


def test_where_the_streams_lead(tmp_path):
    async def main():
        with open(tmp_path / "file", "w+b") as file:
            process = await clearloop.create_subprocess_exec("echo", "to a file", stdout=file)
            await process.wait()
            process = await clearloop.create_subprocess_exec("echo", "by number", stdout=file.fileno())
            await process.wait()
            file.seek(0)
            assert file.read() == b"to a file\nby number\n"
        process = await clearloop.create_subprocess_shell(
            "echo one; echo two >&2", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert (await process.communicate())[0] == b"one\ntwo\n"
        process = await clearloop.create_subprocess_exec("cat", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert (await process.communicate())[0] == b""
        with pytest.raises(ValueError, match="STDOUT can only be used for stderr"):
            await clearloop.create_subprocess_exec("true", stdout=subprocess.STDOUT)

    with nothing_left():
        run(main())


def test_our_own_low_descriptors_can_change_places():
    """stdout of the child is our stderr and the other way round: neither overwrites the other."""
    code = (
        "import asyncio, clearloop\n"
        "async def main():\n"
        "    process = await clearloop.create_subprocess_shell('echo out; echo err >&2', stdout=2, stderr=1)\n"
        "    await process.wait()\n"
        "clearloop.run(main())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (ran.stdout, ran.stderr) == (b"err\n", b"out\n")


def test_signals_are_as_popen_leaves_them():
    async def main():
        show = (
            "import signal; print(signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL); "
            "print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
        )
        before = signal.signal(signal.SIGUSR1, lambda *args: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        try:
            ours = (await output(*python(show)))[1]
            assert ours == subprocess.run(python(show), capture_output=True, check=True).stdout
            assert b"True" in ours and b"SIGUSR2" in ours
            sh = "grep SigIgn /proc/self/status"
            for restore in (True, False):
                ours = (await output("sh", "-c", sh, restore_signals=restore))[1]
                theirs = subprocess.run(["sh", "-c", sh], capture_output=True, restore_signals=restore).stdout
                assert ours == theirs
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
            signal.signal(signal.SIGUSR1, before)

    run(main())


@pytest.mark.skipif(not CAN_SPAWN, reason="children are started by Popen here")
def test_what_is_not_wanted_needs_no_popen(monkeypatch):
    """Libraries hand on every parameter that they have, at its default."""

    def refuse(*arguments):
        raise AssertionError("forked by Popen")

    monkeypatch.setattr(subprocess, "_fork_exec", refuse)

    async def main():
        nothing = dict.fromkeys(("preexec_fn", "startupinfo", "user", "group", "extra_groups", "cwd", "env"))
        child = await asyncio.create_subprocess_exec(
            "true", **nothing, creationflags=0, start_new_session=False, pass_fds=(), umask=-1
        )
        assert await child.wait() == 0
        with pytest.raises(AssertionError, match="forked by Popen"):
            await asyncio.create_subprocess_exec("true", user=os.getuid())

    with nothing_left():
        run(main())


def test_what_runs_python_in_the_child_goes_to_popen():
    async def main():
        assert (await output("env", preexec_fn=lambda: os.putenv("FROM_PREEXEC", "yes")))[1].count(b"FROM_PREEXEC") == 1

        def broken():
            raise ValueError("in the child")

        with pytest.raises(subprocess.SubprocessError):
            await clearloop.create_subprocess_exec("true", preexec_fn=broken, stdout=subprocess.PIPE)
        process = await clearloop.create_subprocess_exec(
            *CAT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda: None
        )
        assert await process.communicate(b"x" * 200_000) == (b"x" * 200_000, None)

    with nothing_left():
        run(main())


@pytest.mark.parametrize("api", [asyncio, clearloop], ids=["asyncio's", "ours"])
def test_what_a_child_has_written_before_its_pipes_are_connected_is_not_lost(api):
    """Nor is it that it has closed them: whoever replaces how pipes are connected may take many turns for it."""

    async def main():
        loop = asyncio.get_running_loop()
        connect = loop.connect_read_pipe
        before = set(children())

        async def slowly(factory, pipe):
            connected = await connect(factory, pipe)
            for child in set(children()) - before:
                os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            for _ in range(5):
                await asyncio.sleep(0.001)  # a turn in which the poller is asked
            return connected

        loop.connect_read_pipe = slowly
        said = await output("sh", "-c", "printf out; printf err >&2", api=api)
        assert said == (0, b"out", b"err")

    with nothing_left():
        run(main())


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_user_and_groups():
    async def main():
        assert (await output("id", "-u", user=65534))[1] == b"65534\n"
        assert (await output("id", "-g", group=65534))[1] == b"65534\n"
        assert (await output("id", "-G", extra_groups=[7, 8], group=65534))[1].split() == [b"65534", b"7", b"8"]

    with nothing_left():
        run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"universal_newlines": True},
        {"text": True},
        {"encoding": "utf-8"},
        {"errors": "strict"},
        {"bufsize": 4096},
        {"shell": True},
    ],
)
def test_text_is_refused(options):
    async def main():
        with pytest.raises(ValueError):
            await clearloop.create_subprocess_exec("true", **options)

    run(main())


@pytest.mark.parametrize(
    "args, options",
    [
        (("no-such-program",), {}),
        (("/no/such/program",), {}),
        (("/etc/passwd",), {}),
        (("/",), {}),
        (("true",), {"cwd": "/no/such/folder"}),
        (("true",), {"env": {"a=b": "c"}}),
        (("true\0",), {}),
        (("true", 5), {}),
        (("true",), {"no_such_parameter": 1}),
        (("true",), {"process_group": 1}),
        (("true",), {"umask": "x"}),
        (("true",), {"pass_fds": [12345]}),
        (("true",), {"stdout": 12345}),
    ],
)
def test_the_same_errors_as_popen(args, options):
    with pytest.raises(Exception) as theirs:
        subprocess.Popen(args, **options)

    async def main():
        for more in ({}, {"stdin": subprocess.PIPE}):
            with pytest.raises(theirs.type) as ours:
                await clearloop.create_subprocess_exec(*args, **options, **more)
            if isinstance(theirs.value, OSError):
                assert ours.value.errno == theirs.value.errno
                assert ours.value.filename == theirs.value.filename

    with nothing_left():
        run(main())
