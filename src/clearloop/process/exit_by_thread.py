"""The end of a child where there are no process descriptors: a thread for each child waits for it.

The thread only waits (WNOWAIT); the child is reaped on the loop's own thread, the same that sends signals.  So a
signal never goes to a number that was given to another process meanwhile.
"""

import os
import threading
from asyncio.log import logger


class ExitByThread:
    """As exit.Exit, by a thread."""

    def __init__(self, loop, pid, ended):
        self._loop = loop
        self._pid = pid
        self._ended = ended
        threading.Thread(target=self._wait, name=f"clearloop-wait-{pid}", daemon=True).start()

    def _wait(self):
        try:
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # somebody else has reaped it
        try:
            self._loop.call_soon_threadsafe(self._reap)
        except RuntimeError:
            self.abandon()
            logger.warning("Loop %r that handles pid %r is closed", self._loop, self._pid)

    def _reap(self):
        ended, self._ended = self._ended, None
        if ended is None:
            return
        try:
            _, status = os.waitpid(self._pid, 0)
        except ChildProcessError:
            ended(None)
        else:
            ended(os.waitstatus_to_exitcode(status))

    def signal(self, number):
        """As Exit.signal."""
        if self._ended is not None:
            try:
                os.kill(self._pid, number)
            except ProcessLookupError:
                pass

    def abandon(self):
        """As Exit.abandon."""
        self._ended = None
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True
