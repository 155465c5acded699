"""on_stall: functions of the program's that hear of every stall."""

from clearloop.watch.once import complain
from clearloop.watch.plain_text import shown

_callbacks = []  # replaced as a whole: the watchdog may be in the middle of it


class Subscription:
    """What on_stall returns: `remove()` ends it, and so does leaving it as a context manager."""

    def __init__(self, callback):
        self._callback = callback

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

    It is called in the watchdog's thread, when the stall has ended and its lines are out, also for places that are
    counted and not repeated. It holds up further reports while it runs, not the loop. To act in the loop, let it
    use `loop.call_soon_threadsafe`. A callback that raises is logged and not called again.

    Raises TypeError when `callback` cannot be called.
    """
    global _callbacks
    if not callable(callback):
        raise TypeError(f"a callable object was expected, got {shown(callback)}")
    subscription = Subscription(callback)
    _callbacks = [*_callbacks, subscription]
    return subscription


def tell_all(stall):
    """Call every callback; nothing that one does reaches the others."""
    for subscription in _callbacks:
        try:
            subscription._callback(stall)
        except BaseException as error:
            subscription.remove()
            complain(f"a callback of on_stall failed and was removed: {shown(subscription._callback)}", error)
