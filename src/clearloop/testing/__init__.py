"""For tests of programs that run on clearloop: virtual time."""

from clearloop.testing.clock import VirtualClock, virtual_clock

__all__ = ["VirtualClock", "virtual_clock"]
