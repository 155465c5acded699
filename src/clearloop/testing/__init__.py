"""For tests of programs that run on clearloop: virtual time, and the pytest plugin.

Names are loaded when they are first used: pytest imports the plugin, and so this file, in every suite.
"""

__all__ = ["VirtualClock"]


def __getattr__(name):
    if name == "VirtualClock":
        from clearloop.testing.clock import VirtualClock

        return VirtualClock
    raise AttributeError(f"module 'clearloop.testing' has no attribute {name!r}")
