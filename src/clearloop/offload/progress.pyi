from typing import Any, Final, NamedTuple

LINE_EVERY: Final[float]
DRAW_EVERY: Final[float]

class Progress(NamedTuple):
    done: int
    failed: int
    running: int
    total: int | None

def reporter(progress: object, total: int | None) -> Any: ...
