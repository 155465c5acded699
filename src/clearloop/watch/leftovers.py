"""At exit: the errors and coroutines that are still held somewhere and that nobody has asked for."""

import asyncio
import gc
import sys
import types

from clearloop.engine.future import Future
from clearloop.watch import settings
from clearloop.watch.once import complain

# Each kind; the next ones would say the same.
MOST = 20


def at_exit():
    """Look, when something was found before or somebody asked for it, and sum up."""
    found = "clearloop.watch.reporting" in sys.modules
    if found or settings.terminal or settings.report is not None:
        look()
        found = "clearloop.watch.reporting" in sys.modules
    if found or settings.report is not None:
        from clearloop.watch import reporting

        reporting.sum_up()


def look():
    """Report what is left."""
    try:
        errors, coroutines = _find(gc.get_objects())
        for future in errors[:MOST]:
            error = future._exception
            if error is not None:
                from clearloop.watch import lost

                lost.report(future, error, at_exit=True)
        for coroutine in coroutines[:MOST]:
            from clearloop.watch import forgotten

            forgotten.left_at_exit(coroutine)
    except Exception as error:
        complain(f"the look at what is left failed: {type(error).__name__}", error)


def _find(objects):
    """Futures whose exception nobody fetched, and coroutines that have not begun and belong to no task."""
    kinds = (Future, asyncio.Future, asyncio.futures._PyFuture)
    errors, coroutines, driven = [], [], set()
    for one in objects:
        kind = type(one)  # not isinstance: it would ask a __class__ that the program may have written
        if kind is types.CoroutineType:
            if not one.cr_suspended and not one.cr_running and one.cr_frame is not None:  # CORO_CREATED
                coroutines.append(one)
        elif issubclass(kind, kinds):
            if one._log_traceback:
                errors.append(one)
            coroutine = getattr(one, "_coro", None)
            if coroutine is not None:
                driven.add(id(coroutine))
    return errors, [one for one in coroutines if id(one) not in driven]
