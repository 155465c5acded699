"""run_sync and run_async: out of the loop and back into it, as programs call them.

Plain coroutine functions, since a compiled one is not what `inspect.iscoroutinefunction` expects; they hand over to
calls (call.py) that know by themselves what a cancellation means.
"""

import asyncio
import concurrent.futures
import contextvars

from clearloop.offload.call import calling, refuse_coroutine_function
from clearloop.offload.errors import place
from clearloop.offload.executor import default_executor
from clearloop.offload.threads import start

__all__ = ["run_async", "run_sync"]

LOOK_EVERY = 1.0  # seconds after which a thread that waits for its loop looks whether there still is one


async def run_sync(func, /, *args, executor=None, abandon_on_cancel=False):
    """Run the blocking function `func(*args)` off the loop, and return its result.

    `executor` is where: None for the loop's own threads (as many as the usable CPUs plus 4, at most 32; more calls wait
    in a queue without limit, in order), or any `concurrent.futures.Executor`: threads, processes, interpreters, loky's,
    mpi4py's, a Dask client's.  Within the process the function runs in a copy of the current context.

    A call that is cancelled before it has begun is taken back.  One that runs cannot be stopped: the cancellation waits
    for its end, so that nothing runs on unseen; with `abandon_on_cancel` it does not wait, the function keeps its
    thread until it ends, and what it then raises goes to the loop's exception handler.

    Raises what the function raises; TypeError for a coroutine function; NotPicklable when the function, an argument or
    the result cannot go to another process; JobLost when the executor drops the job; PoolExhausted when all threads of
    a pool wait for work that is queued behind them.
    """
    loop = asyncio.get_running_loop()
    if executor is None:
        try:
            call = start(loop, func, args, not abandon_on_cancel)
        except AttributeError:
            call = None  # a loop of another make
        if call is not None:
            return await call
    return await send(loop, func, args, executor, not abandon_on_cancel)


def send(loop, func, args, executor, held):
    """The call as a future of `loop`, whatever the executor."""
    refuse_coroutine_function(func)
    if executor is None:
        executor = default_executor(loop)
    from clearloop.offload.elsewhere import send_elsewhere

    return send_elsewhere(loop, executor, func, args, held)


def run_async(afunc, /, *args):
    """From a function that run_sync runs in a thread: run `afunc(*args)` in the loop that sent it; return its result.

    The thread waits meanwhile.  When the call of run_sync is cancelled, so is the coroutine, and CancelledError is
    raised here, as by every later run_async of the same call.  Raises RuntimeError anywhere but in such a thread.
    """
    call = calling()
    if call is None or not hasattr(call, "_back"):
        raise RuntimeError("run_async() is for functions that run_sync() runs in a thread: this one is not")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("run_async() would hold the loop that runs in this very thread: await the coroutine instead")
    if call._wants_end:
        raise asyncio.CancelledError("the call of run_sync() was cancelled")
    if call._loop.is_closed():
        raise RuntimeError("the loop that sent this call is closed")
    way = _WayBack(call, afunc, args)
    outcome = way.outcome
    call._loop.call_soon_threadsafe(way.start, context=contextvars.copy_context())
    while True:
        try:
            return outcome.result(LOOK_EVERY)
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError("run_async() was cancelled") from None
        except TimeoutError:
            if outcome.done():
                raise  # the coroutine's own
            if call._loop.is_closed():
                raise RuntimeError("the loop was closed while run_async() waited for it") from None


class _WayBack:
    """One run_async."""

    def __init__(self, call, afunc, args):
        self.call, self.afunc, self.args = call, afunc, args
        self.outcome = concurrent.futures.Future()

    def start(self):
        call = self.call
        if call._wants_end or call.done():
            self.outcome.set_exception(asyncio.CancelledError("the call of run_sync() was cancelled"))
            return
        try:
            coroutine = self.afunc(*self.args)
            if not asyncio.iscoroutine(coroutine):
                raise TypeError(f"{place(self.afunc)} returned {type(coroutine).__name__}, not a coroutine")
            task = call._loop.create_task(coroutine)
        except BaseException as error:
            self.outcome.set_exception(error)
            return
        call._back = task
        task.add_done_callback(self.finish)

    def finish(self, task):
        self.call._back = None
        if task.cancelled():
            self.outcome.set_exception(asyncio.CancelledError("run_async() was cancelled"))
        elif task.exception() is not None:
            self.outcome.set_exception(task.exception())
        else:
            self.outcome.set_result(task.result())

    def _waits_for(self):
        return self.outcome
