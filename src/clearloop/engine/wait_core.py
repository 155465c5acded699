"""What wait() waits for: a future that opens when enough of the others are done, or when time is up."""

import asyncio

import cython
from cython.cimports.clearloop.engine.future import PENDING, RAISED, RETURNED, Future
from cython.cimports.clearloop.engine.gather import waits_natively
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler

_FIRST_COMPLETED = cython.declare(object, asyncio.FIRST_COMPLETED)
_FIRST_EXCEPTION = cython.declare(object, asyncio.FIRST_EXCEPTION)


@cython.cclass
class Gate(Future):
    """Opens when the children have arrived that `return_when` names, or after `timeout` seconds."""

    def begin(self, loop, children, timeout, return_when):
        self.loop = loop
        self.native = isinstance(loop, Scheduler)
        self.plain = True
        self.children = children
        self.on_first = return_when == _FIRST_COMPLETED
        self.on_error = return_when == _FIRST_EXCEPTION
        self.left = len(children)
        self.arrivals = []
        if timeout is not None:
            self.alarm = loop.call_later(timeout, self._open)
        for child in children:
            self.watch(child)
        return 0

    def watch(self, child):
        if waits_natively(child, self.loop):
            arrival: Arrival = Arrival.__new__(Arrival)
            arrival.gate = self
            arrival.child = child
            if cython.cast(Future, child).state == PENDING:
                cython.cast(Future, child).add_waiter(arrival)
            else:
                ring_push(cython.address(cython.cast(Scheduler, self.loop).ready), arrival)
            self.arrivals.append(arrival)
        else:
            child.add_done_callback(self._arrived)
            self.arrivals.append(child)
        return 0

    def _arrived(self, child):
        self.arrived(child)

    def arrived(self, child):
        self.left -= 1
        if self.state != PENDING:
            return 0
        if self.left <= 0 or self.on_first or (self.on_error and failed(child)):
            self._open()
        return 0

    def _open(self):
        self.disarm()
        if self.state == PENDING:
            self.settle(RETURNED, None)

    def disarm(self):
        alarm = self.alarm
        self.alarm = None
        if alarm is not None:
            alarm.cancel()

    def leave(self):
        """The wait is over: take out what still waits in the children, and tell the done from the pending."""
        self.disarm()
        arrivals = self.arrivals
        self.arrivals = []
        for entry in arrivals:
            if isinstance(entry, Arrival):
                if cython.cast(Arrival, entry).child.state == PENDING:
                    cython.cast(Arrival, entry).child.discard_waiter(entry)
            else:
                entry.remove_done_callback(self._arrived)
        done: set = set()
        pending: set = set()
        for child in self.children:
            if child.done():
                done.add(child)
            else:
                pending.add(child)
        return done, pending


def gate(loop, children, timeout, return_when):
    """A gate that waits in every one of `children`, a list of different futures."""
    opening: Gate = Gate.__new__(Gate)
    opening.begin(loop, children, timeout, return_when)
    return opening


@cython.cfunc
@cython.exceptval(-1, check=True)
def failed(child: object) -> cython.bint:
    if isinstance(child, Future) and cython.cast(Future, child).plain:
        if cython.cast(Future, child).state != RAISED:
            return False
        cython.cast(Future, child).log_traceback = False  # looked at, as asyncio counts it
        return True
    return not child.cancelled() and child.exception() is not None


@cython.cclass
class Arrival(Runnable):
    """Waits in one child."""

    def _waits_for(self):
        return self.gate

    def run(self):
        self.gate.arrived(self.child)
        return 0
