"""Which kind of session a connection gets.

CLEARLOOP_TLS=object in the environment asks for the ssl module's own objects, =native for OpenSSL called directly,
where that is possible.  It is read when the first TLS connection of the process is made.
"""

import os

CHOICE = os.environ.get("CLEARLOOP_TLS", "")


def new_session(context, server_side, server_hostname):
    """A session of the ssl.SSLContext `context` that has done nothing yet."""
    from clearloop.net.tls.object_session import make_object_session

    return make_object_session(context, server_side, server_hostname)
