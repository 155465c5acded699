"""Types of timeouts.py."""

from clearloop.engine.timeout_core import Timeout as Timeout
from clearloop.engine.timeout_core import timeout as timeout
from clearloop.engine.timeout_core import timeout_at as timeout_at

__all__ = ["Timeout", "timeout", "timeout_at"]
