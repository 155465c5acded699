"""Types of the testing room."""

from clearloop.testing.clock import VirtualClock as VirtualClock

__all__ = ["VirtualClock"]
