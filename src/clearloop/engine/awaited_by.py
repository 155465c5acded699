"""Writing down who awaits a future, for asyncio's call graph (call_graph.py) from Python 3.14.

asyncio's gather, shield, wait and task groups do so for each child, and take it back when the child is done.  That is
why this is compiled: twice for each task, it would be half of what a task group costs.
"""

import asyncio
import weakref

import cython
from cython.cimports.clearloop.engine.future import Future
from cython.cimports.clearloop.system.slots import PyObject_GenericGetDict

NOTED = "_clearloop_awaited_by"  # among the attributes of a future of ours: one who awaits it, or a set of several
_FUTURE = asyncio.Future

of_others = weakref.WeakKeyDictionary()  # the same for futures of asyncio's, which take no attributes


def note(future, waiter, awaits):
    attributes: dict
    known: object
    if isinstance(future, Future):
        attributes = PyObject_GenericGetDict(future, cython.NULL)
        known = attributes.get(NOTED)
        if awaits and known is None:
            attributes[NOTED] = waiter
            return 0
        if known is waiter:
            if not awaits:
                del attributes[NOTED]
            return 0
        if awaits and type(known) is not set:
            known = attributes[NOTED] = {known}
    else:
        known = of_others.get(future)
        if awaits and known is None:
            known = of_others[future] = set()
    if type(known) is set:
        known.add(waiter) if awaits else known.discard(waiter)
    return 0


def knowing_ours(function, awaits: cython.bint):
    """asyncio's function, which does nothing for futures that are not its own, made to know ours."""

    def changed(fut, waiter, /):
        if isinstance(fut, Future):
            if isinstance(waiter, (Future, _FUTURE)):
                note(fut, waiter, awaits)
        elif isinstance(waiter, Future):
            if isinstance(fut, _FUTURE):
                note(fut, waiter, awaits)
        else:
            function(fut, waiter)

    return changed


def noted(future):
    """Those who were written down as awaiting the future."""
    known = future.__dict__.get(NOTED) if isinstance(future, Future) else of_others.get(future)
    if known is None:
        return ()
    return tuple(known) if type(known) is set else (known,)
