"""Prints the lines of a command, to a reader that may go away and to a terminal that may not know every character."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable


def put(lines: Iterable[str]) -> None:
    """Print lines; a reader that has had enough (`| head`) ends it quietly."""
    out = sys.stdout
    try:
        for line in lines:
            try:
                out.write(line + "\n")
            except UnicodeEncodeError:
                encoding = out.encoding or "ascii"
                out.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        out.flush()
    except BrokenPipeError:
        # what is left in the buffer must not be tried again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
