"""timeout, timeout_at and Timeout: clearloop's own, compiled (engine/timeout_core.py)."""

from clearloop.engine.timeout_core import Timeout, timeout, timeout_at
from clearloop.through import fallback

__all__ = ["Timeout", "timeout", "timeout_at"]

__getattr__ = fallback(__name__)
