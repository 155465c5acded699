"""Who waits for a future: what asyncio's call graph (asyncio.print_call_graph, from Python 3.14) asks.

asyncio writes it down at every await.  Here it is read from the future's own list of waiters when somebody asks, so
that an await costs nothing.  Who waits by way of another future (gather, wait, shield) is found behind that one.
"""

import asyncio


def awaited_by(waiters):
    """The tasks behind a future's waiters, or None."""
    return frozenset(task for waiter in waiters for task in _tasks(waiter)) or None


def _tasks(waiter):
    if type(waiter) is tuple:  # a callback: of what object?
        waiter = getattr(waiter[0], "__self__", None)
    if isinstance(waiter, asyncio.Task):
        return [waiter]
    if isinstance(waiter, asyncio.TaskGroup):
        return [waiter._parent_task]
    if isinstance(waiter, asyncio.Future):  # it counts its children by a method of its own
        return waiter._asyncio_awaited_by or []
    waits_for = getattr(waiter, "_waits_for", None)
    return (waits_for()._asyncio_awaited_by or []) if waits_for is not None else []
