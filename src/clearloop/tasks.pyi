"""Types of tasks.py, which are asyncio's."""

from asyncio import ensure_future as ensure_future
from asyncio import sleep as sleep

__all__ = ["ensure_future", "sleep"]
