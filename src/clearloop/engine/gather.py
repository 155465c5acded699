"""gather: one future for many, with results in the order given.

A native child gets a small Runnable as its waiter, which the ready queue runs one turn after the child is done, as
asyncio's done-callback would: no handle, no context, no bound method per child.  Everything else gets `_child_done` as
an ordinary done-callback.
"""

import asyncio
from asyncio import events, exceptions, format_helpers

import cython
from cython.cimports.clearloop.engine.core import Engine
from cython.cimports.clearloop.engine.future import CANCELLED, PENDING, RETURNED, Future
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import Task, new_task
from cython.cimports.clearloop.system.capi import PyCoro_CheckExact

_CancelledError = cython.declare(object, exceptions.CancelledError)
_running_loop = cython.declare(object, events._get_running_loop)
_ensure_future = cython.declare(object, asyncio.ensure_future)
_isfuture = cython.declare(object, asyncio.isfuture)
_create_task = cython.declare(object, Engine.create_task)


@cython.cclass
class _GatheringFuture(Future):
    """What gather() returns; named as asyncio's is, since the name stands in its messages."""

    def cancel(self, msg=None):
        """Cancel every child; the outer future is done when they are."""
        if self.state != PENDING:
            return False
        cancelled: cython.bint = False
        reached: cython.bint = False
        for child in self.children:
            reached = child.cancel(msg=msg)
            if reached:
                cancelled = True
        if cancelled:
            self.cancel_requested = True
            if reached:
                self.cancel_message = msg  # the last child's is what asyncio hands on
        return bool(cancelled)

    def watch_all(self, awaitables, made, own):
        """Make tasks of the coroutines and wait in every child; return those that are done already, or None."""
        done: list = None
        loop = self.loop
        for awaitable in awaitables:
            if made is not None and awaitable in made:
                self.children.append(made[awaitable])
                continue
            if own and PyCoro_CheckExact(awaitable):
                task: Task = new_task(cython.cast(Scheduler, loop), awaitable, None, None, False)
                task.log_destroy_pending = False
                child = task
            else:
                child = future_for(awaitable, loop)
                if loop is None:
                    loop = self.loop = future_loop(child)
                if child is not awaitable:
                    child._log_destroy_pending = False
            if made is not None:
                made[awaitable] = child
            self.children.append(child)
            self.left += 1
            if child.done():
                if done is None:
                    done = []
                done.append(child)
            else:
                self.watch(child)
        return done

    def watch(self, child):
        if waits_natively(child, self.loop):
            done: ChildDone = ChildDone.__new__(ChildDone)
            done.outer = self
            done.child = child
            cython.cast(Future, child).add_waiter(done)
        else:
            child.add_done_callback(self._child_done)
        return 0

    def _child_done(self, child):
        self.child_done(child)

    def child_done(self, child):
        self.left -= 1
        if self.state != PENDING:
            if not child.cancelled():
                child.exception()  # fetched: the outer future has told of the first one already
            return 0
        if not self.keep_errors:
            if isinstance(child, Future) and cython.cast(Future, child).state == RETURNED:
                pass
            elif child.cancelled():
                self.fail(child._make_cancelled_error())
                return 0
            else:
                error = child.exception()
                if error is not None:
                    self.fail(error)
                    return 0
        if self.left == 0:
            self.finish()
        return 0

    def finish(self):
        results: list = []
        child: object = None
        for child in self.children:
            if isinstance(child, Future) and cython.cast(Future, child).plain:
                if cython.cast(Future, child).state == RETURNED:
                    results.append(cython.cast(Future, child).value)
                    continue
            if child.cancelled():
                message = child._cancel_message
                results.append(_CancelledError("" if message is None else message))
                continue
            error = child.exception()
            results.append(child.result() if error is None else error)
        if self.cancel_requested:
            # the children may have ended otherwise; who cancelled the outer future still gets a cancellation
            self.fail(child._make_cancelled_error())  # with the message that the last child remembers
        else:
            self.settle(RETURNED, results)
        return 0


@cython.cclass
class ChildDone(Runnable):
    """Waits in one child."""

    def _waits_for(self):
        return self.outer

    def run(self):
        self.outer.child_done(self.child)
        return 0


def waits_natively(future, loop):
    """Whether a Runnable may wait in the future: it is one of ours, on our loop, with no Python in between."""
    return (
        isinstance(future, Future)
        and cython.cast(Future, future).plain
        and cython.cast(Future, future).native
        and cython.cast(Future, future).loop is loop
    )


@cython.cfunc
def loop_for_new() -> object:
    from clearloop.runners import get_loop_for_new  # later: the loop that it makes needs this module

    return get_loop_for_new()


def future_for(awaitable, loop):
    """asyncio.ensure_future; without a loop, a future brings its own and a coroutine gets the thread's."""
    if loop is None and not _isfuture(awaitable):
        loop = loop_for_new()
    return _ensure_future(awaitable, loop=loop)


@cython.cfunc
def future_loop(future: object) -> object:
    return cython.cast(Future, future).loop if isinstance(future, Future) else future.get_loop()


@cython.cfunc
@cython.exceptval(-1, check=True)
def makes_own_tasks(loop: object) -> cython.bint:
    """Whether loop.create_task(coro) is just a new native task."""
    if not isinstance(loop, Engine) or cython.cast(Engine, loop).task_factory is not None:
        return False
    if cython.cast(Scheduler, loop).debug or cython.cast(Scheduler, loop).closed:
        return False
    return type(loop).create_task is _create_task and "create_task" not in getattr(loop, "__dict__", ())


def futures_for(awaitables, loop):
    """A future for each different awaitable, in the order given; coroutines become tasks."""
    own: cython.bint = makes_own_tasks(loop)
    found: list = []
    for awaitable in dict.fromkeys(awaitables):
        if own and PyCoro_CheckExact(awaitable):
            found.append(new_task(cython.cast(Scheduler, loop), awaitable, None, None, False))
        elif isinstance(awaitable, Future) or _isfuture(awaitable):
            found.append(awaitable)
        else:
            found.append(future_for(awaitable, loop))
    return found


def gather(*coros_or_futures, return_exceptions=False):
    """Run awaitables concurrently and return a future of the list of their results, in the order given.

    Coroutines become tasks.  The first exception becomes the outer future's at once, the others run on; with
    `return_exceptions` exceptions stand among the results instead.  Cancelling the outer future cancels all children.
    Raises ValueError for futures of different loops, TypeError for what cannot be awaited.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.gather
    """
    awaitables: tuple = coros_or_futures
    loop = _running_loop()
    if not awaitables:
        if loop is None:
            loop = loop_for_new()
        empty = loop.create_future()
        empty.set_result([])
        return empty
    own: cython.bint = makes_own_tasks(loop)
    made: dict = None if len(set(awaitables)) == len(awaitables) else {}
    outer: _GatheringFuture = _GatheringFuture.__new__(_GatheringFuture)
    outer.plain = True
    outer.keep_errors = bool(return_exceptions)
    outer.children = []
    outer.loop = loop
    try:
        done: list = outer.watch_all(awaitables, made, own)
    except BaseException:
        outer.state = CANCELLED  # so that the children that run already have whom to report to
        raise
    outer.native = isinstance(outer.loop, Scheduler)
    if outer.loop.get_debug():
        outer.note_origin(format_helpers.extract_stack())
    if done is not None:
        for child in done:
            outer.child_done(child)
    return outer
