"""on_stall: functions of the program's that hear of every stall.

They are called on a thread of their own, which is started when there is something to tell and ends when all was told.
So one that takes long, or never returns, holds up the others and not the watchdog, which goes on noticing and
reporting.  What waits for it is bounded: stalls that find the queue full are counted and not told.  Once the
interpreter ends, threads can no longer be started, and the watchdog calls them itself.
"""

import _thread
import atexit
import collections
import os
import threading
import time

from clearloop.watch.once import complain
from clearloop.watch.plain_text import shown

MOST = 1000  # stalls that wait to be told
FAREWELL = 2.0  # seconds that the interpreter's end waits for them

_callbacks = []  # replaced as a whole: the watchdog may be in the middle of it
_waiting = collections.deque()
_changed = threading.Condition()
_thread_of_ours = None  # its identifier, while there is one
_ending = False

untold = 0  # stalls that found the queue full


class Subscription:
    """What on_stall returns: `remove()` ends it, and so does leaving it as a context manager."""

    def __init__(self, callback, in_place=False):
        self._callback = callback
        self._in_place = in_place

    def remove(self):
        """Call the callback no more; removing it twice does nothing."""
        global _callbacks
        _callbacks = [one for one in _callbacks if one is not self]

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.remove()


def on_stall(callback):
    """Call `callback(stall)` after each stall, whatever its verdict; return a subscription with `remove()`.

    It is called in a thread of clearloop's, one stall after the other, when the stall has ended and its lines are out,
    also for places that are counted and not repeated. While it runs, the loop is watched and reported as ever. When
    1000 stalls wait for callbacks that do not return, the next ones are not told to them; the log says so once. To act
    in the loop, let it use `loop.call_soon_threadsafe`. A callback that raises is logged and not called again.

    Raises TypeError when `callback` cannot be called.
    """
    if not callable(callback):
        raise TypeError(f"a callable object was expected, got {shown(callback)}")
    return _subscribe(Subscription(callback))


def in_place(callback):
    """on_stall for callbacks of our own, which take no time: called by the watchdog itself."""
    return _subscribe(Subscription(callback, in_place=True))


def tell_all(stall):
    """Let every callback hear of it, soon; nothing that one does reaches the others."""
    global untold, _thread_of_ours
    later = False
    for subscription in _callbacks:
        if subscription._in_place or _ending:
            _call(subscription, stall)
        else:
            later = True
    if not later:
        return
    with _changed:
        full = len(_waiting) >= MOST
        if full:
            untold += 1
        else:
            _waiting.append(stall)
            if _thread_of_ours is None:
                try:
                    _thread_of_ours = _thread.start_new_thread(_tell, ())
                except RuntimeError:  # no thread to be had: with the next stall, or when the interpreter ends
                    pass
    if full:
        complain("the callbacks of on_stall do not return: stalls are reported, but no longer told to them")


def drain(seconds):
    """Wait, at most so long, until the callbacks have heard of all stalls; return whether they have."""
    if _thread_of_ours == _thread.get_ident():
        return False  # one of them asks
    until = time.monotonic() + seconds
    with _changed:
        while _thread_of_ours is not None:
            left = until - time.monotonic()
            if left <= 0:
                return False
            _changed.wait(left)
    return True


def _subscribe(subscription):
    global _callbacks
    _callbacks = [*_callbacks, subscription]
    return subscription


def _tell():
    """The thread: until nothing waits."""
    global _thread_of_ours
    me = _thread.get_ident()
    while True:
        with _changed:
            if not _waiting:
                if _thread_of_ours == me:
                    _thread_of_ours = None
                _changed.notify_all()
                return
            stall = _waiting.popleft()
        for subscription in _callbacks:
            if not subscription._in_place:
                _call(subscription, stall)


def _call(subscription, stall):
    if subscription not in _callbacks:
        return  # removed meanwhile
    try:
        subscription._callback(stall)
    except BaseException as error:
        subscription.remove()
        complain(f"a callback of on_stall failed and was removed: {shown(subscription._callback)}", error)


def _at_exit():
    global _ending
    _ending = True
    if drain(FAREWELL):
        while _waiting:
            stall = _waiting.popleft()
            for subscription in _callbacks:
                _call(subscription, stall)


def _forked():
    global _changed, _thread_of_ours
    _changed = threading.Condition()
    _thread_of_ours = None
    _waiting.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
