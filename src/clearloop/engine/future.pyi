"""Types of engine/future.py.

Future is typed as a subclass of asyncio's, as its `__class__` says and isinstance() confirms; so it can be handed to
whatever takes an asyncio.Future.
"""

import asyncio
from typing import TypeVar

_T = TypeVar("_T")

class Future(asyncio.Future[_T]):
    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None: ...

class FutureIterator: ...
