"""Flow: the inside of amap.  It begins items while there is room, and takes what becomes of each.

An item under way is a future: a task of the coroutine function, or a call of the blocking one.  A small entry waits in
it natively and tells the flow when it is done; the driver, a coroutine (amap.py), is woken once for all that ended in a
turn, and draws as many new items as there is room for.  Drawing runs the program's own code, so it stands in the
driver's task and context, never here in between.

An item is counted once on each side: `started` when it was drawn, then `running`, then `done` or `failed`; what was
cancelled because the whole was, is neither.
"""

import asyncio
import functools

import cython
from cython.cimports.clearloop.engine.core import Engine
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, Future, new_future
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import new_task
from cython.cimports.clearloop.engine.waiters import DONE
from cython.cimports.clearloop.system.capi import PyCoro_CheckExact
from cython.cimports.clearloop.system.slots import install_pool

from clearloop.offload.errors import JobLost

_create_task = cython.declare(object, Engine.create_task)


@cython.cclass
class Flow:
    """Items on their way through one function, at most `limit` at once."""

    def __init__(self, loop, func, send, items, limit, ordered, keep_errors, streams):
        self.loop = loop
        self.func = func
        self.send = send
        self.items = items
        self.limit = limit
        self.ordered = ordered
        self.keep_errors = keep_errors
        self.streams = streams
        self.under_way = {}
        self.errors = []
        if streams:
            self.finished = {}
        else:
            self.results = []
        self.native = isinstance(loop, Scheduler)
        self.own_tasks = (
            isinstance(loop, Engine)
            and type(loop).create_task is _create_task
            and "create_task" not in getattr(loop, "__dict__", ())
        )

    # ---- beginning -------------------------------------------------------------------------------------------------

    def fill(self):
        """Begin items while there is room; return whether more may come."""
        while self.items is not None and self.room():
            try:
                item = next(self.items)
            except StopIteration:
                self.items = None
                return False
            except Exception as error:
                self.items = None
                self.fail(error)
                return False
            self.launch(item)
        return self.items is not None and not self.stopped

    def room(self):
        """Whether another item may begin: `limit` run at once, and as many results may wait to be taken."""
        if self.stopped or self.running >= self.limit:
            return False
        return not self.streams or self.running + len(self.finished) < 2 * self.limit

    def start(self, item):
        """Begin one item that the driver has drawn."""
        self.launch(item)

    def launch(self, item):
        number: cython.Py_ssize_t = self.started
        self.started += 1
        self.running += 1
        if self.results is not None and self.ordered:
            self.results.append(None)
        try:
            if self.send is not None:
                future = self.send(item)
            else:
                future = self.func(item)
                if self.own_tasks and PyCoro_CheckExact(future) and cython.cast(Engine, self.loop).task_factory is None:
                    future = new_task(cython.cast(Scheduler, self.loop), future, None, None, False)
                elif asyncio.iscoroutine(future):
                    future = self.loop.create_task(future)
                else:
                    future = asyncio.ensure_future(future, loop=self.loop)
        except Exception as error:
            self.running -= 1
            self.note_error(error, number)
            self.poke()
            return 0
        self.under_way[number] = future
        self.watch(future, number)
        return 0

    def watch(self, future, number):
        if (
            self.native
            and isinstance(future, Future)
            and cython.cast(Future, future).plain
            and cython.cast(Future, future).loop is self.loop
            and cython.cast(Future, future).state == PENDING
        ):
            done: ItemDone = ItemDone.__new__(ItemDone)
            done.flow = self
            done.future = future
            done.number = number
            cython.cast(Future, future).add_waiter(done)
        else:
            future.add_done_callback(functools.partial(self._ended, number))
        return 0

    # ---- ending ----------------------------------------------------------------------------------------------------

    def _ended(self, number, future):
        self.ended(future, number)

    def ended(self, future, number):
        self.under_way.pop(number, None)
        self.running -= 1
        if isinstance(future, Future) and cython.cast(Future, future).state == RETURNED:
            self.done += 1
            self.deliver(cython.cast(Future, future).value, number)
        elif future.cancelled():
            if not self.stopped:
                error = future._make_cancelled_error()
                if self.keep_errors:
                    self.failed += 1
                    self.deliver(error, number)
                else:
                    lost = JobLost("it was cancelled, though nobody has cancelled amap")
                    lost.__cause__ = error
                    self.note_error(lost, number)
        else:
            error = future.exception()
            if error is None:
                self.done += 1
                self.deliver(future.result(), number)
            else:
                self.note_error(error, number)
        self.poke()
        return 0

    def deliver(self, outcome, number):
        if self.streams:
            self.finished[number if self.ordered else self.done + self.failed + self.started] = outcome
            self.arrived()
        elif self.ordered:
            self.results[number] = outcome
        else:
            self.results.append(outcome)
        return 0

    def note_error(self, error, number):
        self.failed += 1
        if self.keep_errors and isinstance(error, Exception):
            self.deliver(error, number)
            return 0
        if hasattr(error, "add_note"):
            error.add_note(f"amap: item {number}")
        self.fail(error)
        return 0

    def fail(self, error):
        """Something went wrong for good: all else is cancelled."""
        self.errors.append(error)
        self.stop()
        self.poke()

    def stop(self):
        """Begin nothing new, and cancel what runs."""
        self.stopped = True
        for future in list(self.under_way.values()):
            future.cancel()

    # ---- waiting ---------------------------------------------------------------------------------------------------

    def change(self):
        """What the driver awaits until something has ended or was taken since it last asked."""
        if self.news:
            self.news = False
            return DONE
        self.waker = new_future(cython.cast(Scheduler, self.loop)) if self.native else self.loop.create_future()
        return self.waker

    def poke(self):
        waker = self.waker
        if waker is None or waker.done():
            self.news = True
        else:
            self.waker = None
            waker.set_result(None)
        return 0

    def wake_all(self):
        """The driver has ended: whoever waits for results looks again."""
        self.arrived()

    def next_arrival(self):
        """What who takes results awaits, until one has come or the driver has ended."""
        if self.arrival is None or self.arrival.done():
            self.arrival = self.loop.create_future()
        return asyncio.shield(self.arrival)  # several may wait, and be cancelled each on its own

    def arrived(self):
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_result(None)
        return 0

    # ---- taking ----------------------------------------------------------------------------------------------------

    def ready(self):
        """Whether the next result is there."""
        return self.taken in self.finished if self.ordered else bool(self.finished)

    def take(self):
        """The next result; ready() has said that it is there."""
        number = self.taken if self.ordered else next(iter(self.finished))
        self.taken += 1
        outcome = self.finished.pop(number)
        self.poke()
        return outcome

    @property
    def waiting(self):
        """Results that nobody has taken yet."""
        return len(self.finished) if self.streams else 0

    def _waits_for(self):
        return self.waker


@cython.cclass
class ItemDone(Runnable):
    """Waits in the future of one item."""

    def _waits_for(self):
        return self.flow.waker

    def run(self):
        future = self.future
        self.future = None
        self.flow.ended(future, self.number)
        return 0


install_pool(ItemDone, 1024, True)
