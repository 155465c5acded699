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

PATIENCE = 60  # seconds for a server to start or stop


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
        settings = {"stdin": subprocess.DEVNULL, **settings}
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings
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

    def say(self, line):
        """Give it a line of input; for one that was started with stdin=PIPE."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

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
            if self.process.stdin is not None:
                self.process.stdin.close()


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
def postgres(certificate=None):
    """`certificate`, a pair of PEM texts (key, chain), switches TLS on."""
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
        if certificate:
            for name, text in zip(("server.key", "server.crt"), certificate, strict=True):
                _write(f"{data}/{name}", text, user)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "ssl": "on" if certificate else "off",
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


def _write(path, text, user):
    """A file that nobody but `user` reads, as servers want their keys."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(text)
    if user:
        os.chown(path, user["user"], user["group"])


@contextlib.contextmanager
def redis(certificate=None):
    """`certificate` as for postgres; then `tls_port` takes TLS, and clients need no certificate."""
    import signal

    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed")
    with _folder({}) as folder:
        port, path = free_port(), f"{folder}/redis.sock"
        words = [program, "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", path]
        words += ["--save", "", "--appendonly", "no", "--dir", folder]
        tls_port = None
        if certificate:
            tls_port = free_port()
            for name, text in zip(("key.pem", "chain.pem"), certificate, strict=True):
                _write(f"{folder}/{name}", text, {})
            words += ["--tls-port", str(tls_port), "--tls-auth-clients", "no", "--tls-key-file", f"{folder}/key.pem"]
            words += ["--tls-cert-file", f"{folder}/chain.pem", "--tls-ca-cert-file", f"{folder}/chain.pem"]
        with started(words, "[Rr]eady to accept connections", signal.SIGTERM, cwd=folder) as server:
            yield SimpleNamespace(port=port, path=path, tls_port=tls_port, server=server)


@contextlib.contextmanager
def rabbitmq(certificate=None):
    """A RabbitMQ node of our own, with an Erlang port mapper of its own; `tls_port` as for redis."""
    import signal

    program = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin") or shutil.which("rabbitmq-server")
    mapper = shutil.which("epmd")
    if program is None or mapper is None:
        pytest.skip("RabbitMQ is not installed")
    with _folder({}) as folder, contextlib.ExitStack() as stack:
        port, tls_port, mapper_port = free_port(), free_port(), free_port()
        settings = [f"listeners.tcp.1 = 127.0.0.1:{port}", "loopback_users = none"]
        if certificate:
            for name, text in zip(("key.pem", "chain.pem"), certificate, strict=True):
                _write(f"{folder}/{name}", text, {})
            settings += [f"listeners.ssl.1 = 127.0.0.1:{tls_port}", "ssl_options.verify = verify_none"]
            settings += [f"ssl_options.keyfile = {folder}/key.pem", f"ssl_options.certfile = {folder}/chain.pem"]
        with open(f"{folder}/rabbitmq.conf", "w") as file:
            file.write("\n".join(settings) + "\n")
        with open(f"{folder}/plugins", "w") as file:
            file.write("[].\n")
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": folder,  # of the cookie
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "clearloop@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "",
            "RABBITMQ_NODE_PORT": "",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RUNNING_UNDER_SYSTEMD": "1",  # the node itself is our child, not a shell that watches it
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
        }
        settings = {"cwd": folder, "env": environment}
        stack.enter_context(started([mapper, "-d"], "epmd running", signal.SIGTERM, **settings))
        server = stack.enter_context(started([program], "Server startup complete", signal.SIGTERM, **settings))
        yield SimpleNamespace(port=port, tls_port=tls_port, server=server)
