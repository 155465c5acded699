"""Who is at the other end of a UNIX socket: the kernel knows, the peer cannot choose it."""

import os
import socket
import struct

_LOCAL_PEERCRED = 1  # of macOS and the BSDs, at the level 0


def credentials(sock):
    """(process or None, user) of the peer; raises OSError where the kernel does not tell."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid & 0xFFFFFFFF
    answer = sock.getsockopt(0, _LOCAL_PEERCRED, 128)  # struct xucred: version, user, groups
    if len(answer) < 8:
        raise OSError("the system does not say who is at the other end of a socket")
    return None, struct.unpack_from("II", answer)[1]


def may_ask(sock):
    """Whether the peer is our own user, or root."""
    try:
        return credentials(sock)[1] in (0, os.geteuid(), os.getuid())
    except (OSError, struct.error):
        return False
