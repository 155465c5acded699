"""SIGTERM and Ctrl-C stop a program gently: the first cancels the main task, once; a second ends it at once.

asyncio's Runner does so for Ctrl-C, and leaves SIGTERM, which is how servers are stopped, to kill the process in the
middle of whatever it does.  Here both are the same.  After a main task that was cancelled by SIGTERM and did not say
otherwise the program ends with SystemExit(143), as a shell reports it; after Ctrl-C with KeyboardInterrupt.

"At once" means: what still runs is cancelled and has LAST_WORDS seconds, nobody waits for threads, and a third signal
has the system's own action.
"""

import asyncio
import os
import signal
import sys
import threading

LAST_WORDS = 1.0  # seconds
TERMINATED = 128 + signal.SIGTERM


class Stopping:
    """Replaces a Runner's run() and close(); `original` is the class whose own they are."""

    def __init__(self, original):
        self._run, self._close = original.run, original.close

    def run(self, runner, coro, context):
        """Runner.run with SIGTERM as Ctrl-C."""
        if (
            threading.current_thread() is not threading.main_thread()
            or not asyncio.iscoroutine(coro)
            or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        ):
            return self._run(runner, coro, context=context)
        runner._terminations = 0

        def on_sigterm(number, frame):
            runner._terminations += 1
            task = _task_of(runner, coro)
            if runner._terminations + runner._interrupt_count > 1 or task is None or task.done():
                _force(runner, signal.SIGTERM)
                raise SystemExit(TERMINATED)
            task.cancel()
            runner._loop.call_soon_threadsafe(_wake)

        try:
            signal.signal(signal.SIGTERM, on_sigterm)
        except ValueError:  # not the main interpreter
            return self._run(runner, coro, context=context)
        try:
            return self._run(runner, coro, context=context)
        except asyncio.CancelledError:
            if runner._terminations and not runner._interrupt_count:
                raise SystemExit(TERMINATED) from None
            raise
        finally:
            if signal.getsignal(signal.SIGTERM) is on_sigterm:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_sigint(self, runner, main_task):
        """Runner._on_sigint, which counts SIGTERM too."""
        runner._interrupt_count += 1
        if runner._interrupt_count + getattr(runner, "_terminations", 0) == 1 and not main_task.done():
            main_task.cancel()
            runner._loop.call_soon_threadsafe(_wake)
            return
        _force(runner, signal.SIGINT)
        raise KeyboardInterrupt

    def close(self, runner):
        """Runner.close, which waits for nobody after a second signal."""
        loop = runner._loop
        if loop is None or not getattr(runner, "_forced", False):
            return self._close(runner)
        try:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=LAST_WORDS))
        finally:
            if getattr(runner, "_set_event_loop", False):
                asyncio.set_event_loop(None)
            loop.close()
            runner._loop = None
            runner._state = asyncio.runners._State.CLOSED


def _wake():
    """For a loop that sleeps."""


def _task_of(runner, coro):
    for task in asyncio.all_tasks(runner._loop):
        if task.get_coro() is coro:
            return task
    return None


def _force(runner, number):
    """From now on nobody is waited for."""
    runner._forced = True
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    try:
        threading._register_atexit(_leave_threads, number)  # runs before whoever would join them
    except RuntimeError:
        pass


def _leave_threads(number):
    here = threading.current_thread()
    left = [thread.name for thread in threading.enumerate() if thread is not here and not thread.daemon]
    if not left:
        return
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os.kill(os.getpid(), number)


def take_over():
    """Let asyncio's own Runner, and with it asyncio.run, stop the same way."""
    original = asyncio.Runner
    stopping = Stopping(original)
    original.run = lambda self, coro, *, context=None: stopping.run(self, coro, context)
    original.close = lambda self: stopping.close(self)
    original._on_sigint = lambda self, number, frame, main_task: stopping.on_sigint(self, main_task)
