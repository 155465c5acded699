"""Types of outlets.py, for the command."""

from typing import Any

def say(text: str, data: dict[str, Any]) -> None: ...
