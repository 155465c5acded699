"""Children under faults: no descriptors left, cancelled at every await, killed in a race, the loop closed meanwhile."""

import asyncio
import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import threading

import pytest
from process_tools import Recorder, children, nothing_left, output, run, until

import clearloop
from clearloop.process.launch import CAN_SPAWN
from descriptors import open_descriptors, opened_since


def test_no_descriptors_left_starts_nothing_and_leaks_nothing(tmp_path):
    async def main():
        await output("true")  # what is imported and opened once is
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        top = os.dup(0)
        os.close(top)
        made = tmp_path / "made"
        failed = 0
        try:
            for room in range(12):
                resource.setrlimit(resource.RLIMIT_NOFILE, (top + room, limits[1]))
                before = open_descriptors() if room > 1 else None
                try:
                    process = await clearloop.create_subprocess_exec(
                        "touch", made, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                    )
                except OSError as error:
                    assert error.errno == errno.EMFILE
                    failed += 1
                    assert not made.exists()
                    if before is not None:
                        assert opened_since(before) == set()
                else:
                    await process.communicate()
                    break
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert failed > 5 and made.exists()

    with nothing_left():
        run(main())


@pytest.mark.skipif(not CAN_SPAWN, reason="the ends of children are noticed without descriptors here")
def test_a_duplicate_of_a_childs_descriptor_keeps_nobody_busy():
    """As a forked worker has one: what it duplicates reports the child's end for as long as it is open."""

    async def main():
        loop = asyncio.get_running_loop()
        before = open_descriptors()
        pollers = {(fd, what) for fd, what in before if "eventpoll" in what}
        process = await clearloop.create_subprocess_exec("cat", stdin=subprocess.PIPE)
        copies = [os.dup(fd) for fd, what in opened_since(before) if "pidfd" in what]
        try:
            assert copies
            process.stdin.close()
            assert await process.wait() == 0
            turns = loop._turn_count()
            await asyncio.sleep(0.1)
            assert loop._turn_count() - turns < 10
            assert pollers and pollers <= open_descriptors()  # nor was a new one needed to be rid of it
        finally:
            for copy in copies:
                os.close(copy)

    with nothing_left():
        run(main())


def test_a_thousand_children_at_once(ends):
    count = 1000 if ends == "pidfd" else 100

    async def main():
        loop = asyncio.get_running_loop()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard[1], 8192), hard[1]))

        async def one(number):
            process = await clearloop.create_subprocess_shell(
                f"read line; echo $line; exit {number % 200}", stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            started.append(process)
            await all_started.wait()
            assert (await process.communicate(b"%d\n" % number))[0] == b"%d\n" % number
            assert process.returncode == number % 200

        started, all_started = [], asyncio.Event()
        before = set(threading.enumerate())  # earlier tests may have left some, and those may go
        tasks = [loop.create_task(one(number)) for number in range(count)]
        await until(lambda: len(started) == count)
        assert len(children()) >= count
        if ends == "pidfd":
            assert len(set(threading.enumerate()) - before) < 20
        all_started.set()
        await asyncio.gather(*tasks)

    with nothing_left():
        run(main())


def test_cancelled_at_every_await():
    async def attempt(steps):
        async def whole():
            process = await clearloop.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                await process.communicate(bytes(300_000))
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise

        task = asyncio.create_task(whole())
        for _ in range(steps):
            await asyncio.sleep(0)
            if task.done():
                return True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return False

    async def main():
        loop = asyncio.get_running_loop()
        theirs = set(children())  # of earlier tests
        for steps in range(12):
            await attempt(steps)
            await until(lambda: set(children()) <= theirs)
        await until(lambda: len(loop._transports) == 0)

    with nothing_left():
        run(main())


def test_waiters_that_are_cancelled_leave_the_others():
    async def main():
        process = await clearloop.create_subprocess_exec("sleep", "1000")
        waiting = [asyncio.create_task(process.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
        process.kill()
        assert await waiting[0] == await waiting[2] == -signal.SIGKILL
        assert waiting[1].cancelled()

    with nothing_left():
        run(main())


def test_kill_races(ends):
    async def main():
        for number in range(60):
            process = await clearloop.create_subprocess_shell("exit 3")
            for _ in range(number % 7):
                await asyncio.sleep(0.0005)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            assert await process.wait() in (3, -signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)

    with nothing_left():
        run(main())


def test_a_number_that_was_given_away_gets_no_signal(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda *arguments: sent.append(arguments))

    async def main():
        process = await clearloop.create_subprocess_exec("true")
        transport = process._transport
        await process.wait()
        for kill in (process.kill, transport.kill, process.terminate):
            with contextlib.suppress(ProcessLookupError):
                kill()

    run(main())
    assert sent == []


def test_a_loop_closed_while_a_child_runs():
    with nothing_left():
        loop = clearloop.new_event_loop()
        process = loop.run_until_complete(
            clearloop_on(loop, clearloop.create_subprocess_exec("sleep", "1000", stdout=subprocess.PIPE))
        )
        pid = process.pid
        loop.close()
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            process._transport.__del__()
        del process
        from clearloop.process import launch

        while pid in children():
            launch.reap_orphans()


async def clearloop_on(loop, coroutine):
    return await coroutine


def test_from_a_thread_that_is_not_the_main_one(ends):
    found = []

    def work():
        async def main():
            found.append(await output("echo", "thread", api=asyncio))

        run(main())

    with nothing_left():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)
    assert found == [(0, b"thread\n", b"")]


def test_nobody_touches_sigchld():
    async def main():
        before = signal.getsignal(signal.SIGCHLD)
        assert (await output("echo", "x"))[1] == b"x\n"
        assert signal.getsignal(signal.SIGCHLD) is before

    run(main())


def test_the_loop_turns_between_starts():
    """Many at once are started one per turn: a callback has its turn between any two."""

    async def main():
        loop = asyncio.get_running_loop()
        order = []

        def tick():
            order.append("tick")
            if len(order) < 400:
                loop.call_soon(tick)

        class Noting(Recorder):
            def __init__(self):
                super().__init__()
                order.append("start")

        loop.call_soon(tick)
        made = await asyncio.gather(*[loop.subprocess_exec(Noting, "true") for _ in range(10)])
        await asyncio.gather(*[protocol.lost for _, protocol in made])
        for transport, _ in made:
            transport.close()
        pids = [transport.get_pid() for transport, _ in made]
        assert pids == sorted(pids) or len(set(pids)) == 10
        assert "tick" in order

    with nothing_left():
        run(main())


@pytest.mark.parametrize("environment", [{"PYTHONMALLOC": "debug"}, {"PYTHONASYNCIODEBUG": "1"}, {"GC": "1"}])
def test_under_hostile_settings(environment):
    code = """
import asyncio, gc, os, subprocess, clearloop
if os.environ.get("GC"):
    gc.set_threshold(1)
async def one(number):
    process = await clearloop.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    data = bytes([number]) * 200_000
    assert await process.communicate(data) == (data, None)
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert await process.communicate(data) == (data, None)
async def main():
    await asyncio.gather(*[one(number) for number in range(20)])
clearloop.run(main())
print("fine")
"""
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=100,
    )
    assert ran.stdout == b"fine\n", ran.stderr.decode()
