"""Which kind of session a connection gets.

CLEARLOOP_TLS in the environment: `object` asks for the ssl module's own objects; `native`, or nothing, for OpenSSL
called directly where that is possible.  It is read when the first TLS connection of the process is made.
A transport's get_extra_info("clearloop.tls") says what a connection has got: "native", or "object: " and why.
"""

import os
import ssl

CHOICE = os.environ.get("CLEARLOOP_TLS", "")


def new_session(context, server_side, server_hostname):
    """A session of the ssl.SSLContext `context` that has done nothing yet."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ssl_object = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_hostname)
    why = why_not_native(incoming, outgoing, ssl_object)
    if why is None:
        from clearloop.net.tls.native_session import make_native_session

        return make_native_session(incoming, outgoing, ssl_object)
    from clearloop.net.tls.object_session import make_object_session

    return make_object_session(incoming, outgoing, ssl_object, why)


def why_not_native(incoming, outgoing, ssl_object):
    """None, or why the connection is left to the ssl module's own methods."""
    if CHOICE == "object":
        return "CLEARLOOP_TLS=object"
    from clearloop.net.tls.native_session import refusal

    return refusal(incoming, outgoing, ssl_object)
