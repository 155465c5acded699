"""What the tests of sock_* and of datagrams share: a loop per test with a limit, sockets in pairs, open descriptors."""

import asyncio
import functools
import socket

import clearloop

LIMIT = 20  # seconds; a test that needs them hangs


def on_loop(test):
    """Run an async test on a loop of its own; what nobody caught fails it."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        complaints = []
        loop = clearloop.new_event_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(context))

        async def limited():
            async with asyncio.timeout(LIMIT):
                await test(loop, *args, **kwargs)

        try:
            loop.run_until_complete(limited())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
        assert complaints == []

    # pytest looks for fixtures in the signature: without the loop
    del run.__wrapped__
    run.__signature__ = _without_first(test)
    return run


def _without_first(test):
    import inspect

    signature = inspect.signature(test)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def tcp_pair():
    """Two connected non-blocking TCP sockets on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
    return client, server


def unix_pair(kind=socket.SOCK_STREAM):
    """Two connected non-blocking UNIX sockets."""
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    one.setblocking(False)
    other.setblocking(False)
    return one, other


def udp_socket(host="127.0.0.1"):
    """A bound non-blocking UDP socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


def unused_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def turns(count=3):
    """Let everything that is ready run, `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


def fill(sock):
    """Send until the kernel takes no more; returns how many bytes that were."""
    sent = 0
    for size in (65536, 1024, 1):
        while True:
            try:
                sent += sock.send(b"." * size)
            except BlockingIOError:
                break
    return sent
