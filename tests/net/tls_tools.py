"""What the TLS tests share: certificates made for this run, contexts, both kinds of session, connected pairs, a relay.

The certificates come from the openssl command, live in a temporary folder, and are gone when the tests end.
"""

import asyncio
import atexit
import functools
import gc
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest
from stream_tools import Recorder, tcp_pair

from clearloop.net.tls import kinds
from clearloop.net.tls.native_session import NativeSession
from clearloop.net.tls.object_session import ObjectSession
from descriptors import open_descriptors

AUTHORITY = """
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
LEAF = """
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)


@functools.cache
def certificates():
    """A folder with ca.pem, and for each name NAME.pem and NAME.key that it has signed."""
    folder = Path(tempfile.mkdtemp(prefix="clearloop-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _request(folder, "ca", "/CN=clearloop's tests")
    (folder / "ca.ext").write_text(AUTHORITY)
    ca = folder / "ca"
    _openssl("x509", "-req", "-in", f"{ca}.csr", "-signkey", f"{ca}.key", "-days", 2, "-extfile", f"{ca}.ext",
             "-out", f"{ca}.pem")  # fmt: skip
    for serial, (name, host) in enumerate((("server", "localhost"), ("other", "other.test"), ("client", "client"))):
        _request(folder, name, f"/CN={host}")
        extensions = folder / f"{name}.ext"
        extensions.write_text(f"{LEAF}subjectAltName = DNS:{host}\n")
        _openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-days", 2,
                 "-set_serial", serial + 2, "-extfile", extensions, "-out", folder / f"{name}.pem")  # fmt: skip
    return folder


def _request(folder, name, subject):
    key = folder / f"{name}.key"
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    _openssl("req", "-new", "-key", key, "-subj", subject, "-out", folder / f"{name}.csr")


def server_context(name="server", version=None, verify_client=False):
    """A server's context; `version` is the only one that it speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates() / f"{name}.pem", certificates() / f"{name}.key")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if verify_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates() / "ca.pem")
    return context


def client_context(version=None, certificate=None):
    """A client's context that trusts our authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates() / "ca.pem")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificates() / f"{certificate}.pem", certificates() / f"{certificate}.key")
    return context


KINDS = {"object": ObjectSession, "native": NativeSession}


@pytest.fixture(params=list(KINDS))
def kind(request, monkeypatch):
    """Runs a test with each kind of session."""
    monkeypatch.setattr(kinds, "CHOICE", request.param)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    session = kinds.new_session(context, False, None)
    if type(session) is not KINDS[request.param]:
        pytest.skip("this Python's OpenSSL can only be had through the ssl module")
    return request.param


both_kinds = pytest.mark.usefixtures("kind")
versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


async def tls_pair(client_factory=Recorder, server_factory=Recorder, version=None, relay=None, **options):
    """Two transports of ours that talk TLS with each other: (client, its protocol), (server, its protocol).

    `relay(sock, sock)` is given the two ends of what lies between them, a coroutine function that carries the bytes.
    """
    loop = asyncio.get_running_loop()
    near, far = tcp_pair()
    carrying = None
    if relay is not None:
        middle_near, middle_far = far, None
        middle_far, far = tcp_pair()
        for sock in (middle_near, middle_far):
            sock.setblocking(False)
        carrying = loop.create_task(relay(middle_near, middle_far))
    server = loop.create_task(
        loop.connect_accepted_socket(server_factory, far, ssl=server_context(version=version), **options)
    )
    client = loop.create_task(
        loop.create_connection(
            client_factory, sock=near, ssl=client_context(version), server_hostname="localhost", **options
        )
    )
    answers = await asyncio.gather(client, server)
    if carrying is not None:
        for _, protocol in answers:
            protocol.carrying = carrying  # held as long as the connection
    return answers


def held_descriptors():
    """Those that are open when a test begins, without what earlier ones have left to the collector."""
    gc.collect()
    return open_descriptors()


async def raw_peer(factory=Recorder, server_side=False, version=None, **options):
    """A TLS transport of ours, and a `Peer` on the other side that the test moves by hand."""
    loop = asyncio.get_running_loop()
    ours, theirs = tcp_pair()
    peer = Peer(theirs, not server_side, version)
    if server_side:
        making = loop.connect_accepted_socket(factory, ours, ssl=server_context(version=version), **options)
    else:
        making = loop.create_connection(
            factory, sock=ours, ssl=client_context(version), server_hostname="localhost", **options
        )
    shaking = loop.create_task(peer.handshake())
    transport, protocol = await making
    await shaking
    return transport, protocol, peer


class Peer:
    """The other end of a connection: TLS over memory, every byte on the wire in the test's hands."""

    def __init__(self, sock, server_side, version=None):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent in pieces leaves in pieces, at once
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if server_side:
            self.tls = server_context(version=version).wrap_bio(self.incoming, self.outgoing, server_side=True)
        else:
            self.tls = client_context(version).wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    async def handshake(self):
        await self.attempt(self.tls.do_handshake)

    async def attempt(self, call, *arguments):
        """Call until it needs nothing more from the other side."""
        while True:
            try:
                result = call(*arguments)
            except ssl.SSLWantReadError:
                await self.flush()
                await self.more()
            else:
                await self.flush()
                return result

    async def more(self):
        """Wait for something to come in; raises EOFError at the end."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if not data:
            raise EOFError
        self.incoming.write(data)

    async def flush(self):
        if self.outgoing.pending:
            await self.send_raw(self.outgoing.read())

    async def send_raw(self, data):
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def records(self, data):
        """The ciphertext of `data`."""
        self.tls.write(data)
        return self.outgoing.read()

    def goodbye(self):
        """The ciphertext of our close_notify."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the other's has not come yet, or there is data before it
        return self.outgoing.read()

    async def send(self, data):
        await self.send_raw(self.records(data))

    async def read(self, size):
        """Exactly `size` bytes of plaintext."""
        data = b""
        while len(data) < size:
            data += await self.attempt(self.tls.read, size - len(data))
        return data

    async def read_to_close(self):
        """All plaintext up to the close_notify; raises EOFError when the stream ends without one."""
        data = b""
        while True:
            try:
                part = await self.attempt(self.tls.read, 65536)
            except ssl.SSLZeroReturnError:
                return data
            if not part:
                return data
            data += part

    def end(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()
