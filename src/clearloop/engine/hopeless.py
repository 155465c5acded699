"""Whether a loop that waits for nothing but its wake-up can ever be woken.

No timer is set and no descriptor is watched: what is left are other threads and signals.  When in doubt the answer is
no: a thread may always hold what the loop waits for, so a single one that is not known to be idle is enough.
"""

import asyncio
import os
import signal
import sys
import threading

from clearloop.system import watchdog

# by name: they lie above the engine
POOL = "clearloop.offload.threads"
GRACEFUL = "clearloop.graceful"


def is_hopeless(loop, descriptors):
    """Whether nothing can wake `loop`, which watches so many descriptors, any more."""
    own = 0 if loop._signals._pair is None else 1
    return (
        descriptors <= own
        and not loop.offloaded
        and not _a_thread_may_wake_it()
        and not _a_signal_may_come(loop)
    )


def _a_signal_may_come(loop):
    """Whether the program handles a signal: its handler may do anything."""
    if loop._signals._handlers:
        return True
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler and not _is_runners(handler):
            return True
    return False


def _is_runners(handler):
    """asyncio.Runner's handler of Ctrl-C, and ours of SIGTERM, which cancel the main task and do nothing else."""
    function = getattr(handler, "func", handler)
    return (
        getattr(function, "__func__", None) is asyncio.Runner._on_sigint
        or getattr(function, "__module__", None) == GRACEFUL
    )


def _a_thread_may_wake_it():
    frames = sys._current_frames()
    frames.pop(threading.get_ident(), None)
    known = {thread.ident: thread for thread in threading.enumerate()}
    for ident, frame in frames.items():
        if ident not in known or not _is_idle(known[ident], frame):
            return True
    return _has_native_threads()


def _is_idle(thread, frame):
    """Whether a thread is a worker of a pool that waits for work."""
    code = frame.f_code
    if code.co_name == "_worker" and code.co_filename.endswith(os.path.join("concurrent", "futures", "thread.py")):
        return True
    # a worker of the loop's own pool is compiled: the frame that is left is the one that started it
    target = getattr(thread, "_target", None)
    whose = getattr(target, "__module__", None), getattr(target, "__name__", None)
    return code is threading.Thread.run.__code__ and whose == (POOL, "_work")


def _has_native_threads():
    """Whether there are threads that Python does not know of: a library's own may call back at any time."""
    try:
        found = os.listdir("/proc/self/task")
    except OSError:
        return False
    python = {thread.native_id for thread in threading.enumerate()} | {threading.get_native_id()}
    return sum(int(number) not in python for number in found) > watchdog.threads()
