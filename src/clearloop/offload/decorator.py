"""unblocked: a blocking function as one to be awaited.

Decorators run while modules are imported, also in the workers of a pool, where no loop will ever be and compiled
modules may not load (subinterpreters): so this one imports nothing else before the function is called.
"""

import functools

from clearloop.offload.errors import is_coroutine_function, place

__all__ = ["unblocked"]


def unblocked(func=None, /, *, executor=None, abandon_on_cancel=False):
    """Make a blocking function one to be awaited, which runs off the loop as run_sync has it.

    `@unblocked` or `@unblocked(executor=…, abandon_on_cancel=…)`, on functions and methods.  `executor` may be a
    function that returns the executor when it is needed, for pools that do not exist yet when the module is imported.
    The plain function stays at `__wrapped__`.
    """
    if func is None:
        return functools.partial(unblocked, executor=executor, abandon_on_cancel=abandon_on_cancel)
    if is_coroutine_function(func):
        raise TypeError(f"{place(func)} is a coroutine function: it needs no thread, and none could run it")

    @functools.wraps(func)
    async def off_the_loop(*args, **kwargs):
        from clearloop.offload.run import run_sync

        where = executor
        if where is not None and not hasattr(where, "submit"):
            where = where()
        body = func if where is None else Body(off_the_loop)
        if kwargs:
            body = functools.partial(body, **kwargs)
        return await run_sync(body, *args, executor=where, abandon_on_cancel=abandon_on_cancel)

    return off_the_loop


class Body:
    """The plain function behind an unblocked one: pickled by the name, which leads to the decorated one."""

    def __init__(self, decorated):
        self.decorated = decorated
        self.__wrapped__ = decorated.__wrapped__
        self.__qualname__ = decorated.__qualname__

    def __call__(self, *args, **kwargs):
        return self.decorated.__wrapped__(*args, **kwargs)

    def __reduce__(self):
        return Body, (self.decorated,)
