"""RabbitMQ and PostgreSQL that a test takes down and brings up again, with what they had stored."""

import contextlib
import os
import signal
import subprocess

import pytest
import servers

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Restartable:
    """A server process that can be killed and started again, on the same port and folder."""

    def __init__(self, words, ready, **settings):
        self.words, self.ready, self.settings = words, ready, settings
        self.server = None

    def start(self):
        self.server = servers.Server(self.words, **self.settings)
        self.server.wait_for(self.ready)

    def stop(self, number):
        if self.server is not None:
            self.server.stop(number)
            self.server = None


@contextlib.contextmanager
def rabbitmq():
    """A broker of our own; its address is `url`."""
    if not os.path.exists(RABBITMQ):
        pytest.skip("RabbitMQ is not installed")
    user = servers._unprivileged()
    with servers._folder(user) as folder:
        port, inside, names = servers.free_port(), servers.free_port(), servers.free_port()
        env = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"clearloop{port}@localhost",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(inside),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PLUGINS_EXPAND_DIR": f"{folder}/plugins",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
        }
        broker = Restartable([RABBITMQ], "startup complete", cwd=folder, env=env, **user)
        broker.url = f"amqp://guest:guest@127.0.0.1:{port}/"
        try:
            broker.start()
            yield broker
        finally:
            broker.stop(signal.SIGTERM)
            subprocess.run(["epmd", "-port", str(names), "-kill"], env=env, capture_output=True, timeout=30)


@contextlib.contextmanager
def postgres():
    """A database server of our own; its address is `url`."""
    with servers.postgres() as first:  # it makes the folder and the settings
        process = first.server.process
        user = servers._unprivileged()
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": first.folder}
        ready = "ready to accept connections"
        database = Restartable(list(process.args), ready, cwd=first.folder, env=env, **user)
        database.url = f"postgresql://postgres@127.0.0.1:{first.port}/postgres?sslmode=disable"
        database.server = first.server
        try:
            yield database
        finally:
            database.stop(signal.SIGINT)
