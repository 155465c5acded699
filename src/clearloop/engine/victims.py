"""Who had to wait: computed once, at the end of a step that the watchdog has marked as slow.

    callbacks and tasks   those that stood in the ready ring.  The watchdog notes, each time it looks, how far the ring
                          reached; an entry waits since the look that saw it first, one that the first look saw, since
                          the block began
    timers                those that came due before the block ended: since their deadline, to the nanosecond, or since
                          the block began
    descriptors           those that a poll right after the block reports: at most since the look at which the first of
                          them was ready, since the kernel does not say when each one was

Entries that nobody saw in the ring were put there by the end of the block itself: they have not waited.
"""

import cython
from cython.cimports.clearloop.engine.future import RETURNED, Future
from cython.cimports.clearloop.engine.gather import ChildDone
from cython.cimports.clearloop.engine.names import task_behind
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import Task
from cython.cimports.clearloop.engine.timers import Timers
from cython.cimports.clearloop.engine.wait_core import Arrival
from cython.cimports.clearloop.system.probe import SLOW_TURN
from cython.cimports.clearloop.system.watchdog import events_since, facts_of, hand_over, ready_since, stretch_ends
from cython.cimports.libc.stdint import int64_t, uint64_t

from clearloop.engine.names import describe

MOST = cython.declare(cython.Py_ssize_t, 100)  # in the record
POLLS = cython.declare(cython.int, 16)


def describe_stall(loop: Scheduler, entry, kind: cython.int, remaining: cython.size_t, after_poll: cython.bint):
    """A slow stretch (`kind`: SLOW_STEP or SLOW_TURN) has ended: say who waited, and hand it to the watchdog.

    `remaining` entries of this batch were ready before it began.
    """
    facts: tuple = facts_of(loop.probe)
    now: int64_t = facts[0]
    began: int64_t = facts[4] if kind == SLOW_TURN else facts[2]
    victims: list = []
    count: cython.Py_ssize_t = ready_ones(loop, victims, now, began, remaining, after_poll)
    count += due_ones(loop, victims, now, began)
    if not after_poll and loop.thread_id != 0 and not loop.closed:
        count += descriptors(loop, victims, now, began)
    victims.sort(key=longest_first)
    del victims[MOST:]
    task, callback = describe(entry) if entry is not None else (None, None)
    number: cython.uint = 0
    ran = task_behind(entry) if entry is not None else None
    if isinstance(ran, Task):
        number = cython.cast(Task, ran).number()
    hand_over((loop.probe.number, kind, facts, task, callback, number, count, victims))
    stretch_ends(loop.probe)


def longest_first(victim):
    return -victim[2]


@cython.cfunc
@cython.exceptval(-1)
def ready_ones(
    loop: Scheduler, victims: list, now: int64_t, began: int64_t, remaining: cython.size_t, after_poll: cython.bint
) -> cython.Py_ssize_t:
    count: cython.Py_ssize_t = 0
    place: uint64_t = loop.ready.head
    end: uint64_t = loop.ready.tail
    since: int64_t
    arrived: dict = {}
    while place < end:
        since = ready_since(loop.probe, place, began)
        if since < 0 and (after_poll or place - loop.ready.head < remaining):
            since = began
        entry = cython.cast(object, loop.ready.items[place & loop.ready.mask])
        place += 1
        if since < 0 or cython.cast(Runnable, entry).dead or not leads_on(entry, arrived):
            continue
        count += 1
        # names cost: beyond the hundred, only the number counts.  The ring is in order: the first waited longest
        if count <= MOST:
            task, callback = describe(entry)
            victims.append((task, callback, now - since))
    return count


@cython.cfunc
@cython.exceptval(-1)
def leads_on(entry, arrived: dict) -> cython.bint:
    """Whether anybody could have gone on when the entry had run: of gather() and wait(), the last child's word alone.

    `arrived` counts the others that stand in the ring.
    """
    whole: object
    child: object
    left: cython.Py_ssize_t
    if isinstance(entry, ChildDone):
        child = cython.cast(ChildDone, entry).child
        if not cython.cast(ChildDone, entry).outer.keep_errors and (
            not isinstance(child, Future) or cython.cast(Future, child).state != RETURNED
        ):
            return True  # its error ends the waiting
        whole = cython.cast(ChildDone, entry).outer
        left = cython.cast(ChildDone, entry).outer.left
    elif isinstance(entry, Arrival):
        if cython.cast(Arrival, entry).gate.on_first or cython.cast(Arrival, entry).gate.on_error:
            return True
        whole = cython.cast(Arrival, entry).gate
        left = cython.cast(Arrival, entry).gate.left
    else:
        return True
    here: cython.Py_ssize_t = arrived.get(id(whole), 0) + 1
    arrived[id(whole)] = here
    return here == left


@cython.cfunc
@cython.exceptval(-1)
def due_ones(loop: Scheduler, victims: list, now: int64_t, began: int64_t) -> cython.Py_ssize_t:
    """The timers that are due; in a heap, none is below one that is not."""
    count: cython.Py_ssize_t = 0
    clock: int64_t = now if loop.own_clock else -1
    if clock < 0:
        return 0  # a clock of the program's: when its timers are due only running it would tell
    timers: Timers = loop.timers
    places: list = [0] if timers.size else []
    found: list = []
    place: cython.Py_ssize_t
    child: cython.Py_ssize_t
    deadline: int64_t
    while places:
        place = places.pop()
        if place >= timers.size:
            continue
        deadline = timers.heap[place].deadline
        if deadline > now:
            continue
        for child in range(4 * place + 1, 4 * place + 5):
            if child < timers.size:
                places.append(child)
        entry = cython.cast(object, timers.heap[place].entry)
        if cython.cast(Runnable, entry).dead:
            continue
        count += 1
        found.append((deadline if deadline > began else began, count, entry))
    found.sort()
    del found[MOST:]
    for since, _, entry in found:
        task, callback = describe(entry)
        victims.append((task, callback, now - cython.cast(int64_t, since)))
    return count


@cython.cfunc
@cython.exceptval(-1)
def descriptors(loop: Scheduler, victims: list, now: int64_t, began: int64_t) -> cython.Py_ssize_t:
    """Ask the kernel now: what is ready joins the ring here, as it would in the next turn."""
    count: cython.Py_ssize_t = 0
    since: int64_t = events_since(loop.probe, began)
    before: uint64_t
    place: uint64_t
    for _ in range(POLLS):
        before = loop.ready.tail
        loop.poll(0)
        if loop.ready.tail == before:
            break
        for place in range(before, loop.ready.tail):
            count += 1
            if count <= MOST:
                entry = cython.cast(object, loop.ready.items[place & loop.ready.mask])
                task, callback = describe(entry)
                victims.append((task, callback, now - since if since >= 0 else 0))
        if loop.ready.tail - before < 64:
            break
    return count
