"""amap: a function over many items, so many at once, drawn as there is room."""

import asyncio
import warnings
from asyncio import CancelledError

from clearloop.offload.errors import is_coroutine_function, place
from clearloop.offload.executor import default_executor
from clearloop.offload.flow import Flow
from clearloop.offload.progress import reporter
from clearloop.offload.run import send
from clearloop.offload.threads import ThreadPool

__all__ = ["amap"]


def amap(func, items, *, limit, executor=None, ordered=True, return_exceptions=False, progress=None):
    """Call `func(item)` for every item, at most `limit` at once.

    `func` is a coroutine function, or one that blocks: that one runs in `executor`, as run_sync has it.  `items` is any
    iterable or async iterable; an item is drawn when there is room for it, so that a million of them cost the memory of
    `limit`.

    `await amap(…)` gives the list of results, in the order of the items, or with `ordered=False` in the order in which
    they were done.  `async with amap(…) as results: async for result in results` streams them, in the same two orders,
    while at most `limit` run and no more than twice `limit` were drawn and not taken yet: who takes slowly is not
    overrun.  Leaving the block early cancels the rest.

    The first error cancels what runs and draws no more; when all has ended, it arrives in an ExceptionGroup, as from a
    TaskGroup, with the item's number as a note.  With `return_exceptions` errors stand among the results instead.
    Nothing runs on when amap has returned, however it returns; a blocking function that runs cannot be stopped and is
    waited for.

    `progress=True`, or a description, shows a bar with rate and time left on a terminal (with the package rich), plain
    lines where stderr is none; a callable is given the counts (done, failed, running, total; total is None when `items`
    has no len) whenever they have changed.

    Raises TypeError for an `executor` with a coroutine function, ValueError for a limit below 1.
    """
    return _Map(func, items, limit, executor, ordered, return_exceptions, progress)


class _Map:
    """What amap returns: to be awaited or entered, once."""

    def __init__(self, func, items, limit, executor, ordered, return_exceptions, progress):
        if not isinstance(limit, int):
            raise TypeError(f"limit must be an int, not {limit!r}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        if not callable(func):
            raise TypeError(f"a function was expected, got {func!r}")
        self._blocking = not is_coroutine_function(func)
        if executor is not None and not self._blocking:
            raise TypeError(f"{place(func)} is a coroutine function, which no executor can run")
        if hasattr(items, "__aiter__"):
            self._awaited = True
        elif hasattr(items, "__iter__") or hasattr(items, "__getitem__"):
            self._awaited = False
        else:
            raise TypeError(f"items must be an iterable or an async iterable, not {items!r}")
        self._func, self._items, self._limit = func, items, limit
        self._executor, self._ordered, self._keep, self._progress = executor, ordered, return_exceptions, progress
        self._flow = self._driver = self._report = None
        self._told = False

    def __del__(self):
        if getattr(self, "_flow", self) is None:
            warnings.warn(f"amap({place(self._func)}, …) was never awaited", RuntimeWarning, stacklevel=2)

    def _begin(self, streams):
        if self._flow is not None:
            raise RuntimeError("an amap can be awaited or entered only once")
        loop = asyncio.get_running_loop()
        iterator = None if self._awaited else iter(self._items)
        sender = self._sender(loop) if self._blocking else None
        self._flow = Flow(loop, self._func, sender, iterator, self._limit, self._ordered, self._keep, streams)
        self._iterator = iterator
        try:
            total = len(self._items)
        except TypeError:
            total = None
        self._report = reporter(self._progress, total)
        return self._flow

    def _sender(self, loop):
        func, executor = self._func, self._executor
        if executor is None:
            executor = default_executor(loop)
        if type(executor) is ThreadPool:
            return lambda item: executor.send(loop, func, (item,), True)
        return lambda item: send(loop, func, (item,), executor, True)

    # ---- all of it -------------------------------------------------------------------------------------------------

    def __await__(self):
        return self._collect().__await__()

    async def _collect(self):
        flow = self._begin(False)
        if self._awaited:  # an error has to end the wait for the next item: that takes a task of its own
            self._driver = asyncio.get_running_loop().create_task(self._drive())
            cancelled = await _ended(self._driver, flow)
            if cancelled is None and self._driver.cancelled():
                self._driver.result()
            error = None if self._driver.cancelled() else self._driver.exception()
            if error is not None:
                raise error
        else:
            cancelled = await self._drive()
        _raise(flow, cancelled)
        return flow.results

    async def _drive(self):
        """Begin items as there is room until all have ended; return the cancellation that came meanwhile, if any."""
        flow, report, cancelled = self._flow, self._report, None
        try:
            if self._awaited:
                await self._draw(flow)
            else:
                while flow.fill():
                    await flow.change()
                    if report is not None:
                        report(flow)
            while flow.running:
                await flow.change()
                if report is not None:
                    report(flow)
        except GeneratorExit:
            flow.stop()
            raise
        except CancelledError as error:
            cancelled = error
            flow.stop()
        except Exception as error:
            flow.fail(error)
        while flow.running:
            try:
                await flow.change()
            except CancelledError as error:
                cancelled = cancelled or error
        self._close_iterator()
        if report is not None:
            report.end(flow)
        if self._driver is not None:
            flow.wake_all()
        return cancelled

    async def _draw(self, flow):
        iterator = aiter(self._items)
        try:
            while not flow.stopped:
                while not flow.room() and not flow.stopped:
                    await flow.change()
                    if self._report is not None:
                        self._report(flow)
                if flow.stopped:
                    return
                item = await self._next(flow, iterator)
                if item is _END:
                    return
                flow.start(item)
        finally:
            if iterator is not self._items and hasattr(iterator, "aclose"):
                await iterator.aclose()

    async def _next(self, flow, iterator):
        """The next item, unless an error comes first."""
        step = asyncio.ensure_future(_one(iterator))
        try:
            while not step.done():
                change = flow.change()
                if hasattr(change, "add_done_callback"):
                    await asyncio.wait([step, change], return_when=asyncio.FIRST_COMPLETED)
                if self._report is not None:
                    self._report(flow)
                if flow.stopped and not step.done():
                    return _END
            return step.result()
        finally:
            if not step.done():
                step.cancel()
                while not step.done():
                    await asyncio.wait([step])
                if not step.cancelled() and step.exception() is not None:
                    flow.errors.append(step.exception())

    def _close_iterator(self):
        iterator, self._iterator = self._iterator, None
        if iterator is not None and iterator is not self._items and hasattr(iterator, "close"):
            iterator.close()

    # ---- one by one ------------------------------------------------------------------------------------------------

    async def __aenter__(self):
        self._begin(True)
        self._driver = asyncio.get_running_loop().create_task(self._drive())
        return self

    def __aiter__(self):
        if self._driver is None:
            raise RuntimeError("results are streamed by: async with amap(…) as results: async for … in results")
        return self

    async def __anext__(self):
        flow = self._flow
        while True:
            if flow.errors:
                await _ended(self._driver, flow)
                if self._told:
                    raise StopAsyncIteration
                self._told = True
                _raise(flow, None)
            if flow.ready():
                return flow.take()
            if self._driver.done():
                raise StopAsyncIteration
            await flow.next_arrival()

    async def __aexit__(self, kind, error, traceback):
        flow = self._flow
        if not self._driver.done():
            flow.stop()
            self._driver.cancel()
        cancelled = await _ended(self._driver, flow)
        if self._told or not flow.errors:
            if cancelled is not None:
                raise cancelled
            return False
        if error is not None and not isinstance(error, CancelledError):
            flow.errors.insert(0, error)
        _raise(flow, cancelled or error)


_END = object()


async def _one(iterator):
    try:
        return await anext(iterator)
    except StopAsyncIteration:
        return _END


async def _ended(driver, flow):
    """Wait for the driver's end, whatever comes; return the cancellation that came meanwhile."""
    cancelled = None
    while not driver.done():
        try:
            await asyncio.wait([driver])
        except CancelledError as error:
            cancelled = error
            flow.stop()
            driver.cancel()
    return cancelled


def _raise(flow, cancelled):
    """What a TaskGroup would raise in the same case, if anything."""
    if flow.errors:
        errors, task = list(flow.errors), asyncio.current_task()
        for error in errors:
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise error
        if cancelled is not None and task is not None and task.cancelling():
            task.uncancel()
            task.cancel()
        try:
            raise BaseExceptionGroup("unhandled errors in amap", errors) from None
        finally:
            del errors
    if cancelled is not None:
        raise cancelled
