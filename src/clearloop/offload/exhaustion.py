"""A pool that waits for itself: found, and named with its lines, instead of hanging.

A function that runs in a thread may wait for work that needs a thread of the same pool: it calls back into the loop
(run_async), and the coroutine there awaits run_sync; or it submits to the pool and waits for the result.  When every
thread does so, what they wait for stands in the queue behind them for ever.

It is looked for once a second, while jobs stand in line: from each queued job upwards to everything that waits for it
(tasks, gathers, task groups, the concurrent futures at the end), and from each thread's stack to the concurrent future
that it waits for.  When each thread of the pool is met that way, it is proved: the jobs at fault are failed with
PoolExhausted.  Threads that all wait, for whatever it may be, with nothing moving for SUSPICION looks, are warned of.
"""

import concurrent.futures
import os
import sys
import threading
from asyncio import TaskGroup
from asyncio.log import logger
from collections import deque

from clearloop.offload.errors import PoolExhausted, place

LOOK_EVERY = 1.0  # seconds
SUSPICION = 10  # looks with nothing moving
_DEPTH = 100  # frames and futures that are followed
_WAITS = {"result", "exception", "wait", "__enter__", "acquire", "get", "join"}
# frames of these are how a thread waits, not where
_QUIET = (
    os.path.dirname(concurrent.futures.__file__) + os.sep,
    threading.__file__,
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
)


class Crowd:
    """What stands in line for the threads of one pool; `limit` is their number."""

    def __init__(self, limit):
        self.limit = limit
        self._line = deque()
        self._looking = False
        self._before = None
        self._still = 0

    def join(self, job):
        """A job found all threads busy."""
        line = self._line
        while line and not line[0]._queued:
            line.popleft()
        line.append(job)
        if not self._looking:
            loop = getattr(job, "_loop", None)
            if loop is not None:
                self._looking = True
                loop.call_later(LOOK_EVERY, self._look, loop)

    def disperse(self):
        """The pool has dropped its jobs: let go of them, and of their loop."""
        self._line.clear()

    def _look(self, loop):
        if self.look():
            loop.call_later(LOOK_EVERY, self._look, loop)
        else:
            self._looking = False

    def look(self):
        """Fail what provably waits for itself; return whether anything still stands in line."""
        self._line = line = deque(job for job in self._line if job._queued)
        if not line:
            return False
        from clearloop.offload.call import running

        busy = [(thread, job) for thread, job in running() if job.crowd is self]
        now = [*busy, line[0]]
        if len(busy) < self.limit or now != self._before:
            self._before, self._still = now, 0
            return True
        self._still += 1
        stacks = sys._current_frames()
        waits = {thread: _waited_for(stacks.get(thread)) for thread, _ in busy}
        guilty = _proof(waits, line)
        if guilty:
            text = self._text(busy, stacks, guilty)
            for job in guilty:
                job._fail_queued(PoolExhausted(text))
        elif self._still == SUSPICION and all(_seems_to_wait(stacks.get(thread)) for thread, _ in busy):
            logger.warning("%s", self._text(busy, stacks, list(line)[:5], " perhaps"))
        return True

    def _text(self, busy, stacks, jobs, perhaps=""):
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        lines = [f"all {self.limit} threads of the pool wait{perhaps} for work that is queued behind them"]
        for thread, job in busy:
            lines.append(f"  thread {names.get(thread, thread)} runs {place(job._func)}, {_where(stacks.get(thread))}")
        for job in jobs:
            sender = _sender(job)
            lines.append(f"  queued: {place(job._func)}" + (f", sent {sender}" if sender else ""))
        lines.append("  give one side a pool of its own (executor=ThreadPoolExecutor(…)), or await it on the loop")
        return "\n".join(lines)


def _proof(waits, line):
    """The queued jobs that all the threads wait for; empty unless each thread provably waits for one."""
    guilty, met = [], set()
    for job in line:
        ends = _ends(job)
        found = {thread for thread, futures in waits.items() if not ends.isdisjoint(futures)}
        if found:
            guilty.append(job)
            met |= found
    return guilty if len(met) == len(waits) else []


# ---- upwards: who waits for a queued job ---------------------------------------------------------------------------


def _ends(job):
    """The ids of the concurrent futures that wait, directly or not, for `job`."""
    own = getattr(job, "future", None)  # of pool.submit(); a Call is its own future
    found = {id(own)} if own is not None else set()
    seen, stack = set(), [job if own is None else own]
    while stack and len(seen) < _DEPTH * 10:
        future = stack.pop()
        if future is None or id(future) in seen:
            continue
        seen.add(id(future))
        if isinstance(future, concurrent.futures.Future):
            found.add(id(future))
            stack += _behind_callbacks(list(future._done_callbacks))
            continue
        waiters = getattr(future, "waiters", None)
        if waiters is not None:
            for waiter in waiters():
                stack += _behind_callbacks([waiter[0]]) if type(waiter) is tuple else _behind(waiter)
        else:
            stack += _behind_callbacks([pair[0] for pair in getattr(future, "_callbacks", None) or ()])
    return found


def _behind(waiter):
    waits_for = getattr(waiter, "_waits_for", None)
    return [waits_for()] if waits_for is not None else [waiter]


def _behind_callbacks(callbacks):
    found = []
    for callback in callbacks:
        owner = getattr(getattr(callback, "func", callback), "__self__", None)
        if isinstance(owner, TaskGroup):
            found.append(owner._parent_task)
        elif owner is not None and not isinstance(owner, type(sys)):
            found += _behind(owner)
        for cell in getattr(callback, "__closure__", None) or ():
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            if isinstance(content, concurrent.futures.Future) or hasattr(content, "_asyncio_future_blocking"):
                found.append(content)
    return found


# ---- downwards: what a thread waits for ----------------------------------------------------------------------------


def _frames(frame):
    for _ in range(_DEPTH):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _waited_for(innermost):
    """The ids of the concurrent futures that the innermost calls of a thread wait for."""
    for frame in _frames(innermost):
        code = frame.f_code
        if code.co_filename == concurrent.futures._base.__file__:
            names = frame.f_locals
            if code.co_name in ("result", "exception") and "self" in names:
                return {id(names["self"])}
            if code.co_name in ("wait", "as_completed") and "fs" in names:
                return {id(future) for future in names["fs"]}
        elif not code.co_filename.startswith(_QUIET):
            return set()
    return set()


def _seems_to_wait(frame):
    return frame is not None and frame.f_code.co_name in _WAITS and frame.f_code.co_filename.startswith(_QUIET)


def _where(innermost):
    for frame in _frames(innermost):
        if not frame.f_code.co_filename.startswith(_QUIET):
            return f"and waits at {frame.f_code.co_filename}:{frame.f_lineno}"
    return "and waits"


def _sender(job):
    """The innermost line of the program's own that awaits a queued call."""
    for task in getattr(job, "_asyncio_awaited_by", None) or ():
        line = None
        coroutine = task.get_coro()
        for _ in range(_DEPTH):
            frame = getattr(coroutine, "cr_frame", None)
            if frame is not None and not frame.f_code.co_filename.startswith(_QUIET):
                line = f"by {task.get_name()} at {frame.f_code.co_filename}:{frame.f_lineno}"
            coroutine = getattr(coroutine, "cr_await", None)
            if coroutine is None:
                break
        return line
    return None
