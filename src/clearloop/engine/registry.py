"""asyncio.all_tasks() without a WeakSet insertion per task.

Live tasks stand in an intrusive list per loop.  asyncio keeps one WeakSet of tasks that are not its own C tasks; giving
that set a subclass as its class, whose iteration also walks our lists, makes every reader of asyncio's registry see
our tasks at no cost per task.  Up to 3.13 the set is a module attribute; from 3.14 it lives inside `_asyncio`, and is
reached through the callback that a weak reference in it carries.
"""

import asyncio
import sys
import weakref

from clearloop.engine.task import native_tasks

# From 3.14 create_task hands the name to the factory, as 3.13.3 alone did before; else it sets the name afterwards.
FACTORIES_TAKE_NAME = sys.version_info >= (3, 14) or sys.version_info[:3] == (3, 13, 3)

keep_closed = False  # clearloop run --timeline: closed loops are kept until the end, with what they have recorded
_MOST_KEPT = 64
_kept = []
_loops = {}  # number -> weak reference; copied in one step, since another thread may make a loop meanwhile


class _Probe:
    """Registered once, to find the set that asyncio keeps."""

    def done(self):
        return True

    def get_loop(self):
        return None


def _registered_tasks():
    if sys.version_info < (3, 14):  # from 3.14 the name is still there, for asyncio's fallback in Python only
        for name in ("_scheduled_tasks", "_all_tasks"):
            found = getattr(asyncio.tasks, name, None)
            if isinstance(found, weakref.WeakSet):
                return found
    probe = _Probe()
    asyncio._register_task(probe)
    for reference in weakref.getweakrefs(probe):
        callback = getattr(reference, "__callback__", None)
        for default in getattr(callback, "__defaults__", None) or ():
            found = default() if isinstance(default, weakref.ref) else None
            if isinstance(found, weakref.WeakSet):
                asyncio._unregister_task(probe)
                return found
    raise ImportError("clearloop: this Python keeps asyncio's registry of tasks in a place that is not known")


class _TaskSet(weakref.WeakSet):
    """asyncio's registry, with the tasks of all clearloop loops behind its own."""

    def __iter__(self):
        yield from super().__iter__()
        yield from _native_tasks()

    def __contains__(self, task):
        return super().__contains__(task) or any(task is other for other in _native_tasks())


def numbered():
    """(number, loop) of the loops that are alive, in the order in which they were made.

    The number is the one that reports and dumps name, from 0; loops that nobody watches come behind the others.
    """
    alive = [loop for loop in [reference() for reference in list(_loops.values())] if loop is not None]
    found = [(loop._watch_number(), loop) for loop in alive]
    free = max([number for number, _ in found], default=-1)
    for place, (number, loop) in enumerate(found):
        if number < 0:
            free += 1
            found[place] = free, loop
    return found


def loops():
    """The loops that are alive, in the order in which they were made."""
    return [loop for _, loop in numbered()]


def _native_tasks():
    for loop in loops():
        yield from native_tasks(loop)


made = 0  # loops of this process, ever


def add(loop):
    """Let asyncio.all_tasks() see the tasks of `loop`."""
    global made
    made += 1
    key = made
    _loops[key] = weakref.ref(loop, lambda reference: _loops.pop(key, None))


def closed(loop):
    """A loop was closed; of those that are kept the oldest goes when there are too many."""
    if keep_closed and loop not in _kept:
        _kept.append(loop)
        del _kept[:-_MOST_KEPT]


_registered_tasks().__class__ = _TaskSet
