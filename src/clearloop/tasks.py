"""sleep and ensure_future: what a program calls most, as plain coroutine functions over the compiled engine."""

import asyncio
import inspect

from clearloop.engine.sleep import Switch, sleep_for
from clearloop.through import fallback

__all__ = ["ensure_future", "sleep"]

__getattr__ = fallback(__name__)


async def sleep(delay, result=None):
    """Wait for `delay` seconds and return `result`; zero or less gives every ready callback its turn.

    Raises ValueError for NaN.  https://docs.python.org/3/library/asyncio-task.html#asyncio.sleep
    """
    if delay <= 0:
        await Switch()
        return result
    if delay != delay:
        raise ValueError("Invalid delay: NaN (not a number)")
    return await sleep_for(delay, result)


def ensure_future(coro_or_future, *, loop=None):
    """Return a future as it is, and a task for a coroutine or an awaitable.

    Without a running loop and without `loop`, the task belongs to the loop of `clearloop.get_event_loop()`.  Raises
    TypeError for anything that cannot be awaited, and ValueError for a future of another loop.
    https://docs.python.org/3/library/asyncio-future.html#asyncio.ensure_future
    """
    if asyncio.isfuture(coro_or_future):
        if loop is not None and loop is not coro_or_future.get_loop():
            raise ValueError("The future belongs to a different loop than the one specified as the loop argument")
        return coro_or_future
    if not asyncio.iscoroutine(coro_or_future):
        if not inspect.isawaitable(coro_or_future):
            raise TypeError("An asyncio.Future, a coroutine or an awaitable is required")
        coro_or_future = _await(coro_or_future)
    if loop is None:
        from clearloop.runners import get_event_loop

        loop = get_event_loop()
    return loop.create_task(coro_or_future)


async def _await(awaitable):
    return await awaitable
