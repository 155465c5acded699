"""Which poller a loop gets: epoll where it exists, else the one over `selectors`.

Whoever wants another asks for it: by the parameter of EventLoop, or by CLEARLOOP_POLLER in the environment, which is
how one system's tests cover the poller of the others.
"""

import os

from clearloop.system.poller import HAS_EPOLL, EpollPoller

__all__ = ("choose",)


def choose(wanted=None):
    """A poller: "epoll", "selectors", or over a selector of the program's own; None: as the environment says."""
    if wanted is None:
        wanted = os.environ.get("CLEARLOOP_POLLER") or ("epoll" if HAS_EPOLL else "selectors")
    if wanted == "epoll":
        if not HAS_EPOLL:
            raise ValueError("this system has no epoll: let clearloop choose, or ask for the poller 'selectors'")
        return EpollPoller()
    if isinstance(wanted, str) and wanted != "selectors":
        raise ValueError(f"no poller is called {wanted!r}: 'epoll' and 'selectors' are there")
    from clearloop.system.selector_poller import SelectorPoller

    return SelectorPoller(None if wanted == "selectors" else wanted)
