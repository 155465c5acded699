"""What the engine notices besides stalls: forgotten awaits, lost errors, tasks that are stuck, the end of the program.

The engine does not know who watches.  It names the module, which is imported when there is something to tell: a
program in which nothing goes wrong loads none of it.  Nothing here costs anything until then; the hooks stand where
Python and the engine come only when something has gone wrong, or when a loop has nothing left to wait for.

CLEARLOOP_WATCH=0 switches all of it off.
"""

import atexit
import contextlib
import importlib
import logging
import os
import sys
import warnings

from clearloop.engine import dying, scheduler, task
from clearloop.system import watchdog

WATCHERS = "clearloop.watch"
LOST = "exception was never retrieved"

# --strict and --report: have Python note where each coroutine is created: exact, for some 100 ns each
origins = False

_armed = False
_exiting = False
_failed = set()


def arm():
    """Hook in, when a loop begins to run; only the first call does, but origins are each thread's own affair."""
    global _armed
    if origins and not sys.get_coroutine_origin_tracking_depth():
        sys.set_coroutine_origin_tracking_depth(1)
    if _armed:
        return
    _armed = True
    if os.environ.get("CLEARLOOP_WATCH") in ("0", "no", "off", "false"):
        return
    # What the interpreter calls, by this name, when a coroutine dies without having started.
    tell = getattr(warnings, "_warn_unawaited_coroutine", None)
    if tell is not None:
        dying.listen(_coroutine_dies, tell)
        warnings._warn_unawaited_coroutine = dying.unawaited
    scheduler.set_idle_hook(_loop_is_idle)
    task.set_circle_hook(_circle_closes)
    atexit.register(at_exit)


def error_came(context):
    """The exception handler is about to hear of `context`."""
    message = context.get("message")
    if _armed and isinstance(message, str) and message.endswith(LOST) and context.get("exception") is not None:
        _tell("lost", "noticed", context)


def at_exit():
    """Look at what is left, and sum up, if anything was ever found or somebody waits for a summary."""
    global _exiting
    if _exiting:
        return
    watchdog.flush(2.0)  # the last stall may still be on its way
    if f"{WATCHERS}.settings" in sys.modules or os.environ.get("CLEARLOOP_REPORT"):
        _tell("leftovers", "at_exit")
        _end_by_ctrl_c()
    _exiting = True


def _end_by_ctrl_c():
    """A program that Ctrl-C has ended dies of the signal, as its shell expects; the interpreter keeps a flag for that.

    Any code that is run from a string clears the flag, and modules that are imported for the summary run some
    (namedtuple does).  Code from a string that ends by Ctrl-C sets it.
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


def _coroutine_dies(coroutine, frame):
    _tell("forgotten", "died", coroutine, frame)


def _loop_is_idle(loop, descriptors):
    from clearloop.engine import hopeless

    # a thread may have woken it, and ended, while we looked
    if hopeless.is_hopeless(loop, descriptors) and not loop._ready_count():
        _tell("stuck", "nothing_left", loop)


def _circle_closes(closing):
    _tell("stuck", "circle_closed", closing)


def _tell(module, function, *arguments):
    if _exiting:
        return
    try:
        getattr(importlib.import_module(f"{WATCHERS}.{module}"), function)(*arguments)
    except Exception as error:
        if module not in _failed:
            _failed.add(module)
            logging.getLogger("clearloop").warning("clearloop: %s failed: %s", module, type(error), exc_info=error)
