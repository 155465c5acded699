"""Both kinds of TLS session, driven by hand: what they promise, that they fail alike, and that the one that calls
OpenSSL itself knows when to leave that to the ssl module."""

import _ssl
import ctypes
import gc
import itertools
import os
import ssl
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import pytest

import clearloop
from clearloop.net.tls import native_session
from clearloop.net.tls.by_hand import HandDriven
from clearloop.net.tls.native_session import layout_of, make_native_session, refusal
from clearloop.net.tls.object_session import make_object_session

CERTIFICATES = Path(__file__).parent / "certificates"
SOURCE = str(Path(clearloop.__file__).parents[1])  # the one that is tested, which may be an installed one
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = [TLS12, TLS13]


# The one that _ssl calls, be it linked or not: a database's driver may bring another into the same process
OPENSSL = ctypes.CDLL(getattr(_ssl, "__file__", None))


def why_not():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return refusal(incoming, outgoing, context.wrap_bio(incoming, outgoing, server_hostname="localhost"))


KINDS = ["object"] if why_not() else ["object", "native"]
needs_native = pytest.mark.skipif(len(KINDS) == 1, reason="OpenSSL cannot be called here")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def session(kind, context, server_side, hostname="localhost"):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ssl_object = context.wrap_bio(
        incoming, outgoing, server_side=server_side, server_hostname=None if server_side else hostname
    )
    if kind == "object":
        return HandDriven(make_object_session(incoming, outgoing, ssl_object))
    assert refusal(incoming, outgoing, ssl_object) is None
    return HandDriven(make_native_session(incoming, outgoing, ssl_object))


def server_context(certificate="localhost.pem"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / certificate)
    return context


def client_context(authority="ca.pem"):
    return ssl.create_default_context(cafile=CERTIFICATES / authority)


def pair(kind, version=None, server=None, client=None):
    server, client = server or server_context(), client or client_context()
    if version is not None:
        client.minimum_version = client.maximum_version = version
    return session(kind, server, True), session(kind, client, False)


def carry(source, target, change=None):
    data = source.take()
    if data:
        target.feed(data if change is None else change(data))
    return data


def shake_hands(server, client):
    answers = {server: "WANT_READ", client: "WANT_READ"}
    for _ in range(10):
        for one, other in ((client, server), (server, client)):
            if answers[one] != "DONE":
                answers[one] = one.handshake()
            carry(one, other)
        if set(answers.values()) == {"DONE"}:
            return
    raise AssertionError(f"no handshake: {answers}")


def read_all(one, size=65536):
    """(what can be read, the answer that ended it)"""
    pieces = []
    while True:
        piece = one.read(size)
        if isinstance(piece, str):
            return b"".join(pieces), piece
        pieces.append(piece)


# ---- what a session promises -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_exchange(kind, version):
    server, client = pair(kind, version)
    assert client.handshake() == "WANT_READ"
    shake_hands(server, client)
    assert client.ssl_object.version() == version.name.replace("_", ".")
    for one, other in ((server, client), (client, server)):
        assert one.write(b"hello") == 5
        carry(one, other)
        assert read_all(other) == (b"hello", "WANT_READ")
        assert other.unread() == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 100, 16384, 100_000])
def test_a_megabyte(kind, version, size):
    """Written in one go, read in pieces of `size`."""
    server, client = pair(kind, version)
    shake_hands(server, client)
    sent, got = os.urandom(1_000_000 if size > 1 else 20_000), bytearray()
    left = sent
    while left:
        count = server.write(left)
        if isinstance(count, int):
            left = left[count:]
        else:
            assert count == "WANT_WRITE"  # the outgoing buffer is bounded
        carry(server, client)
        got += read_all(client, size)[0]
    assert bytes(got) == sent


def test_outgoing_is_bounded(kind):
    server, client = pair(kind)
    shake_hands(server, client)
    if kind == "object":
        pytest.skip("a MemoryBIO takes all: the transport bounds it")
    taken = 0
    for _ in range(100):
        count = server.write(bytes(1_000_000))
        if count == "WANT_WRITE":
            break
        taken += count
    assert 16384 <= taken <= 512 * 1024
    assert len(server.take()) > taken
    assert server.write(b"x") == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_records_split_at_every_byte(kind, version):
    server, client = pair(kind, version)
    shake_hands(server, client)
    for _ in range(3):
        server.write(b"first")
    server.write(b"x" * 300)
    data = server.take()
    expected = b"first" * 3 + b"x" * 300
    got = b""
    for place in range(len(data)):
        client.feed(data[place : place + 1])
        got += read_all(client)[0]
        assert got == expected[: len(got)]
    assert got == expected
    # and in two parts, fed before anything is read
    server.write(b"again")
    data = server.take()
    for place in range(1, len(data)):
        client.feed(data[:place])
        client.feed(data[place:])
        assert read_all(client) == (b"again", "WANT_READ")
        server.write(b"again")
        data = server.take()


@pytest.mark.parametrize("version", VERSIONS)
def test_handshake_split_at_every_byte(kind, version):
    server, client = pair(kind, version)
    client.handshake()
    flying = {server: b"", client: b""}
    done = set()
    while len(done) < 2 or any(flying.values()):
        for one, other in ((client, server), (server, client)):
            flying[one] += one.take()
            while flying[one]:
                other.feed(flying[one][:1])
                flying[one] = flying[one][1:]
                if other not in done:
                    if other.handshake() == "DONE":
                        done.add(other)
                else:
                    assert other.read(100) == "WANT_READ"  # tickets
    server.write(b"done")
    carry(server, client)
    assert read_all(client) == (b"done", "WANT_READ")


def test_what_is_not_read_waits(kind):
    server, client = pair(kind)
    shake_hands(server, client)
    read_all(client)
    for number in range(20):
        server.write(b"%d," % number)
        carry(server, client)
        assert client.unread() > 0
    assert client.read(1) == b"0"
    assert client.unread() > 0
    assert read_all(client, 3) == (b",1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,", "WANT_READ")
    assert client.unread() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_shutdown(kind, version):
    server, client = pair(kind, version)
    shake_hands(server, client)
    server.write(b"last words")
    assert server.shutdown() == "WANT_READ"
    assert server.shutdown() == "WANT_READ"  # once is enough
    carry(server, client)
    assert read_all(client) == (b"last words", "CLOSED")
    assert client.read(10) == "CLOSED"
    assert client.shutdown() == "DONE"
    carry(client, server)
    assert server.read(10) == "CLOSED"
    assert server.shutdown() == "DONE"


def test_what_comes_after_our_close_notify_is_still_read(kind):
    if kind == "object":
        pytest.skip("unwrap() takes it for an error")
    server, client = pair(kind)
    shake_hands(server, client)
    read_all(client)
    assert client.shutdown() == "WANT_READ"
    server.write(b"too late")
    carry(server, client)
    assert read_all(client) == (b"too late", "WANT_READ")
    carry(client, server)
    assert server.read(10) == "CLOSED"
    assert server.shutdown() == "DONE"
    carry(server, client)
    assert client.read(10) == "CLOSED"
    assert client.shutdown() == "DONE"


def test_the_context_is_honoured(kind):
    server, client = server_context(), client_context()
    names = []
    server.sni_callback = lambda ssl_object, name, context: names.append((ssl_object, name, context))
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["http/1.1"])
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(CERTIFICATES / "ca.pem")
    client.load_cert_chain(CERTIFICATES / "client.pem")
    one, other = pair(kind, None, server, client)
    shake_hands(one, other)
    assert names == [(one.ssl_object, "localhost", server)]
    assert one.ssl_object.selected_alpn_protocol() == other.ssl_object.selected_alpn_protocol() == "http/1.1"
    assert dict(field[0] for field in one.ssl_object.getpeercert()["subject"]) == {"commonName": "a client"}
    assert dict(field[0] for field in other.ssl_object.getpeercert()["subject"]) == {"commonName": "localhost"}
    carry(one, other)
    read_all(other)
    assert other.ssl_object.session.has_ticket


def test_the_context_that_the_sni_callback_sets(kind):
    rsa = server_context("rsa.pem")
    server = server_context()

    def choose(ssl_object, name, context):
        ssl_object.context = rsa

    server.sni_callback = choose
    one, other = pair(kind, None, server)
    shake_hands(one, other)
    assert one.ssl_object.context is rsa
    one.write(b"hello")
    carry(one, other)
    assert read_all(other)[0] == b"hello"


@needs_native
def test_new_keys(kind):
    """A KeyUpdate that asks for one in return, from either side, between two records."""
    server, client = pair(kind, TLS13)
    shake_hands(server, client)
    incoming, outgoing, ssl_object = wrapped(client_context())
    offset = layout_of(ssl_object._sslobj, incoming, outgoing, ssl_object.context)[0]
    requested = 1
    for number in range(10):
        one, other = (server, client) if number % 2 else (client, server)
        place = ctypes.c_void_p.from_address(id(one.ssl_object._sslobj) + offset)
        assert OPENSSL.SSL_key_update(place, requested) == 1
        one.write(b"under new keys")
        carry(one, other)
        assert read_all(other) == (b"under new keys", "WANT_READ")
        assert other.write(b"here too") == 8
        carry(other, one)
        assert read_all(one) == (b"here too", "WANT_READ")


def test_authentication_after_the_handshake(kind):
    server, client = server_context(), client_context()
    server.load_verify_locations(CERTIFICATES / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.post_handshake_auth = client.post_handshake_auth = True
    client.load_cert_chain(CERTIFICATES / "client.pem")
    one, other = pair(kind, TLS13, server, client)
    shake_hands(one, other)
    assert one.ssl_object.getpeercert() is None or not one.ssl_object.getpeercert()
    one.ssl_object.verify_client_post_handshake()
    one.write(b"who are you?")
    carry(one, other)
    assert read_all(other)[0] == b"who are you?"
    other.write(b"me")
    carry(other, one)
    assert read_all(one)[0] == b"me"
    assert dict(field[0] for field in one.ssl_object.getpeercert()["subject"]) == {"commonName": "a client"}


# ---- they fail alike -------------------------------------------------------------------------------------------------


def told(error):
    """All that a program can ask an exception of."""
    names = ("errno", "strerror", "reason", "library", "verify_code", "verify_message")
    return (type(error), error.args, *(getattr(error, name, None) for name in names))


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return told(error)


def flipped(place):
    def change(data):
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    return change


def story(kind, server, client, hostname, change_hello, change_answer, change_data):
    """What each side is told, call by call, with the traffic changed on its way.  Who has failed is left alone."""
    chapters, failed, done = [], set(), set()
    one, other = session(kind, server, True), session(kind, client, False, hostname)
    names = {one: "server", other: "client"}

    def note(side, what, *arguments):
        if side in failed:
            return None
        answer = attempt(getattr(side, what), *arguments)
        chapters.append((names[side], what, answer))
        if isinstance(answer, tuple):
            failed.add(side)
        return answer

    def send(side, peer, change=None):
        chapters.append((names[side], "sent", bool(carry(side, peer, change))))

    for turn in range(6):
        for side, peer, change in ((other, one, change_hello), (one, other, change_answer)):
            if side not in done and note(side, "handshake") == "DONE":
                done.add(side)
            send(side, peer, change if turn == 0 else None)
        if len(done) == 2:
            break
    for side, peer in ((other, one), (one, other)) if len(done) == 2 else ():
        note(side, "write", b"some data")
        send(side, peer, change_data)
        note(peer, "read", 100)
        send(peer, side)
        note(side, "read", 100)
        note(side, "write", b"more data")
        send(side, peer)
        note(peer, "read", 100)
    note(one, "shutdown")
    note(one, "write", b"too late")
    send(one, other)
    for _ in range(4):
        note(other, "read", 100)
    note(other, "shutdown")
    note(other, "write", b"too late")
    return chapters


def faults():
    def contexts(server=None, client=None, certificate="localhost.pem", authority="ca.pem"):
        def make(version):
            s, c = server_context(certificate), client_context(authority)
            c.minimum_version = c.maximum_version = version
            for change, context in ((server, s), (client, c)):
                if change:
                    change(context)
            return s, c

        return make

    def set_minimum(context):
        context.minimum_version = TLS13 if context.maximum_version != TLS12 else TLS12

    def only(cipher):
        return lambda context: context.set_ciphers(cipher)

    def demand(context):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATES / "ca.pem")

    def lying(context):
        context.load_cert_chain(CERTIFICATES / "stranger.pem")

    def refuse(context):
        context.sni_callback = lambda ssl_object, name, context: ssl.ALERT_DESCRIPTION_ACCESS_DENIED

    def confuse(context):
        context.sni_callback = lambda ssl_object, name, context: 1 / 0

    def old(context):
        context.maximum_version = TLS12

    def new(context):
        context.minimum_version = TLS13

    both = contexts()
    yield "nothing", both, "localhost", {}
    yield "unknown authority", contexts(certificate="stranger.pem"), "localhost", {}
    yield "expired", contexts(certificate="expired.pem"), "localhost", {}
    yield "another name", both, "example.org", {}
    yield "another address", both, "127.0.0.2", {}
    yield "server too old", contexts(server=old), "localhost", {}
    yield "server too new", contexts(server=new), "localhost", {}
    yield (
        "no shared cipher",
        contexts(only("ECDHE-ECDSA-AES128-GCM-SHA256"), only("ECDHE-RSA-AES128-GCM-SHA256")),
        ("localhost"),
        {},
    )
    yield "no client certificate", contexts(server=demand), "localhost", {}
    yield "a stranger's client certificate", contexts(server=demand, client=lying), "localhost", {}
    yield "a name that is refused", contexts(server=refuse), "localhost", {}
    yield "a server that chokes on the name", contexts(server=confuse), "localhost", {}
    yield "a hello that is HTTP", both, "localhost", {"hello": lambda data: b"GET / HTTP/1.1\r\n\r\n"}
    yield "a hello of nonsense", both, "localhost", {"hello": lambda data: b"\x16\x03\x01\x00\x10" + b"x" * 16}
    yield "a hello with one bit wrong", both, "localhost", {"hello": flipped(40)}
    yield "an answer that is SMTP", both, "localhost", {"answer": lambda data: b"220 ready\r\n"}
    yield "an answer with one bit wrong", both, "localhost", {"answer": flipped(-1)}
    yield "an answer cut short", both, "localhost", {"answer": lambda data: data[:-8]}
    yield "data with one bit wrong", both, "localhost", {"data": flipped(-1)}
    yield "data of another type", both, "localhost", {"data": flipped(0)}
    yield "data of another version", both, "localhost", {"data": flipped(1)}
    # eight bytes, since one that follows might by chance be the right one
    yield "data cut short", both, "localhost", {"data": lambda data: data[:-8]}
    yield "data twice", both, "localhost", {"data": lambda data: data * 2}
    yield "data too long", both, "localhost", {"data": lambda data: data[:3] + b"\xff\xff" + b"x" * 70000}
    yield "data that is no TLS", both, "localhost", {"data": lambda data: b"hello world"}
    yield "an alert in the clear", both, "localhost", {"data": lambda data: b"\x15\x03\x03\x00\x02\x02\x28"}
    yield "a close_notify in the clear", both, "localhost", {"data": lambda data: b"\x15\x03\x03\x00\x02\x01\x00"}


@needs_native
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("fault", list(faults()), ids=lambda fault: fault[0])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_same_errors(fault, version):
    """Every exception, its class, text, numbers and attributes, and whether something is sent: as in the ssl module."""
    _, contexts, hostname, changes = fault
    stories = []
    for kind in KINDS:
        server, client = contexts(version)
        parts = [changes.get(part) for part in ("hello", "answer", "data")]
        stories.append(story(kind, server, client, hostname, *parts))
    known, own = stories
    for expected, got in itertools.zip_longest(known, own):
        assert got == expected


@needs_native
def test_the_faults_are_some():
    """So that the table above cannot become one of equal successes."""
    failed = 0
    for name, contexts, hostname, changes in faults():
        for version in VERSIONS:
            server, client = contexts(version)
            parts = [changes.get(part) for part in ("hello", "answer", "data")]
            chapters = story("native", server, client, hostname, *parts)
            errors = [answer for _, _, answer in chapters if isinstance(answer, tuple)]
            assert all(issubclass(error[0], ssl.SSLError) for error in errors), name
            failed += any(error[0] is not ssl.SSLZeroReturnError for error in errors)
    assert failed >= 35


# ---- who may call OpenSSL --------------------------------------------------------------------------------------------


def test_native_wherever_openssl_can_be_found_by_name():
    if hasattr(OPENSSL, "SSL_read_ex"):
        assert why_not() is None
    else:
        assert "linked statically" in why_not()


def wrapped(context, **options):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return incoming, outgoing, context.wrap_bio(incoming, outgoing, server_hostname="localhost", **options)


@needs_native
def test_contexts_that_are_left_to_the_ssl_module(tmp_path):
    context = client_context()
    assert refusal(*wrapped(context)) is None
    context.keylog_filename = str(tmp_path / "keys")
    assert "keys" in refusal(*wrapped(context))
    context = client_context()
    context._msg_callback = lambda *arguments: None
    assert "message callback" in refusal(*wrapped(context))

    class Own(ssl.SSLObject):
        pass

    context = client_context()
    context.sslobject_class = Own
    assert "own class" in refusal(*wrapped(context))


@needs_native
def test_buffers_of_another_connection():
    incoming, outgoing, ssl_object = wrapped(client_context())
    others = wrapped(client_context())
    assert refusal(incoming, outgoing, ssl_object) is None
    assert refusal(others[0], others[1], ssl_object) == "an _SSLSocket of another layout"
    assert refusal(outgoing, incoming, ssl_object) == "an _SSLSocket of another layout"
    with pytest.raises(SystemError):
        make_native_session(others[0], others[1], ssl_object)
    session = make_native_session(incoming, outgoing, ssl_object)
    assert refusal(incoming, outgoing, ssl_object) == "an _SSLSocket of another layout"  # it has been taken over
    del session


class Words:
    """An object whose memory begins with whatever is put into it."""

    __slots__ = tuple("abcdefghijkl")


@needs_native
def test_what_does_not_look_like_an_ssl_socket():
    """The search reads nothing that it may not, whatever stands where a pointer is expected."""
    incoming, outgoing, ssl_object = wrapped(client_context())
    context, socket = ssl_object.context, ssl_object._sslobj
    found = layout_of(socket, incoming, outgoing, context)
    assert all(16 <= offset < type(socket).__basicsize__ for offset in found[:1])
    numbers = [1.5, -1.0, 5e-324, float("nan"), 1e300, 6.9e-310, 4.6e-310, 2.0**-1000, 1 << 40, -1, 0, 7, 2**62]
    strange = Words()
    for name, value in enumerate([incoming, outgoing, context, socket, strange, None, numbers, b"x"]):
        setattr(strange, Words.__slots__[name], value)
    suspects = [*numbers, strange, b"", "text" * 100, [socket], (incoming, outgoing), {}, object(), type, socket.read]
    for suspect in suspects:
        assert isinstance(layout_of(suspect, incoming, outgoing, context), str)
        assert isinstance(layout_of(socket, suspect, outgoing, context), str)
        assert isinstance(layout_of(socket, incoming, suspect, context), str)
        assert isinstance(layout_of(socket, incoming, outgoing, suspect), str)
    assert isinstance(layout_of(socket, incoming, incoming, context), str)
    assert isinstance(layout_of(socket, outgoing, incoming, context), str)
    assert isinstance(layout_of(socket, incoming, outgoing, client_context()), str)
    assert layout_of(socket, incoming, outgoing, context) == found


def run(program, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, *sys.path]), **environment}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FRESH = """
    import _ssl, ssl
    {before}
    from clearloop.net.tls import kinds
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ssl_object = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    {then}
    print(kinds.why_not_native(incoming, outgoing, ssl_object))
    print(type(kinds.new_session(context, False, "localhost")).__name__)
"""


@needs_native
@pytest.mark.parametrize(
    "before, answer",
    [
        ("_ssl.__file__ = '/nowhere/_ssl.so'", "the _ssl module is not where it says"),
        ("ssl.OPENSSL_VERSION = 'LibreSSL 4.0'", "not OpenSSL, but a relative"),
        ("ssl.OPENSSL_VERSION = 'OpenSSL 9.9'", "another OpenSSL than _ssl's"),
        ("import _struct; _ssl.__file__ = getattr(_struct, '__file__', None) or '/nowhere'", ""),
        ("del _ssl.__file__", ""),
    ],
)
def test_without_the_library(before, answer):
    why, kind = run(FRESH.format(before=before, then="")).splitlines()
    assert kind == "ObjectSession"
    assert why != "None" and answer in why


def openssl_is_linked():
    """Whether a fresh process has libssl as a file, and its place can be read."""
    return os.path.exists("/proc/self/maps") and "/libssl" in run("import _ssl; print(open('/proc/self/maps').read())")


needs_a_file = pytest.mark.skipif(len(KINDS) == 1 or not openssl_is_linked(), reason="there is no libssl to load again")


@needs_a_file
def test_another_openssl_in_the_global_scope():
    """Whether _ssl calls it or its own cannot be known then; here they are one, and nothing is wrong."""
    before = "import ctypes, re, os; maps = open('/proc/self/maps').read()"
    before += "; ctypes.CDLL(re.search(r'/[^ ]*libssl[^ \\n]*', maps)[0], os.RTLD_GLOBAL)"
    assert run(FRESH.format(before=before, then="")).splitlines() == ["None", "NativeSession"]


@needs_a_file
def test_the_same_openssl_a_second_time(tmp_path):
    """In the global scope, while _ssl has its own inside: nothing but where the SSL was made tells them apart."""
    before = f"""import ctypes, os, re, shutil
    maps = open("/proc/self/maps").read()
    copy = shutil.copy(re.search(r"/[^ ]*libssl[^ \\n]*", maps)[0], {str(tmp_path / "libssl.so")!r})
    ctypes.CDLL(copy, os.RTLD_GLOBAL)
    del _ssl.__file__"""
    why, kind = run(FRESH.format(before=before, then="")).splitlines()
    assert (why, kind) == ("an SSL of another OpenSSL", "ObjectSession")


@needs_native
def test_a_first_connection_that_is_not_understood():
    """The layout is looked for again with the next one."""
    then = """
    from clearloop.net.tls.native_session import refusal
    print(refusal(ssl.MemoryBIO(), ssl.MemoryBIO(), ssl_object))
    """
    lines = run(textwrap.dedent(FRESH).format(before="", then=textwrap.dedent(then))).splitlines()
    assert lines == ["an _SSLSocket without a visible SSL", "None", "NativeSession"]


@pytest.mark.parametrize("choice", ["object", "native", ""])
def test_the_environment_chooses(choice):
    kind = run(FRESH.format(before="", then=""), CLEARLOOP_TLS=choice).splitlines()[1]
    assert kind == ("ObjectSession" if choice == "object" or len(KINDS) == 1 else "NativeSession")


@needs_native
@pytest.mark.parametrize("allocator", ["malloc", "malloc_debug", "pymalloc_debug"])
def test_with_other_allocators(allocator):
    assert run(FRESH.format(before="", then=""), PYTHONMALLOC=allocator).splitlines() == ["None", "NativeSession"]


# ---- nothing is left, and nothing is missed --------------------------------------------------------------------------


def test_the_ssl_object_may_outlive_its_session(kind):
    server, client = pair(kind)
    shake_hands(server, client)
    kept = client.ssl_object
    client.end()
    del client
    gc.collect()
    assert kept.version().startswith("TLS")
    for call, argument in ((kept.read, 10), (kept.write, b"x")):
        try:
            call(argument)
        except ssl.SSLError:
            pass
    try:
        kept.unwrap()
    except ssl.SSLError:
        pass


def test_sessions_in_cycles(kind):
    """Through the SSLObject, as programs that hang something on it make them: the collector takes them away."""

    class Program:
        pass

    program = Program()
    program.sessions = pair(kind)
    shake_hands(*program.sessions)
    for session in program.sessions:
        session.ssl_object.program = program
    reference = weakref.ref(program)
    del program, session
    gc.collect()
    assert reference() is None


def test_sessions_dropped_at_any_moment(kind):
    for turns in range(5):
        server, client = pair(kind)
        for _ in range(turns):
            for one, other in ((client, server), (server, client)):
                one.handshake()
                carry(one, other)
        if turns % 2:
            server.end()
        del server, client
    gc.collect()


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_handshakes_leak_nothing(kind):
    """CLEARLOOP_HANDSHAKES=10000 for the long one."""
    server, client = server_context(), client_context()

    def once(fail):
        one, other = pair(kind, None, server, client)
        shake_hands(one, other)
        written = 0
        while written < 50_000:
            written += one.write(bytes(50_000 - written))
        data = carry(one, other, flipped(-1) if fail else None)
        try:
            assert read_all(other) == (bytes(50_000), "WANT_READ") and not fail
        except ssl.SSLError:
            assert fail
        one.feed(data[:100])  # left unread

    count = int(os.environ.get("CLEARLOOP_HANDSHAKES", "300"))
    for number in range(count // 3):
        once(number % 2)
    gc.collect()
    before = resident()
    for number in range(count):
        once(number % 2)
    gc.collect()
    assert resident() - before < 2_000_000 + 100 * count


@needs_native
def test_the_queue_of_errors_is_not_the_callers(kind):
    """What another user of OpenSSL has left in its queue is neither reported here nor in the way."""
    if kind == "object":
        pytest.skip("the ssl module's own")
    if not hasattr(OPENSSL, "ERR_new"):
        pytest.skip("OpenSSL 3 has the functions for it")
    server, client = pair(kind)
    shake_hands(server, client)

    def litter():
        OPENSSL.ERR_new()
        OPENSSL.ERR_set_error(20, 193, None)

    litter()
    assert server.write(b"hello") == 5
    carry(server, client)
    litter()
    assert client.read(100) == b"hello"
    litter()
    assert client.read(100) == "WANT_READ"
    server.write(b"again")
    client.feed(server.take()[:10])
    litter()
    assert client.read(100) == "WANT_READ"
    litter()
    assert server.shutdown() == "WANT_READ"


def test_module_is_small():
    """Idle, a session has no buffer: what is pooled is bounded whatever has been written."""
    assert native_session.POOLED_AT_MOST <= 4 * 512 * 1024
