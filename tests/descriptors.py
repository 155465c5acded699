"""Which descriptors the process has open: what a test has left behind is what was not there before it.

More than equality of two counts, and less: what an earlier test has left to the collector may go meanwhile, and the
other threads of the process (the watchdog, an import, a traceback's source) open files for a moment.
"""

import fcntl
import os
import socket
import time


def open_descriptors():
    """Numbers with what they are: sockets and pipes by their inode, so that a number that was reused is seen."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            what = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the one that listed them is gone
            continue
        if not what.startswith("/") or what.startswith("/dev/"):
            found.add((int(number), what))
    return found


def opened_since(before):
    """What is open now and was not `before`, of open_descriptors()."""
    return open_descriptors() - before


def left_open(before):
    """The same when it stays for a second: a thread of somebody else's pool may be on its way out."""
    for _ in range(200):
        more = opened_since(before)
        if not more:
            break
        time.sleep(0.005)
    return more


def far_away(sock, number=700):
    """The socket at `number` or the next free one, where no other thread's descriptors go by themselves.

    When it is closed, the next one that is sent there has its number for certain.
    """
    moved = socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, number))
    moved.setblocking(sock.getblocking())
    sock.close()
    return moved
