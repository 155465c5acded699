"""Who blocks the loop, and who has to wait.

The loop's watchdog (started with the loop) notices stalls; what becomes of them is decided here.  Each name is loaded
when it is first used: a program that never stalls and never asks imports none of this.
"""

import importlib

# public name -> the module that has it
_NAMES = {
    "Delayed": "stall",
    "Frame": "stall",
    "Stall": "stall",
    "advise": "advice",
    "dump": "dumping",
    "expect_block": "expecting",
    "on_stall": "callbacks",
    "Stats": "statistics",
    "TaskStats": "statistics",
    "stats": "statistics",
    "time_tasks": "statistics",
}

# what needs a package that clearloop does not depend on
_EXTRAS = ("opentelemetry", "prometheus")

__all__ = sorted(_NAMES)


def __getattr__(name):
    if name in _EXTRAS:
        return importlib.import_module(f"clearloop.watch.{name}")
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'clearloop.watch' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"clearloop.watch.{module}"), name)
    return value


def __dir__():
    return sorted({*globals(), *_NAMES})
