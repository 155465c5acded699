"""Who waits for a future: what asyncio's call graph (asyncio.print_call_graph, from Python 3.14) asks.

asyncio writes it down at every await.  Here it is read from the future's own list of waiters when somebody asks, so
that an await costs nothing.  Who waits by way of another future (gather, wait, shield) is found behind that one.

What no list shows is written down: asyncio's own gather, wait and their kin say for whom they wait by
`asyncio.future_add_to_awaited_by`, which knows only futures of asyncio's.  From 3.14 it is replaced by one that knows
ours too, and so is the function that asyncio's graph is built by, for a task of ours that awaits a future of asyncio's.
"""

import asyncio
import functools

from clearloop.engine import awaited_by as writing


def awaited_by(future, waiters):
    """Who awaits a future of ours: its `waiters`, and who was written down; None when nobody does."""
    found = {task for waiter in waiters for task in _tasks(future, waiter)}
    found.update(_noted(future))
    return frozenset(found) or None


def _tasks(future, waiter):
    """The tasks that await `future` by way of one who waits in it."""
    if type(waiter) is tuple:  # a callback: of what object?
        waiter = getattr(waiter[0], "__self__", None)
    if isinstance(waiter, asyncio.Task):
        return [waiter]
    if isinstance(waiter, asyncio.TaskGroup):
        return [waiter._parent_task]
    if isinstance(waiter, asyncio.Future):  # it counts its children by a method of its own
        return _awaiting(waiter)
    waits_for = getattr(waiter, "_waits_for", None)
    behind = waits_for() if waits_for is not None else future
    return _awaiting(behind) if behind is not future else []


def _awaiting(future):
    """Who awaits a future of any make."""
    found = set(getattr(future, "_asyncio_awaited_by", None) or ())
    if not isinstance(future, _ours()):
        found.update(_noted(future))
        for entry in getattr(future, "_callbacks", None) or ():
            waiter = getattr(entry[0], "__self__", None)
            if isinstance(waiter, _ours()) and waiter is not future:
                found.update(_tasks(future, waiter))
    return found


@functools.cache
def _ours():
    from clearloop.engine.future import Future  # later: it imports this module

    return Future


def _noted(future):
    """Who was written down as awaiting a future."""
    return [waiter for waiter in writing.noted(future) if not waiter.done()]


# ---- asyncio's functions, from 3.14 ----------------------------------------------------------------------------------


def _build(future, *, limit=None):
    """asyncio.graph's description of one future: the frames of its coroutine, innermost first, and who awaits it."""
    if not isinstance(future, asyncio.Future):
        raise TypeError(f"{future!r} object does not appear to be compatible with asyncio.Future")
    frames = []
    get_coro = getattr(future, "get_coro", None)
    step = get_coro() if get_coro is not None and limit != 0 else None
    while step is not None:
        if hasattr(step, "cr_await"):
            frame, step = step.cr_frame, step.cr_await
        elif hasattr(step, "ag_await"):
            frame, step = step.ag_frame, step.ag_await
        else:
            break
        if frame is not None:
            frames.append(asyncio.FrameCallGraphEntry(frame))
    if limit:
        frames = frames[:limit] if limit > 0 else frames[limit:]
    parents = tuple(_build(parent, limit=limit) for parent in _awaiting(future))
    return asyncio.FutureCallGraph(future, tuple(reversed(frames)), parents)


def _teach_asyncio():
    graph = getattr(asyncio, "graph", None)
    if graph is None or not hasattr(graph, "_build_graph_for_future"):
        return
    names = {"future_add_to_awaited_by": writing.add, "future_discard_from_awaited_by": writing.discard}
    for name, changed in names.items():
        for place, known_as in ((asyncio, name), (asyncio.futures, name), (asyncio.futures, f"_c_{name}")):
            setattr(place, known_as, changed)
    graph._build_graph_for_future = _build


_teach_asyncio()
