"""What a module of clearloop's answers for the names that it has not itself.

Programs know asyncio's modules by name: with `import clearloop as asyncio` they write `asyncio.tasks.current_task` or
`asyncio.streams.FlowControlMixin`.  clearloop's module of that name stands in front of asyncio's: it has clearloop's
public names, wherever they are at home, and hands on everything else.
"""

import importlib

import clearloop


def fallback(module):
    """A module's `__getattr__`: clearloop's public names first, then those of asyncio's module of the same name.

    Raises AttributeError for names that neither has, and for special ones, which are each module's own.
    """
    last = module.rpartition(".")[2]

    def __getattr__(name):
        if not name.startswith("__"):
            home = clearloop._OWN.get(name)
            if home is not None and home != module:  # else this module is still being imported
                return getattr(importlib.import_module(home), name)
            try:
                return getattr(importlib.import_module(f"asyncio.{last}"), name)
            except AttributeError:
                pass  # asyncio's module is no concern of who asked
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__
