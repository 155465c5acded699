"""Compiles the C programs of floor/ on demand, once per source text, into the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "floor"


class NoCompiler(RuntimeError):
    """The C programs cannot be built here."""


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "clearloop-benchmarks"


def program(name: str) -> str:
    """The path of the compiled floor/NAME.c.  Raises NoCompiler with what the compiler said."""
    source = SOURCES / f"{name}.c"
    text = b"".join(path.read_bytes() for path in (source, *sorted(SOURCES.glob("*.h"))))
    target = cache() / f"{name}-{os.uname().machine}-{hashlib.sha256(text).hexdigest()[:16]}"
    if target.exists():
        return str(target)
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompiler("no C compiler found: the rows with a load client need one (cc, or name it in CC)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder) / name
        command = [compiler, "-O2", "-o", str(built), str(source), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise NoCompiler(f"{source.name} does not compile: {done.stderr.strip()[:500]}")
        built.replace(target)  # at once, so that a run beside this one never sees half a file
    return str(target)
