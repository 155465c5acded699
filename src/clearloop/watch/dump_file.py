"""The dump's file: who may read it, and how its bytes get there.

A dump tells names and lines of a program, so it is its owner's alone (0600).  It may be written into a folder that
others write to as well, /tmp say: no link that somebody has planted there is followed, and nobody else's file is used.
Each chunk carries its length and its checksum and is written as soon as it is made, so that what has been written
before a crash can be read; docs/recording.md describes the format.
"""

import errno
import fcntl
import json
import os
import stat
import zlib

MAGIC = b"CLEARLP\x01"
VERSION = 1
PIECE = 1 << 20  # bytes of records in one chunk


def json_chunk(tag, content):
    """A chunk that holds JSON; what the program has put into its names comes out as ASCII."""
    return chunk(tag, json.dumps(content, separators=(",", ":")).encode("ascii"))


def chunk(tag, *parts):
    """Tag, length, payload (all `parts`), checksum, as one bytes object."""
    size = sum(len(part) for part in parts)
    check = 0
    for part in parts:
        check = zlib.crc32(part, check)
    return b"".join((tag, size.to_bytes(4, "little"), *parts, check.to_bytes(4, "little")))


def record_chunks(number, records):
    """The records of one loop, as chunks of at most PIECE bytes."""
    head = number.to_bytes(4, "little")
    view = memoryview(records)
    for start in range(0, len(view), PIECE):
        yield chunk(b"RECS", head, view[start : start + PIECE])


def open_anew(path):
    """Open the file at `path` for a dump, empty and readable to its owner only; return its descriptor.

    Raises OSError: when it cannot be made or written, for a link, for anything but a regular file, for a file of
    another user's or one that has another name as well, and while another dump is being written to it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        number = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a link is not followed", _shown(path)) from None
        if error.errno == errno.ENXIO:  # a FIFO that nobody reads, a socket
            raise _unfit("not a regular file", path) from None
        raise
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise _unfit("not a regular file", path)
        if found.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "the file belongs to somebody else", _shown(path))
        if found.st_nlink > 1:
            raise _unfit("the file has another name as well", path)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, "another dump is being written to this file", _shown(path)) from None
        os.fchmod(number, 0o600)
        os.ftruncate(number, 0)
    except BaseException:
        os.close(number)
        raise
    return number


def write_all(number, pieces):
    """Write each piece as soon as it is there."""
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(number, view) :]


def _unfit(why, path):
    return OSError(errno.EINVAL, why, _shown(path))


def _shown(path):
    return os.fsdecode(path)
