"""Real programs on clearloop's loop: what they share.

`run` gives every test a loop of its own.  What reaches the loop's exception handler fails the test: a program that got
its answers while the loop logged errors has not been served well.
"""

import asyncio
import gc
import resource
import ssl

import pytest
import servers
from chosen import FACTORIES, LOOP, TORTURE

import clearloop

LIMIT = 20  # seconds for one program: far more than any needs, so that only a hang meets it


class Programs:
    """Runs coroutines to their end; `errors` are the contexts that the loop's exception handler was given."""

    def __init__(self):
        self.errors = []

    def __call__(self, main, **settings):
        async def limited():
            loop = asyncio.get_running_loop()
            assert isinstance(loop, clearloop.EventLoop) or LOOP != "clearloop"
            loop.set_exception_handler(lambda loop, context: self.errors.append(context))
            async with asyncio.timeout(LIMIT):
                return await main

        with asyncio.Runner(loop_factory=FACTORIES[LOOP], **settings) as runner:
            return runner.run(limited())


@pytest.fixture
def run():
    programs = Programs()
    yield programs
    gc.collect()
    assert programs.errors == []


@pytest.fixture(autouse=True)
def garbage_collected_all_the_time():
    """Under torture a reference that somebody forgot to hold is gone at once."""
    before = gc.get_threshold()
    if TORTURE:
        gc.collect()
        gc.freeze()  # what pytest and the imports made stays out of it, or each collection would take milliseconds
        gc.set_threshold(1)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture(scope="session")
def many_descriptors():
    """Room for a thousand connections with both their ends in this process; skips where the system gives less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may have no more than {hard} descriptors here")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL of our own: `port` on 127.0.0.1, `folder` of its UNIX socket."""
    with servers.postgres() as found:
        yield found


@pytest.fixture(scope="session")
def postgres_tls(authority):
    """The same with TLS switched on."""
    with servers.postgres(authority.certificate) as found:
        yield found


@pytest.fixture(scope="session")
def redis_server(authority):
    """A Redis of our own: `port` and `tls_port` on 127.0.0.1, `path` of its UNIX socket."""
    with servers.redis(authority.certificate) as found:
        yield found


@pytest.fixture(scope="session")
def rabbitmq(authority):
    """A RabbitMQ node of our own: `port` and `tls_port` on 127.0.0.1."""
    with servers.rabbitmq(authority.certificate) as found:
        yield found


class Authority:
    """A certificate authority of our own, and what it has signed for localhost and 127.0.0.1."""

    def __init__(self, folder):
        trustme = pytest.importorskip("trustme", reason="trustme is not installed")
        self._authority = trustme.CA()
        self._issued = self._authority.issue_cert("localhost", "127.0.0.1")
        # the key, and the certificate with the authority's behind it, as servers in other languages take them
        chain = b"".join([blob.bytes() for blob in self._issued.cert_chain_pems])
        self.certificate = (self._issued.private_key_pem.bytes(), chain + self._authority.cert_pem.bytes())
        self.key_file, self.chain_file, self.ca_file = (str(folder / name) for name in ("key", "chain", "ca"))
        for path, text in zip((self.key_file, self.chain_file), self.certificate, strict=True):
            (folder / path).write_bytes(text)
        (folder / self.ca_file).write_bytes(self._authority.cert_pem.bytes())

    def server_context(self, **settings):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._issued.configure_cert(context)
        return _set(context, settings)

    def client_context(self, **settings):
        context = ssl.create_default_context(cafile=self.ca_file)
        return _set(context, settings)


def _set(context, settings):
    for name, value in settings.items():
        setattr(context, name, value)
    return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))
