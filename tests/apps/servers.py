"""Real servers for the tests: each started on a free loopback port in a folder of its own, and stopped by its pid."""

import contextlib
import glob
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from types import SimpleNamespace

import pytest

PATIENCE = 30  # seconds for a server to start or stop


def free_port():
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """A server process whose output is kept; `wait_for` returns once a line of it matches."""

    def __init__(self, words, **settings):
        self.lines = []
        self._arrived = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._arrived:
                self.lines.append(line)
                self._arrived.notify_all()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    @property
    def output(self):
        return "".join(self.lines)

    def wait_for(self, pattern):
        """The match of `pattern` in the output, once it is there; fails the test when the process ends before."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._ended or re.search(pattern, self.output), PATIENCE)
            match = re.search(pattern, self.output)
        assert match, f"no {pattern!r} in what {self.process.args[0]} said:\n{self.output}"
        return match

    def wait(self):
        """Wait for the end, and return the exit status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self, number):
        """Send the signal `number` (if still needed), and wait for the end; kills what does not obey."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(number)
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            raise
        finally:
            self.process.stdout.close()


@contextlib.contextmanager
def started(words, ready, stop_signal, **settings):
    """A server that has said `ready` (a pattern); stopped in the end, whatever happens."""
    server = Server(words, **settings)
    try:
        server.wait_for(ready)
        yield server
    finally:
        server.stop(stop_signal)


def _unprivileged():
    """What makes subprocess start a program that refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.skip("running as root, and there is no other user to run a server as")


@contextlib.contextmanager
def _folder(user):
    """A short path (UNIX sockets have room for a hundred letters) that `user` owns."""
    folder = tempfile.mkdtemp(prefix="clearloop-")
    try:
        if user:
            os.chown(folder, user["user"], user["group"])
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres():
    import signal

    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres")) or [shutil.which("postgres")]
    if found[-1] is None:
        pytest.skip("PostgreSQL is not installed")
    programs = os.path.dirname(found[-1])
    user = _unprivileged()
    with _folder(user) as folder:
        data = f"{folder}/data"
        settings = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": folder}, **user}
        subprocess.run(
            [f"{programs}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            timeout=60,
            **settings,
        )
        port = free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "ssl": "off",
            "fsync": "off",
            "max_connections": 60,
            "shared_buffers": "16MB",
            "logging_collector": "off",
        }
        words = [f"{programs}/postgres", "-D", data]
        for name, value in options.items():
            words += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown: open connections are ended
        with started(words, "ready to accept connections", signal.SIGINT, **settings) as server:
            yield SimpleNamespace(port=port, folder=folder, server=server)


@contextlib.contextmanager
def redis():
    import signal

    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed")
    with _folder({}) as folder:
        port, path = free_port(), f"{folder}/redis.sock"
        words = [program, "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", path]
        words += ["--save", "", "--appendonly", "no", "--dir", folder]
        with started(words, "[Rr]eady to accept connections", signal.SIGTERM, cwd=folder) as server:
            yield SimpleNamespace(port=port, path=path, server=server)
