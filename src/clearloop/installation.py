"""Makes clearloop the loop that asyncio itself gives.

Everything in asyncio that makes a loop without being told which (`run`, `Runner`, `new_event_loop`,
`get_event_loop`, the policies) ends in one place: the `_loop_factory` of the default policy class. Setting it
there, rather than setting a policy of our own, reaches the policy that is in place already, those that a
program makes later, and its subclasses; and it needs no name that Python 3.14 deprecates.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.unix_events
import functools
import threading
from typing import Any

from clearloop import EventLoop, wait

__all__ = ("install",)


def install(*, legacy: bool = False) -> None:
    """Let asyncio give clearloop loops from now on, in this process and what it forks.

    Loops that exist already stay what they are. A policy that somebody else set is put aside.

    Parameters:
        legacy: also run programs in the style of Python 3.5 to 3.7: `asyncio.get_event_loop()` makes a loop
            for the main thread when none was ever set there (Python 3.12 warns, 3.14 raises RuntimeError),
            and `asyncio.wait` takes coroutines, each of which becomes a task.

    See also: https://docs.python.org/3/library/asyncio-policy.html
    """
    policy = _default_policy()
    policy._loop_factory = EventLoop
    if legacy:
        _accept_old_style(policy)
    if type(_current_policy()) is not policy:
        _set_policy(None)


def _default_policy() -> Any:
    # The one name of it that 3.11 to 3.15 share.
    return asyncio.unix_events._UnixDefaultEventLoopPolicy


def _current_policy() -> Any:
    events: Any = asyncio.events
    get = getattr(events, "_get_event_loop_policy", None) or events.get_event_loop_policy
    return get()


def _set_policy(policy: Any) -> None:
    # From 3.14 the public name warns; what it warns of would be blamed on the user's program.
    events: Any = asyncio.events
    set_policy = getattr(events, "_set_event_loop_policy", None) or events.set_event_loop_policy
    set_policy(policy)


@functools.cache  # once: a second call would wrap the wrappers
def _accept_old_style(policy: Any) -> None:
    get_event_loop, set_event_loop = policy.get_event_loop, policy.set_event_loop

    def get_or_make(self: Any) -> asyncio.AbstractEventLoop:
        local = self._local
        never_set = local._loop is None and not getattr(local, "_set_called", False)
        if never_set and threading.current_thread() is threading.main_thread():
            self.set_event_loop(self.new_event_loop())
        loop: asyncio.AbstractEventLoop = get_event_loop(self)
        return loop

    def set_and_remember(self: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        set_event_loop(self, loop)
        # Up to 3.13 the policy remembers this itself: after `set_event_loop(None)`, and so after
        # `asyncio.run`, "none" is what the program asked for.
        self._local._set_called = True

    policy.get_event_loop = functools.wraps(get_event_loop)(get_or_make)
    policy.set_event_loop = functools.wraps(set_event_loop)(set_and_remember)
    asyncio.wait = asyncio.tasks.wait = wait
