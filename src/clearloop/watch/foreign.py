"""Watching loops that are asyncio's own, in a process that somebody attached to: see cli/attach.py.

One thread looks at them every fifth of the threshold (`loop.slow_callback_duration`).  Nothing in the program is
replaced or called: what a loop does stands in its frames (engine/sampling.py), so the program pays for the looks, some
20 µs each, and for nothing else, and detaching leaves nothing that would have to be undone.

What that means for the numbers: that a stall happened is certain, its beginning and end are known to a look; how busy
a loop and its tasks are, and its lag, are estimates from as many looks as there were.
"""

import _thread
import asyncio
import atexit
import os
import sys
import threading
import time

from clearloop.engine import registry, sampling
from clearloop.watch import live
from clearloop.watch.foreign_loop import WatchedLoop
from clearloop.watch.once import complain

MOST_LOOPS = 16
_LOOK_FOR_LOOPS = 1.0  # seconds between two searches for loops that have begun to run
_SHORTEST, _LONGEST = 0.002, 0.05
_PATIENCE = 2.0  # seconds that a fork, or who detaches, waits for the thread
_TURN = asyncio.BaseEventLoop._run_once.__code__
_RUN = asyncio.events.Handle._run.__code__

_watch = None
_lock = threading.Lock()
_hooked = False


def attach(loop=None):
    """Begin to watch; `loop` is one that is known to run, of whatever kind.  Returns what is watched, as status()."""
    global _watch, _hooked
    with _lock:
        already = _watch is not None
        watch = _watch if already else Watch()
        watch.find_loops(loop)
        if not already:
            if not _hooked:
                _hooked = True
                os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
            watch.begin()
            _watch = watch  # not before: a thread of the program may fork meanwhile, and its hooks look here
            atexit.register(detach)
            _serve()
        return {**status(), "already": already}


def detach():
    """Watch no more; returns whether anything was watched."""
    global _watch
    with _lock:
        watch, _watch = _watch, None
        if watch is None:
            return False
        watch.end()
        live.stop()
        atexit.unregister(detach)
        return True


def status():
    """What is watched: the loops, and where the live view answers."""
    watch = _watch
    return {
        "loops": [one.description() for one in watch.loops] if watch is not None else [],
        "socket": live.path(),
    }


def loops():
    """The loops that are watched in this process, each a WatchedLoop; none if nobody has attached."""
    watch = _watch
    return [one for one in watch.loops if one.alive()] if watch is not None else []


def _serve():
    try:
        live.start()
    except OSError as error:
        complain(f"the live view cannot be started: {error}")


class Looker:
    """One thread that looks, from its start to its end."""

    def __init__(self, look):
        self.ending = False
        self._thread = 0
        self._left = False
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        bell, knocker = os.pipe()
        self.bell, self._knocker = live.Held(bell), live.Held(knocker)
        try:
            _thread.start_new_thread(self._run, (look,))
        except BaseException:
            self._close()
            raise

    def end(self):
        """End it, and wait for that; a thread that gets no turn for long is left to itself."""
        self.ending = True
        if self._knocker.still_there():
            os.write(self._knocker.fd, b"!")
        if not self._ended.acquire(timeout=_PATIENCE):
            self._left = True
            if not self._ended.acquire(blocking=False):  # just now?
                return
        self._close()
        live.has_gone(self._thread)

    def _run(self, look):
        self._thread = _thread.get_native_id()
        _name_thread()
        try:
            look(self)
        except BaseException as error:
            if not sys.is_finalizing():
                complain("watching asyncio's loops has failed and stops", error)
        finally:
            if self._left:
                self._close()
            self._ended.release()

    def _close(self):
        self.bell.close()
        self._knocker.close()


class Watch:
    """The loops that are looked at, and the thread that does it, which pauses while the program forks."""

    def __init__(self):
        self.loops = []
        self._looker = None
        self._changing = threading.RLock()  # a signal's handler may fork

    def begin(self):
        """Start the thread, unless there is one: who attaches and who has just forked may both come."""
        with self._changing:
            if self._looker is None:
                self._looker = Looker(self._look)

    def end(self):
        """End the thread, and wait for that."""
        with self._changing:
            looker, self._looker = self._looker, None
            if looker is not None:
                looker.end()

    def _look(self, looker):
        searched = time.monotonic()
        while not looker.ending:
            loops = self.loops
            tick = min((one.threshold() / 5 for one in loops), default=_LONGEST)
            tick = min(max(tick, _SHORTEST), _LONGEST)
            asked = time.monotonic()
            seen, woke, now = sampling.pause(tick, looker.bell.fd, tuple(one.native for one in loops))
            if looker.ending:
                break
            if woke / 1e9 - asked < tick / 2:
                time.sleep(tick)  # somebody has closed our descriptor and uses the number
            for one, does in zip(loops, seen, strict=False):
                one.look(_TURN, _RUN, does, woke / 1e9, now / 1e9)
            if time.monotonic() - searched > _LOOK_FOR_LOOPS:
                self.find_loops()
                searched = time.monotonic()

    def find_loops(self, known=None):
        """Forget the loops that do not run any more, and take in those that have begun to."""
        found = sampling.threads_in(_TURN)
        if known is not None and all(loop is not known for _, loop in found):
            found.append((threading.main_thread().ident, known))
        running = dict(found)
        kept = []
        for one in self.loops:
            if one.runs_in(running.get(one.ident)) or (one.of_other_kind and one.alive()):
                kept.append(one)
                running.pop(one.ident, None)
            else:
                one.close()
        for ident, loop in running.items():
            if len(kept) < MOST_LOOPS:
                registry.made += 1  # so that no loop of ours has the same number
                kept.append(WatchedLoop(registry.made, ident, loop))
        self.loops = kept


def _name_thread():
    try:
        with open(f"/proc/self/task/{_thread.get_native_id()}/comm", "w") as name:
            name.write("clearloop-watch")
    except OSError:
        return


def _before_fork():
    if _watch is not None:
        _watch.end()


def _after_fork():
    if _watch is not None:
        _watch.begin()


def _in_child():
    global _watch, _lock
    _lock = threading.Lock()
    watch, _watch = _watch, None
    if watch is not None:
        atexit.unregister(detach)
