"""The watchdog itself: it costs nothing while nothing happens, and never hurts."""

import asyncio
import os
import sys
import threading
import time

import pytest

import clearloop
from clearloop import watch
from clearloop.system import watchdog as thread

from .held import LONG, THRESHOLD, line_of

LATER = THRESHOLD / 10


def switches():
    """How often each thread of this process has been woken so far."""
    found = {}
    for number in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{number}/status") as file:
            found[number] = sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return found


def name_of(number):
    with open(f"/proc/self/task/{number}/comm") as file:
        return file.read().strip()


def test_an_idle_loop_wakes_nobody():
    """In a process of its own thread count, a loop that waits for two seconds leaves every other thread asleep."""
    seen = {}

    async def main():
        await asyncio.sleep(0.3)  # the watchdog has parked by then
        seen["before"] = switches()
        await asyncio.sleep(1)
        seen["after"] = switches()

    clearloop.run(main())
    watchers = [number for number in seen["before"] if name_of(number) == "clearloop-watch"]
    assert len(watchers) == 1
    # the loop wakes up once, and rings once; without a bell it would have looked a hundred times
    assert seen["after"][watchers[0]] - seen["before"][watchers[0]] < 20


def test_one_thread_for_all_loops():
    def run():
        clearloop.run(asyncio.sleep(0.05))

    threads = [threading.Thread(target=run) for _ in range(5)]
    for one in threads:
        one.start()
    assert thread.threads() <= 1
    for one in threads:
        one.join()
    assert thread.threads() <= 1


def test_loops_in_several_threads_are_blamed_each_for_its_own(seen):
    async def main(name):
        asyncio.current_task().set_name(name)
        time.sleep(LONG)

    def run(name):
        loop = clearloop.new_event_loop()
        loop.slow_callback_duration = THRESHOLD
        loop.run_until_complete(main(name))
        loop.close()

    threads = [threading.Thread(target=run, args=(f"loop {number}",)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert thread.flush(10)
    assert sorted(stall.task for stall in seen.blamed) == [f"loop {number}" for number in range(4)]
    assert len({stall.loop for stall in seen.blamed}) == 4


def test_a_loop_that_closes_right_after_the_block(seen):
    async def main():
        time.sleep(LONG)

    for _ in range(3):
        loop = clearloop.new_event_loop()
        loop.slow_callback_duration = THRESHOLD
        loop.run_until_complete(main())
        loop.close()
        del loop
    assert thread.flush(10)
    assert len(seen.blamed) == 3


def test_loops_that_come_and_go_while_others_block(seen):
    """Probes are made and freed all the time; nothing is read that is gone."""
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            loop = clearloop.new_event_loop()
            loop.slow_callback_duration = THRESHOLD
            loop.run_until_complete(nothing())
            loop.close()

    async def nothing():
        pass

    async def main():
        time.sleep(LONG)

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for one in threads:
        one.start()
    try:
        for _ in range(3):
            seen.run(main)
    finally:
        stop.set()
        for one in threads:
            one.join()
    assert any(stall.verdict == "blocking" for stall in seen.ended)


def test_a_nested_turn_by_hand(seen):
    async def main():
        loop = asyncio.get_running_loop()

        def inner():
            loop.call_soon(time.sleep, LONG)
            loop._run_once()

        loop.call_soon(inner)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    seen.run(main)
    assert [stall.verdict for stall in seen.blamed] == ["blocking"]


def test_expect_block(seen):
    async def main():
        with watch.expect_block("on purpose"):
            time.sleep(LONG)
        await asyncio.sleep(0)
        with watch.expect_block("outer"), watch.expect_block("inner"):
            time.sleep(LONG)

    seen.run(main)
    assert seen.blamed == []
    with watch.expect_block("outside of any loop"):
        pass
    with pytest.raises(TypeError):
        watch.expect_block(None)


def test_expect_block_covers_nothing_else(seen):
    async def other():
        time.sleep(LONG)  # here

    async def main():
        with watch.expect_block("the step it is entered in"):
            await asyncio.create_task(other())

    seen.run(main)
    assert seen.the_one("blocking").line == line_of(test_expect_block_covers_nothing_else)


def test_the_time_begins_anew_after_an_expected_block(seen):
    async def main():
        with watch.expect_block("on purpose"):
            time.sleep(LONG)
        time.sleep(LONG)

    def only_the_second():
        return [stall.verdict for stall in seen.blamed] == ["blocking"] and seen.blamed[0].seconds < 1.7 * LONG

    assert seen.run_until(only_the_second, main), seen.ended


def test_the_threshold_is_live(seen):
    async def main():
        loop = asyncio.get_running_loop()
        time.sleep(LONG / 4)
        await asyncio.sleep(0)
        loop.slow_callback_duration = THRESHOLD
        await asyncio.sleep(0)
        time.sleep(LONG)
        await asyncio.sleep(0)
        loop.slow_callback_duration = 0
        await asyncio.sleep(0)
        time.sleep(LONG)

    seen.run(main, threshold=0)
    assert len(seen.blamed) == 1


def test_debug_mode(seen):
    async def main():
        time.sleep(LONG)

    seen.run(main, set_debug=True)
    assert seen.the_one("blocking")


def test_an_exception_that_ends_the_loop(seen):
    async def main():
        time.sleep(LONG)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seen.run(main)
    assert thread.flush(10)
    assert seen.the_one("blocking").task is not None


def test_off():
    code = (
        "import clearloop, time, asyncio\n"
        "from clearloop.system import watchdog\n"
        "async def main(): time.sleep(0.3)\n"
        "clearloop.run(main())\n"
        "assert watchdog.threads() == 0\n"
    )
    environment = os.environ | {"CLEARLOOP_WATCH": "0"}
    ran = __import__("subprocess").run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_off_by_the_threshold(programs):
    text = "import clearloop, time\nasync def main(): time.sleep(0.3)\nclearloop.run(main())\n"
    assert programs.python(text, env={"CLEARLOOP_SLOW": "0"}).stderr == ""
    assert "blocked" in programs.python(text, env={"CLEARLOOP_SLOW": "0.1"}).stderr
    assert "blocked" in programs.python(text, env={"CLEARLOOP_SLOW": "nonsense"}).stderr


def test_the_last_stall_is_told_at_exit(programs):
    ran = programs.python("import clearloop, time\nasync def main(): time.sleep(0.3)\nclearloop.run(main())\n")
    assert ran.returncode == 0
    assert "blocked 0.3" in ran.stderr
    assert "time.sleep(0.3) [blocking call" in ran.stderr


def test_a_failing_watchdog_is_logged_once_and_goes_on(programs):
    ran = programs.python(
        """
        import clearloop, time
        from clearloop.watch import watchdog, reporting
        well = watchdog.noticed
        def broken(*arguments): raise SystemExit("broken")
        watchdog.noticed = broken
        async def main():
            time.sleep(0.3)
        for _ in range(3):
            clearloop.run(main())
        watchdog.noticed = well
        async def last():
            time.sleep(1.5)
        clearloop.run(last())
        print("went on")
        """
    )
    assert (ran.returncode, ran.stdout) == (0, "went on\n")
    assert ran.stderr.count("the watchdog has failed at a stall, and goes on") == 1
    assert ran.stderr.count("Traceback") == 1
    assert "in last: time.sleep(1.5) [blocking call" in ran.stderr


def test_the_line_is_told_though_the_observer_was_loaded_too_late(programs):
    """As on a machine that is so slow that the block is over by then."""
    ran = programs.python(
        """
        import clearloop, sys, time
        class Slow:
            def find_spec(self, name, *others):
                if name == "clearloop.watch.watchdog":
                    time.sleep(1.5)
        sys.meta_path.insert(0, Slow())
        async def main():
            time.sleep(0.7)
        clearloop.run(main())
        """
    )
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "by task Task-1: app.py:9 in main: time.sleep(0.7) [blocking call" in ran.stderr


@pytest.mark.parametrize("error", ["OSError(24, 'no descriptors')", "ImportError('no descriptors')"])
def test_an_observer_that_cannot_be_imported_at_first(programs, error):
    """As when there is no descriptor left: it is tried again, not in a circle, and what has ended is told then."""
    ran = programs.python(
        f"""
        import clearloop, sys, time

        class Finder:
            tries = 0
            def find_spec(self, name, path=None, target=None):
                if name == "clearloop.watch.watchdog":
                    self.tries += 1
                    if not sys.meta_path[0].over:
                        raise {error}
            over = False

        finder = Finder()
        sys.meta_path.insert(0, finder)
        async def first():
            time.sleep(0.5)
        async def second():
            time.sleep(0.55)
        clearloop.run(first())
        finder.over = True
        clearloop.run(second())
        print(0 < finder.tries < 20)
        """
    )
    assert (ran.returncode, ran.stdout) == (0, "True\n"), ran.stderr
    assert "in second: time.sleep(0.55) [blocking call" in ran.stderr
    assert ran.stderr.count("Traceback") == (0 if "OSError" in error else 1), ran.stderr


def test_without_threads_it_waits_for_the_next(programs):
    """Where no thread can be had, the loop asks again whenever it leaves the kernel."""
    ran = programs.python(
        """
        import asyncio, clearloop, os, resource, sys, time
        from clearloop.system import watchdog
        loop = clearloop.new_event_loop()
        async def main():
            await asyncio.sleep(0.01)
            assert watchdog.threads() == 0
            resource.setrlimit(resource.RLIMIT_NPROC, limits)
            await asyncio.sleep(0.01)
            assert watchdog.threads() == 1
            time.sleep(0.3)
        if os.getuid() == 0:
            try:
                os.setuid(65534)
            except OSError:
                sys.exit(9)
        if not os.access(clearloop.__file__, os.R_OK):
            sys.exit(9)
        limits = resource.getrlimit(resource.RLIMIT_NPROC)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, limits[1]))
        loop.run_until_complete(main())
        loop.close()
        print("done")
        """
    )
    if ran.returncode == 9:
        pytest.skip("root has no limit of threads, and somebody else cannot run here")
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


def test_forks_from_many_threads_leave_it_watching(programs):
    ran = programs.python(
        """
        import asyncio, clearloop, os, threading, time, warnings
        from clearloop.system import watchdog

        def fork():
            for _ in range(30):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)

        async def main():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # 3.12 warns of the other threads
                forking = [threading.Thread(target=fork) for _ in range(3)]
                for thread in forking:
                    thread.start()
                while any(thread.is_alive() for thread in forking):
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            assert watchdog.threads() == 1
            time.sleep(0.3)

        clearloop.run(main())
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert "in main: time.sleep(0.3) [blocking call" in ran.stderr, ran.stderr


def test_fork(programs):
    """The child's loop is watched by a watchdog of its own, the parent's goes on, and nobody is warned of threads."""
    ran = programs.python(
        """
        import asyncio, clearloop, os, sys, time, warnings
        warnings.simplefilter("always")  # as an error, some Pythons would swallow it
        from clearloop.system import watchdog

        async def in_child():
            time.sleep(0.3)

        async def main():
            await asyncio.sleep(0)
            pid = os.fork()
            if pid == 0:
                asyncio._set_running_loop(None)
                assert watchdog.threads() == 0
                time.sleep(0.3)  # the parent's loop does not run here: nobody is to blame
                clearloop.run(in_child())
                assert watchdog.threads() == 1
                assert watchdog.flush()
                sys.stderr.flush()
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7  # blocks: the parent is to blame
            await asyncio.sleep(0.05)
            time.sleep(0.4)

        clearloop.run(main())
        """
    )
    assert ran.returncode == 0, ran.stderr
    assert "multi-threaded" not in ran.stderr
    lines = [line for line in ran.stderr.splitlines() if "[blocking call" in line]
    assert sum("in in_child: time.sleep(0.3)" in line for line in lines) == 1, ran.stderr
    assert sum("in main: time.sleep(0.3)" in line for line in lines) == 0, ran.stderr
    assert sum("time.sleep(0.4)" in line for line in lines) == 1, ran.stderr


def test_a_loop_in_another_interpreter_is_not_watched(programs):
    """One that shares the main one's GIL; others load none of our modules.  Nothing is said of it, and nothing kept."""
    programs.write(
        "inner.py",
        """
        import clearloop, time
        from clearloop.system import watchdog
        async def main():
            time.sleep(0.3)
            await clearloop.sleep(0.01)
            time.sleep(0.3)
        clearloop.run(main())
        print(watchdog.threads(), flush=True)
        """,
    )
    ran = programs.python(
        """
        import sys
        inner = open("inner.py").read()
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
            number = interpreters.create("legacy")
            failed = interpreters.exec(number, inner)
        else:
            import _xxsubinterpreters as interpreters
            number = interpreters.create(isolated=False)
            failed = interpreters.run_string(number, inner)
        interpreters.destroy(number)
        print(failed)
        """
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "0\nNone\n", "")


def test_exec(programs):
    ran = programs.python(
        """
        import clearloop, os, sys, time
        async def main():
            time.sleep(0.3)
            os.execv(sys.executable, [sys.executable, "-c", "print('as another program')"])
        clearloop.run(main())
        """
    )
    assert (ran.returncode, ran.stdout) == (0, "as another program\n")


@pytest.mark.parametrize("how", ["sys.exit(3)", "os._exit(3)", "raise SystemExit(3)", "os.kill(os.getpid(), 15)"])
def test_exit_in_the_middle(programs, how):
    ran = programs.python(
        f"""
        import asyncio, clearloop, os, sys, threading, time

        async def block():
            while True:
                time.sleep(0.15)
                await asyncio.sleep(0)

        def other():
            clearloop.run(block())

        async def main():
            for _ in range(3):
                threading.Thread(target=other, daemon=True).start()
            await asyncio.sleep(0.5)
            {how}

        clearloop.run(main())
        """,
        env={"CLEARLOOP_SLOW": "0.02"},
    )
    assert ran.returncode in ((-15, 143) if "kill" in how else (3,)), ran.stderr
    assert "Fatal" not in ran.stderr
