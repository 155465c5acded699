"""run, Runner and get_event_loop: how a program starts on clearloop."""

import asyncio
import sys
import threading
import warnings

from clearloop.graceful import Stopping
from clearloop.loop import new_event_loop
from clearloop.through import fallback

__all__ = ["Runner", "get_event_loop", "run"]

__getattr__ = fallback(__name__)

_stopping = Stopping(asyncio.Runner)


class Runner(asyncio.Runner):
    """asyncio.Runner on a clearloop loop.

    `debug` switches debug mode; `loop_factory` makes another loop than clearloop's.
    https://docs.python.org/3/library/asyncio-runner.html#asyncio.Runner
    """

    def __init__(self, *, debug=None, loop_factory=None):
        super().__init__(debug=debug, loop_factory=loop_factory or new_event_loop)

    def run(self, coro, *, context=None):
        """Run a coroutine on the runner's loop; SIGTERM and Ctrl-C cancel it once, a second one ends at once.

        https://docs.python.org/3/library/asyncio-runner.html#asyncio.Runner.run
        """
        return _stopping.run(self, coro, context)

    def close(self):
        """Cancel what still runs, and close the loop.

        https://docs.python.org/3/library/asyncio-runner.html#asyncio.Runner.close
        """
        _stopping.close(self)

    def _on_sigint(self, number, frame, main_task):
        _stopping.on_sigint(self, main_task)


def run(main, *, debug=None, loop_factory=None):
    """Run the coroutine `main` on a new loop, and return its result.

    The first SIGTERM or Ctrl-C cancels `main`, which may tidy up; a second ends the program at once.  A program that
    was stopped so ends with SystemExit(143) or KeyboardInterrupt, unless `main` returns all the same.
    Raises RuntimeError when a loop runs in this thread already, ValueError or TypeError when `main` is no coroutine.
    https://docs.python.org/3/library/asyncio-runner.html#asyncio.run
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("clearloop.run() cannot be called from a running event loop")
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


def get_event_loop():
    """Return the running loop, else the loop that was set for this thread; the main thread gets a new one if need be.

    So programs in the style of Python 3.5 to 3.7 run: `loop = clearloop.get_event_loop()`,
    `loop.run_until_complete(main())`.  Raises RuntimeError in any other thread that has no loop.
    """
    running = asyncio._get_running_loop()
    if running is not None:
        return running
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = _loop_that_was_set()
        if loop is not None:
            return loop
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"There is no current event loop in thread {threading.current_thread().name!r}.")
        loop = new_event_loop()
        asyncio.set_event_loop(loop)
    return loop


def get_loop_for_new():
    """The loop of what gather() and shield() make while none runs, as this Python's asyncio finds it.

    Raises RuntimeError when none was set; up to Python 3.13 the main thread gets one if it never had any.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = _loop_that_was_set()
        if loop is not None:
            return loop
        policy = asyncio.get_event_loop_policy()
        if sys.version_info >= (3, 14):
            return policy.get_event_loop()  # it raises, except under `clearloop run`, where it makes a loop
    if not getattr(getattr(policy, "_local", None), "_set_called", True):
        return get_event_loop()
    raise RuntimeError(f"There is no current event loop in thread {threading.current_thread().name!r}.")


def _loop_that_was_set():
    """What set_event_loop left for this thread; asking the policy itself would make asyncio's own loop."""
    policy = asyncio.get_event_loop_policy()
    local = getattr(policy, "_local", None)
    if local is None:  # a policy of another make: it answers as it likes
        return policy.get_event_loop()
    loop = getattr(local, "_loop", None)
    return None if loop is None or loop.is_closed() else loop
