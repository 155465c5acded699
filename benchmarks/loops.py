"""The loops that are compared, which of them are installed, and the floor that is no loop at all."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

OURS = "clearloop"
# For --cost: clearloop without what watches it, all other things equal
UNWATCHED = {"clearloop-off": {"CLEARLOOP_WATCH": "0", "CLEARLOOP_SLOW": "0", "CLEARLOOP_RECORD": "0"}}
UNRECORDED = {"clearloop-watch": {"CLEARLOOP_RECORD": "0"}}
VARIANTS = {**UNWATCHED, **UNRECORDED}
FLOOR = "floor"  # the C servers of floor/
TRANSPORTS = ("aiofastnet", "aiofastnet+uvloop")  # no loops: transports for another loop, asyncio's by default
PEERS = ("asyncio", "uvloop", "rloop", "zuvloop", "zloop", *TRANSPORTS)
ALL = (OURS, *PEERS)

_PROBE = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        parts = name.split("+")
        module = importlib.import_module(parts[0])
        for part in parts:
            loop = getattr(importlib.import_module(part), "new_event_loop", None)
            if loop is not None:
                loop().close()
    except Exception as error:
        found[name] = {"missing": f"{type(error).__name__}: {error}"}
    else:
        version = getattr(module, "__version__", "")
        if not version:
            from importlib import metadata
            try:
                version = metadata.version(parts[0])
            except metadata.PackageNotFoundError:
                version = sys.version.split()[0]
        found[name] = {"version": str(version)}
print(json.dumps(found))
"""


def base(name: str) -> str:
    """The loop behind a variant of ours; any other name stands for itself."""
    return OURS if name in VARIANTS else name


def environment(name: str = "") -> dict[str, str]:
    """The children's environment, for the variant of ours that `name` may be.

    A checkout that was built in place is measured without being installed.
    """
    env = dict(os.environ)
    source = Path(__file__).resolve().parent.parent / "src"
    if (source / OURS / "engine" / f"core{sysconfig.get_config_var('EXT_SUFFIX')}").exists():
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (env.get("PYTHONPATH", ""), str(source))))
    env.pop("PYTHONASYNCIODEBUG", None)
    env.pop("PYTHONDEVMODE", None)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    for setting in ("CLEARLOOP_WATCH", "CLEARLOOP_SLOW", "CLEARLOOP_RECORD", "CLEARLOOP_RECORD_ALL"):
        env.pop(setting, None)
    return env | VARIANTS.get(name, {})


def installed(names: tuple[str, ...] | list[str]) -> dict[str, dict[str, str]]:
    """For each name its version, or why it is missing; asked in another process, which may crash."""
    command = [sys.executable, "-c", _PROBE, *names]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    try:
        found: dict[str, dict[str, str]] = json.loads(answer.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):  # one of them took the interpreter down: ask for each alone
        if len(names) == 1:
            return {names[0]: {"missing": f"the interpreter died with status {answer.returncode}"}}
        found = {}
        for name in names:
            found.update(installed([name]))
    return found


def make(name: str) -> Any:
    if name in TRANSPORTS:
        transports, _, below = name.partition("+")
        return importlib.import_module(transports).patch_loop(make(below or "asyncio"))
    return importlib.import_module(name).new_event_loop()
