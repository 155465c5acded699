"""Writing down who awaits a future, for asyncio's call graph (call_graph.py) from Python 3.14.

asyncio's gather, shield, wait and task groups do so for each child, and take it back when the child is done: twice for
each task.  So it must cost next to nothing.  A pending future of ours keeps it in `error_detail`, which has no other
use before it is done: the one who awaits it, or a set once there are several.  A future that is done is awaited by
nobody.
"""

import asyncio
import weakref

import cython
from cython.cimports.clearloop.engine.future import PENDING, Future

_FUTURE = asyncio.Future
# asyncio's own functions, which do nothing for futures that are not its own; there are none before Python 3.14
_add = getattr(asyncio, "future_add_to_awaited_by", None)
_discard = getattr(asyncio, "future_discard_from_awaited_by", None)

of_others = weakref.WeakKeyDictionary()  # the same for futures of asyncio's, which take no attributes


def add(fut, waiter, /):
    """asyncio.future_add_to_awaited_by, for futures of any make: `fut` is awaited by `waiter`."""
    ours: Future
    if isinstance(fut, Future):
        ours = cython.cast(Future, fut)
        if ours.state == PENDING and (isinstance(waiter, Future) or isinstance(waiter, _FUTURE)):
            if ours.error_detail is None:
                ours.error_detail = waiter
            elif ours.error_detail is not waiter:
                add_another(ours, waiter)
    elif not isinstance(waiter, Future):
        _add(fut, waiter)
    elif isinstance(fut, _FUTURE):
        of_others.setdefault(fut, set()).add(waiter)


def add_another(future, waiter):
    if type(future.error_detail) is set:
        cython.cast(set, future.error_detail).add(waiter)
    else:
        future.error_detail = {future.error_detail, waiter}
    return 0


def discard(fut, waiter, /):
    """asyncio.future_discard_from_awaited_by, likewise: `waiter` awaits `fut` no more."""
    ours: Future
    if isinstance(fut, Future):
        ours = cython.cast(Future, fut)
        if ours.state == PENDING:
            if ours.error_detail is waiter:
                ours.error_detail = None
            elif type(ours.error_detail) is set:
                cython.cast(set, ours.error_detail).discard(waiter)
    elif not isinstance(waiter, Future):
        _discard(fut, waiter)
    elif isinstance(fut, _FUTURE):
        of_others.get(fut, set()).discard(waiter)


def noted(future):
    """Those who were written down as awaiting the future."""
    known: object
    if isinstance(future, Future):
        known = cython.cast(Future, future).error_detail if cython.cast(Future, future).state == PENDING else None
    else:
        known = of_others.get(future)
    if known is None:
        return ()
    return tuple(known) if type(known) is set else (known,)
