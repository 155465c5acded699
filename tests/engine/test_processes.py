"""What only a process of its own can show: fork, signals, the end of the interpreter."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import clearloop


def python(program, *, status=0):
    """Run a program and return (stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def test_the_interpreter_ends_with_tasks_pending():
    out, err = python("""
        import asyncio, clearloop
        loop = clearloop.new_event_loop()
        async def wait():
            try:
                await clearloop.sleep(1000)
            finally:
                print("finally")
        tasks = [loop.create_task(wait()) for _ in range(3)]
        loop.call_later(1000, print)
        loop.call_soon(loop.stop)
        loop.run_forever()
        print("end")
    """)
    assert out.startswith("end")
    assert "Fatal" not in err


def test_the_interpreter_ends_inside_a_callback():
    out, err = python(
        """
        import asyncio, clearloop, sys
        async def main():
            asyncio.create_task(clearloop.sleep(1000))
            asyncio.get_running_loop().call_later(0.001, sys.exit, 3)
            await clearloop.sleep(1000)
        clearloop.run(main())
        """,
        status=3,
    )
    assert "Fatal" not in err


def test_a_child_forked_by_a_running_loop_runs_a_loop_of_its_own():
    out, err = python("""
        import asyncio, clearloop, os, signal, warnings
        warnings.simplefilter("ignore")

        async def child():
            await clearloop.sleep(0.001)
            os.kill(os.getpid(), signal.SIGUSR1)   # default action is off: the parent's handler must not hear of it
            reader, writer = os.pipe()
            asyncio.get_running_loop().call_later(0.001, os.write, writer, b"x")
            ready = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().add_reader(reader, lambda: ready.done() or ready.set_result(1))
            await ready
            return 7

        async def main():
            loop = asyncio.get_running_loop()
            heard = []
            loop.add_signal_handler(signal.SIGUSR1, heard.append, 1)
            pid = os.fork()
            if pid == 0:
                try:
                    os._exit(clearloop.run(child()))
                finally:
                    os._exit(1)
            status = await loop.run_in_executor(None, os.waitpid, pid, 0)
            await clearloop.sleep(0.01)
            print(os.waitstatus_to_exitcode(status[1]), heard)
            os.kill(os.getpid(), signal.SIGUSR1)
            while not heard:
                await clearloop.sleep(0)
            print(heard)

        clearloop.run(main())
    """)
    assert out.split("\n")[:2] == ["7 []", "[1]"], err


def test_ctrl_c_cancels_the_main_task_and_the_second_ends_at_once():
    out, err = python("""
        import asyncio, clearloop, os, signal
        async def main():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await clearloop.sleep(1000)
            except asyncio.CancelledError:
                print("cancelled")
                raise
            finally:
                print("finally")
        try:
            clearloop.run(main())
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
        async def stubborn():
            while True:
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                    await clearloop.sleep(1000)
                except asyncio.CancelledError:
                    print("first")
        try:
            clearloop.run(stubborn())
        except KeyboardInterrupt:
            print("second")
    """)
    assert out.split() == ["cancelled", "finally", "KeyboardInterrupt", "first", "second"], err


def test_a_signal_wakes_a_sleeping_loop_whoever_owns_the_wakeup_descriptor():
    out, err = python("""
        import asyncio, clearloop, os, signal, socket, threading, time
        ours, theirs = socket.socketpair()
        ours.setblocking(False); theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        def on_signal(number, frame):
            loop.call_soon(loop.stop)
        signal.signal(signal.SIGUSR1, on_signal)
        loop = clearloop.new_event_loop()
        loop.call_soon(threading.Thread(target=lambda: (time.sleep(0.05), os.kill(os.getpid(), signal.SIGUSR1))).start)
        loop.run_forever()
        print(signal.set_wakeup_fd(-1) == theirs.fileno(), ours.recv(1) == bytes([signal.SIGUSR1]))
        loop.close()
    """)
    assert out.split() == ["True", "True"], err


def test_signal_handlers_run_in_order_and_give_the_default_back():
    seen = []
    before = signal.getsignal(signal.SIGUSR2)

    async def main():
        import asyncio

        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
        loop.add_signal_handler(signal.SIGUSR2, lambda: (seen.append(2), done.set_result(None)))
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
        await done
        assert loop.remove_signal_handler(signal.SIGUSR1)
        assert not loop.remove_signal_handler(signal.SIGUSR1)

    clearloop.run(main())
    assert seen == [1, 2]
    assert signal.getsignal(signal.SIGUSR2) == before == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_threads_that_call_while_the_loop_closes_are_heard_or_refused():
    for _ in range(20):
        loop = clearloop.new_event_loop()
        heard = []
        told = []
        refused = threading.Event()

        def hammer(loop=loop, heard=heard, told=told):
            count = 0
            try:
                while True:
                    loop.call_soon_threadsafe(heard.append, 1)
                    count += 1
            except RuntimeError:
                told.append(count)

        threads = [threading.Thread(target=hammer) for _ in range(3)]
        loop.call_later(0.005, loop.stop)
        for thread in threads:
            thread.start()
        loop.run_forever()
        loop.close()
        refused.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert len(told) == 3
        assert sum(told) >= len(heard) > 0


@pytest.mark.parametrize("count", [20_000])
def test_no_wake_up_from_another_thread_is_lost(count):
    loop = clearloop.new_event_loop()
    answered = threading.Semaphore(0)

    def ask():
        for _ in range(count):
            loop.call_soon_threadsafe(answered.release)
            assert answered.acquire(timeout=30)  # the loop sleeps between any two
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=ask)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()
