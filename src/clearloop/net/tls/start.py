"""Beginning TLS: what connections, servers and start_tls() need before there is a transport.

Imported when a program first asks for TLS, so that no other program pays for importing ssl.
"""

import ssl
from asyncio import constants

from clearloop.net.tls.transport import make_tls


def prepare(context, handshake_timeout, shutdown_timeout, server_side=False, server_hostname=None):
    """(ssl.SSLContext, handshake timeout, shutdown timeout), checked, with asyncio's defaults.

    `context` may be True, for a client: certificates are then verified against the system's authorities.
    """
    handshake = _seconds("ssl_handshake_timeout", handshake_timeout, constants.SSL_HANDSHAKE_TIMEOUT)
    shutdown = _seconds("ssl_shutdown_timeout", shutdown_timeout, constants.SSL_SHUTDOWN_TIMEOUT)
    if isinstance(context, bool):
        if server_side:
            raise ValueError("Server side SSL needs a valid SSLContext")
        context = ssl.create_default_context()
        if not server_hostname:
            context.check_hostname = False
    return context, handshake, shutdown


def _seconds(name, given, default):
    if given is None:
        return default
    if given <= 0:
        raise ValueError(f"{name} should be a positive number, got {given}")
    return given


def client_layer(loop, protocol, options, waiter, server_hostname):
    """The TLS transport of a client's connection, to be the protocol of the transport below."""
    return make_tls(loop, protocol, options, waiter, False, server_hostname)


def server_layer(loop, protocol, options, waiter=None):
    """The same on the accepting side."""
    return make_tls(loop, protocol, options, waiter, True)


async def start_tls(
    loop, transport, protocol, context, *, server_side, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout
):
    """See EventLoop.start_tls."""
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {context!r}")
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls()")
    options = prepare(context, ssl_handshake_timeout, ssl_shutdown_timeout)
    waiter = loop.create_future()
    layer = make_tls(loop, protocol, options, waiter, server_side, server_hostname, made=True)
    early = _take_early_data(protocol) if server_side else b""
    transport.set_protocol(layer)
    try:
        layer.connection_made(transport)
        layer.data_received(early)
        transport.resume_reading()  # whoever has read the plain text may have paused it
        await waiter
    except BaseException:
        layer.abort()
        raise
    return layer


def _take_early_data(protocol):
    """What a StreamReader has got behind the plain text is the beginning of the client's handshake.

    Not so on the client's side: a server says nothing before the client does, so what comes early there was put in
    by somebody else, and stays plain text.
    """
    reader = getattr(protocol, "_stream_reader", None)
    take = getattr(reader, "_take_all", None)
    if take is not None:
        return take()
    buffer = getattr(reader, "_buffer", None)
    if not isinstance(buffer, bytearray):
        return b""
    early = bytes(buffer)
    buffer.clear()
    return early
