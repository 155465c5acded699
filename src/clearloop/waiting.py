"""wait, wait_for and as_completed, as asyncio's newest release documents them, on every Python from 3.11."""

import asyncio
import inspect
from asyncio import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError

import clearloop
from clearloop.engine.gather import futures_for
from clearloop.engine.timeout_core import timeout as _timeout
from clearloop.engine.wait_core import gate
from clearloop.queues import Queue

__all__ = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "as_completed", "wait", "wait_for"]


async def wait(fs, *, timeout=None, return_when=ALL_COMPLETED):
    """Wait for futures, and for coroutines, each of which becomes a task in the order given.

    Returns two sets, of those that are done and those that are not, when all are done, after `timeout` seconds, or when
    the first is done or has failed (`return_when`).  Raises TypeError for what is no iterable of awaitables and
    ValueError for none at all.  https://docs.python.org/3/library/asyncio-task.html#asyncio.wait
    """
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"expect a list of futures, not {type(fs).__name__}")
    if not fs:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(f"Invalid return_when value: {return_when}")
    loop = asyncio.get_running_loop()
    futures = futures_for(fs, loop)
    if not futures:
        raise ValueError("Set of Tasks/Futures is empty.")
    opening = gate(loop, futures, timeout, return_when)
    try:
        await opening
    finally:
        outcome = opening.leave()
    return outcome


async def wait_for(fut, timeout):
    """Wait for an awaitable, but not longer than `timeout` seconds (None: without end), and return its result.

    When time is up it is cancelled and TimeoutError raised; a `timeout` of zero or less raises at once unless the
    awaitable is done already.  https://docs.python.org/3/library/asyncio-task.html#asyncio.wait_for
    """
    if timeout is not None and timeout <= 0:
        return await _at_once(asyncio.ensure_future(fut))
    limit = _timeout(timeout)
    limit._enter()
    try:
        result = await fut
    except BaseException as error:
        limit._leave(error)
        raise
    limit._leave(None)
    return result


async def _at_once(future):
    """The result of a future that has no time left."""
    if future.done():
        return future.result()
    end = _End(asyncio.get_running_loop().create_future())
    future.add_done_callback(end.has_come)
    try:
        future.cancel()
        await end.ended  # not the future itself: this wait can be cancelled on its own
    finally:
        future.remove_done_callback(end.has_come)
    try:
        return future.result()
    except CancelledError as error:
        raise TimeoutError from error


class _End:
    """Somebody waits for a future's end without awaiting the future."""

    def __init__(self, ended):
        self.ended = ended

    def has_come(self, _):
        if not self.ended.done():
            self.ended.set_result(None)

    def _waits_for(self):
        return self.ended


class _AsCompleted:
    """Both kinds of iterator: `async for` gives the futures as they are done, `for` gives coroutines of results."""

    def __init__(self, awaitables, timeout):
        loop = clearloop.get_event_loop()
        self._done = Queue()
        self._alarm = None
        self._todo = dict.fromkeys(futures_for(awaitables, loop))
        for future in self._todo:
            if future.get_loop() is not loop:
                raise ValueError("The future belongs to a different loop than the one that runs as_completed")
        self._left = len(self._todo)
        self._asker = asyncio.current_task() if asyncio._get_running_loop() is not None else None
        for future in self._todo:
            future.add_done_callback(self._future_done)
        if self._todo and timeout is not None:
            self._alarm = loop.call_later(timeout, self._time_is_up)

    def __aiter__(self):
        return self

    def __iter__(self):
        return self

    async def __anext__(self):
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._next_future()

    def __next__(self):
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._next_result()

    async def _next_future(self):
        future = await self._done.get()
        if future is None:
            raise TimeoutError
        return future

    async def _next_result(self):
        future = await self._done.get()
        if future is None:
            raise TimeoutError
        return future.result()

    def _waits_for(self):  # what the call graph asks: who will take the results
        return self

    @property
    def _asyncio_awaited_by(self):
        return None if self._asker is None or self._asker.done() else {self._asker}

    def _future_done(self, future):
        if self._todo:  # else the time was up first
            del self._todo[future]
            self._done.put_nowait(future)
            if not self._todo and self._alarm is not None:
                self._alarm.cancel()

    def _time_is_up(self):
        for future in self._todo:
            future.remove_done_callback(self._future_done)
            self._done.put_nowait(None)
        self._todo.clear()


def as_completed(fs, *, timeout=None):
    """Iterate over awaitables in the order in which they are done, with `async for` or with `for`.

    `async for` gives the futures themselves, `for` gives coroutines of the next result.  Coroutines become tasks, in
    the order given.  What is not done after `timeout` seconds raises TimeoutError.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.as_completed
    """
    if inspect.isawaitable(fs):
        raise TypeError(f"expects an iterable of awaitables, not {type(fs).__name__}")
    return _AsCompleted(fs, timeout)
