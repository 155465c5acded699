"""shield: a future that can be cancelled without cancelling what it stands for."""

import asyncio
from asyncio import events

import cython
from cython.cimports.clearloop.engine.gather import future_for

_running_loop = cython.declare(object, events._get_running_loop)


@cython.cclass
class Shield:
    """The link between the inner future and the outer one, which alone is cancelled."""

    def _waits_for(self):
        return self.outer

    def inner_done(self, inner):
        outer = self.outer
        if outer.done():
            return  # cancelled; what the inner future raised stays to be reported
        if inner.cancelled():
            outer.cancel()
        else:
            error = inner.exception()
            if error is not None:
                outer.set_exception(error)
            else:
                outer.set_result(inner.result())

    def outer_done(self, outer):
        inner = self.inner
        if not inner.done():
            inner.remove_done_callback(self.inner_done)
            inner.remove_done_callback(_log)  # of another shield that was cancelled: one report is enough
            inner.add_done_callback(_log)


def log_error(inner):
    """The inner future failed when nobody waited for it any more."""
    if inner.cancelled():
        return
    error = inner.exception()
    if error is None:
        return
    context = {
        "message": f"{type(error).__name__} exception in shielded future",
        "exception": error,
        "future": inner,
    }
    if getattr(inner, "_source_traceback", None):
        context["source_traceback"] = inner._source_traceback
    inner.get_loop().call_exception_handler(context)


# asyncio's own where it has one, so that its shields and ours around one future report once
_log = cython.declare(object, getattr(asyncio.tasks, "_log_on_exception", log_error))


def shield(arg):
    """Return a future with the outcome of `arg` whose cancellation does not reach `arg`.

    A coroutine becomes a task.  When `arg` fails after the outer future was cancelled, the loop's exception handler is
    told.  https://docs.python.org/3/library/asyncio-task.html#asyncio.shield
    """
    inner = future_for(arg, _running_loop() if not asyncio.isfuture(arg) else None)
    if inner.done():
        return inner
    link: Shield = Shield.__new__(Shield)
    outer = inner.get_loop().create_future()
    link.inner = inner
    link.outer = outer
    inner.add_done_callback(link.inner_done)
    outer.add_done_callback(link.outer_done)
    return outer
