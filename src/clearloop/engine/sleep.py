"""Waiting for time: the awaitable behind sleep(0), and a future that stands in the timer heap itself."""

from asyncio import events

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, Future, future_may_die_silently
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.timers import nanoseconds
from cython.cimports.clearloop.system.capi import (
    PYGEN_NEXT,
    PYGEN_RETURN,
    Py_INCREF_raw,
    install_send,
)
from cython.cimports.clearloop.system.slots import install_guard, install_pool
from cython.cimports.cpython.ref import PyObject

_running_loop = cython.declare(object, events.get_running_loop)


@cython.freelist(64)
@cython.cclass
class Switch:
    """`await Switch()` gives every other ready callback its turn."""

    def __await__(self):
        return self

    def __next__(self):
        raise SystemError("replaced by send_to_switch")


def send_to_switch(switch, value, result):
    result[0] = cython.cast(cython.pointer(PyObject), None)
    Py_INCREF_raw(result[0])
    if cython.cast(Switch, switch).yielded:
        return PYGEN_RETURN
    cython.cast(Switch, switch).yielded = True
    return PYGEN_NEXT


@cython.cclass
class SleepFuture(Future):
    """Done when its deadline has come; no handle, no callback in between.

    While it sleeps the timer heap holds it, when it ends it lets go of its waiter: no cycle survives through it, and
    the garbage collector need not look at 100 000 of them again and again (its pool is an untracked one).
    """

    def run(self):
        if self.state == PENDING:
            self.settle(RETURNED, self.answer)
        return 0

    def forget(self):
        self.waiter = None
        return 0

    def cancel(self, msg=None):
        """Cancel the sleep and take it out of the timer heap."""
        if self.state != PENDING:
            return False
        self.check_initialized()
        self.cancel_now(msg)
        cython.cast(Scheduler, self.loop).timers.discard(self)  # last: it may run what other cancelled timers leave
        return True


def sleep_for(delay: cython.double, answer):
    """An awaitable that is done after `delay` seconds, with the result `answer`."""
    loop = _running_loop()
    if not isinstance(loop, Scheduler):
        return foreign_sleep(loop, delay, answer)
    native: Scheduler = loop
    future: SleepFuture = SleepFuture.__new__(SleepFuture)
    future.loop = native
    future.native = True
    future.plain = True
    future.answer = answer
    native.timers.push(nanoseconds(native.seconds() + delay), future)
    return future


def foreign_sleep(loop, delay, answer):
    future = loop.create_future()
    handle = loop.call_later(delay, settle_later, future, answer)
    future.add_done_callback(lambda done: handle.cancel())
    return future


def settle_later(future, answer):
    if not future.done():
        future.set_result(answer)


install_guard(SleepFuture, future_may_die_silently)
install_pool(SleepFuture, 4096, False)
install_send(Switch, send_to_switch)
