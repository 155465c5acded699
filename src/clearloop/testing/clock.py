"""VirtualClock: a loop whose clock jumps when everything waits.

A test with an hour of sleeps ends in milliseconds, and the same way every time: while anything can run it runs, and the
clock stands still; when all that is left is timers, the clock is set to the first of them.  A call that is away in a
thread or process (run_sync, run_in_executor) is something that still runs: the clock waits for it.

Descriptors do not belong here.  What comes from a socket comes in real time, and a clock that jumps while it is on its
way makes every timeout a race: so sockets, pipes and processes are refused, with a word on what to do instead.
"""

import threading

from clearloop.loop import EventLoop
from clearloop.runners import Runner

__all__ = ["VirtualClock", "virtual_clock"]

_LOOK = 1_000_000_000  # nanoseconds between two looks at a pool that may wait for itself
_BYSTANDERS = ("clearloop", "pytest_timeout")  # threads that look on
_INSTEAD = "use asyncio's in-memory pieces (queues, StreamReader.feed_data) or a fake, or run this test on a real loop"


class VirtualClock(EventLoop):
    """An event loop in virtual time; `time()` begins at `start` seconds.

    `clearloop.run(main(), loop_factory=VirtualClock)`, or the fixture `virtual_clock`.  Raises RuntimeError for
    whatever needs a descriptor, and when everything waits without end: then nothing in the program could ever wake it.
    """

    def __init__(self, start=0.0):
        self._now = round(start * 1e9)
        super().__init__()

    def time(self):
        """The virtual time in seconds."""
        return self._now / 1e9

    def advance(self, seconds):
        """Set the clock forward by hand; timers that come due meanwhile fire together, in order, in the next turn."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self._now += round(seconds * 1e9)

    def _wait_time(self, timeout):
        if self.offloaded:
            return _LOOK if self._look_at_pool() else -1
        if timeout < 0:
            if self._others():
                return -1
            raise RuntimeError(
                "everything waits, and nothing will ever wake it: "
                "no timer is set, no call is away, no other thread runs"
            )
        self._now += timeout
        return 0

    def _look_at_pool(self):
        """Virtual timers do not fire while calls are away, so the pool's own look is taken here."""
        pool = self._default_executor
        crowd = getattr(pool, "crowd", None)
        return crowd is not None and crowd.look()

    def _others(self):
        """Whether a thread of the program's could still wake the loop."""
        idle = getattr(self._default_executor, "threads", ()) or ()
        here = threading.current_thread()
        threads = (thread for thread in threading.enumerate() if thread is not here and thread not in idle)
        return any(not thread.name.startswith(_BYSTANDERS) for thread in threads)

    async def shutdown_default_executor(self, timeout=None):
        """Wait for the default executor to end: threads end in real time, which no virtual timeout measures."""
        await super().shutdown_default_executor(None)

    # ---- what a virtual clock cannot have --------------------------------------------------------------------------

    def _refuse(self, what):
        raise RuntimeError(f"{what} waits for the real world, and a virtual clock does not: {_INSTEAD}")

    def add_reader(self, fd, callback, *args):
        """Refused."""
        self._refuse("add_reader()")

    def add_writer(self, fd, callback, *args):
        """Refused."""
        self._refuse("add_writer()")


def _refused(name):
    async def refuse(self, *args, **kwargs):
        self._refuse(f"{name}()")

    refuse.__name__ = name
    refuse.__qualname__ = f"VirtualClock.{name}"
    refuse.__doc__ = "Refused."
    return refuse


for _name in (
    "create_connection",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "create_datagram_endpoint",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "subprocess_exec",
    "subprocess_shell",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_sendfile",
    "sock_connect",
    "sock_accept",
):
    setattr(VirtualClock, _name, _refused(_name))


class _Clocked:
    """What the fixture gives: a runner in virtual time."""

    def __init__(self, runner):
        self._runner = runner

    def run(self, coro):
        """Run `coro` to its end; time goes on where the run before has left it."""
        return self._runner.run(coro)

    def time(self):
        """The virtual time in seconds."""
        return self._runner.get_loop().time()

    @property
    def loop(self):
        """The VirtualClock itself."""
        return self._runner.get_loop()


def virtual_clock():
    """The body of the fixture: `pytest.fixture(virtual_clock)`."""
    with Runner(loop_factory=VirtualClock) as runner:
        yield _Clocked(runner)


