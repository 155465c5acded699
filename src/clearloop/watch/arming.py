"""Switches on what notices forgotten awaits, lost errors and the end of the program.

Called once per process, when the first loop begins to be watched, or by the command.  Nothing runs until something is
found: the hooks stand where Python and the engine go only when a coroutine dies without having run, or when an error
is about to be handed to the exception handler.
"""

import atexit
import sys
import warnings

from clearloop.engine import errors
from clearloop.watch import dying, settings

_armed = False
_exiting = False


def arm():
    """Hook in; a second call does nothing."""
    global _armed
    if _armed:
        return
    _armed = True
    _hear_of_forgotten_awaits()
    errors.observer = _error_came
    atexit.register(at_exit)


def track_origins():
    """Have Python note where each coroutine is created: exact, and some 100 ns for each."""
    sys.set_coroutine_origin_tracking_depth(max(1, sys.get_coroutine_origin_tracking_depth()))


def _hear_of_forgotten_awaits():
    # What the interpreter calls, by this name, when a coroutine dies without having started.
    tell = getattr(warnings, "_warn_unawaited_coroutine", None)
    if tell is not None:
        dying.listen(_coroutine_dies, tell)
        warnings._warn_unawaited_coroutine = dying.unawaited


def _coroutine_dies(coroutine, frame):
    if _exiting:
        return
    try:
        from clearloop.watch import forgotten

        forgotten.died(coroutine, frame)
    except Exception as error:
        from clearloop.watch.once import complain

        complain(f"a forgotten await could not be reported: {type(error).__name__}", error)


def _error_came(context):
    if _exiting:
        return
    try:
        from clearloop.watch import lost

        if lost.is_lost(context):
            lost.noticed(context)
    except Exception as error:
        from clearloop.watch.once import complain

        complain(f"a lost error could not be reported: {type(error).__name__}", error)


def at_exit():
    """Look at what is left, and sum up; a second call does nothing."""
    global _exiting
    if _exiting:
        return
    if settings.terminal or settings.report is not None or _something_was_found():
        from clearloop.watch import leftovers

        leftovers.look()
    _exiting = True
    if settings.report is not None or _something_was_found():
        from clearloop.watch import reporting

        reporting.sum_up()


def _something_was_found():
    return "clearloop.watch.reporting" in sys.modules
