"""How much memory of a process is resident, as the kernel counts it."""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int | str = "self") -> int:
    """Bytes.  Raises FileNotFoundError when there is no such process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
