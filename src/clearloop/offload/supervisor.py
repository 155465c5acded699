"""Supervisor: background jobs that belong to someone."""

import asyncio
import math
from asyncio import CancelledError

__all__ = ["Supervisor"]


class Supervisor:
    """Jobs in the background that live no longer than a block.

    `async with Supervisor(grace=5) as jobs: jobs.create_task(…)`.  A job that fails is reported to the loop's exception
    handler at once, and the others go on.  Leaving the block waits until all jobs have ended, `grace` seconds at most
    (None: without end), then cancels those that are left and waits for them.  A cancellation that comes while it waits
    ends the waiting for grace: what still runs is cancelled.

    When the block itself is cancelled, as by the first Ctrl-C or SIGTERM under clearloop.run, the jobs have their
    grace as well: a service drains.  When it fails with another error there is no grace.
    """

    def __init__(self, *, grace=None):
        if grace is not None and (not isinstance(grace, int | float) or math.isnan(grace) or grace < 0):
            raise ValueError(f"grace must be None or a number of seconds from 0 on, not {grace!r}")
        self._grace = grace
        self._jobs = set()
        self._loop = None
        self._closed = False

    def __repr__(self):
        state = "closed" if self._closed else "new" if self._loop is None else "open"
        return f"<Supervisor {state} jobs={len(self._jobs)}>"

    def __len__(self):
        """The number of jobs that run."""
        return len(self._jobs)

    async def __aenter__(self):
        if self._loop is not None:
            raise RuntimeError(f"{self!r} was entered already")
        self._loop = asyncio.get_running_loop()
        return self

    def create_task(self, coro, *, name=None, context=None):
        """Start a job; return its task.  Raises RuntimeError before the block and when its jobs are being cancelled."""
        if self._loop is None or self._closed:
            coro.close()
            raise RuntimeError(f"{self!r} takes no jobs " + ("any more" if self._closed else "before it is entered"))
        task = self._loop.create_task(coro, name=name, context=context)
        self._jobs.add(task)
        task.add_done_callback(self._ended)
        return task

    def cancel(self):
        """Cancel all jobs that run now."""
        for task in list(self._jobs):
            task.cancel()

    def _ended(self, task):
        self._jobs.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        self._loop.call_exception_handler(
            {
                "message": f"the background job {task.get_name()!r} has failed; the others go on",
                "exception": task.exception(),
                "task": task,
            }
        )

    async def __aexit__(self, kind, error, traceback):
        cancelled = None
        if error is None or isinstance(error, CancelledError):
            try:
                await self._wait(self._grace)
            except CancelledError as again:
                cancelled = again
        self._closed = True
        while self._jobs:
            self.cancel()
            while self._jobs:
                try:
                    await self._wait(None)
                except CancelledError as again:
                    cancelled = again
                    break  # and cancel them once more
        if cancelled is not None:
            raise cancelled

    async def _wait(self, grace):
        """Wait until no job runs, including those that jobs start meanwhile, for `grace` seconds at most."""
        end = None if grace is None else self._loop.time() + grace
        while self._jobs:
            left = None if end is None else max(end - self._loop.time(), 0)
            await asyncio.wait(self._jobs, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if left == 0:
                return
