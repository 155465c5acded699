"""timeout, timeout_at and Timeout: clearloop's own, compiled (engine/timeout_core.py)."""

from clearloop.engine.timeout_core import Timeout, timeout, timeout_at

__all__ = ["Timeout", "timeout", "timeout_at"]
