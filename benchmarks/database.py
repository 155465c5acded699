"""A PostgreSQL of the benchmarks' own, for the rows in which a client talks to one."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds until it must answer


class NoDatabase(RuntimeError):
    """There is none here, or it does not start; the text says why."""


@contextlib.contextmanager
def postgresql() -> Iterator[int]:
    """A fresh server on a free port of 127.0.0.1, which trusts everybody there; yields the port, and stops it."""
    programs = _programs()
    user = _unprivileged()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        if user:
            os.chown(folder, user["user"], user["group"])
        options = {"stdin": subprocess.DEVNULL, "cwd": folder, **user}
        made = subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            **options,
        )
        if made.returncode:
            raise NoDatabase(f"initdb failed: {(made.stderr.strip().splitlines() or ['it says nothing'])[-1]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", f"port={port}"]
        command = [str(programs / "postgres"), "-D", data]
        for setting in settings:
            command += ["-c", setting]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        try:
            _wait_for(server, programs, port)
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for its clients
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _programs() -> Path:
    """The folder of initdb and postgres, of the newest version."""
    folders = [Path(found).parent for found in glob.glob("/usr/lib/postgresql/*/bin/postgres")]
    on_path = shutil.which("postgres")
    if folders:
        return max(folders, key=lambda folder: [int(part) for part in folder.parts[-2].split(".") if part.isdigit()])
    if on_path:
        return Path(on_path).parent
    raise NoDatabase("PostgreSQL is not installed")


def _unprivileged() -> dict[str, Any]:
    """What makes subprocess start a program that refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoDatabase("PostgreSQL does not run as root, and there is no other user")


def _wait_for(server: subprocess.Popen[bytes], programs: Path, port: int) -> None:
    end = time.monotonic() + PATIENCE
    asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(asked, stdin=subprocess.DEVNULL, check=False).returncode:
        if server.poll() is not None:
            raise NoDatabase(f"postgres ended with status {server.returncode}")
        if time.monotonic() > end:
            raise NoDatabase(f"postgres did not answer within {PATIENCE:.0f} s")
        time.sleep(0.05)
