"""Where datagrams come from and go to: one loop's inbox, and the addresses it has seen.

The socket module makes a tuple, a string and a number for each datagram's sender, and takes them apart again for the
answer.  A server hears the same few peers over and over, so the tuples are kept: an address that comes in is looked up
by its bytes (direct-mapped: a collision costs one more tuple, nothing else), and a tuple that was handed out is
recognised by its identity when it comes back.

The inbox takes up to INBOX datagrams in one system call.  Its pages are not touched before datagrams that large come.
"""

import os

import cython
from cython.cimports.clearloop.system.capi import Py_DECREF_raw, Py_INCREF_raw
from cython.cimports.clearloop.system.sockets import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    UNIX_PATH_OFFSET,
    htons,
    inet_ntop,
    inet_pton,
    iovec,
    mmsghdr,
    ntohl,
    ntohs,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_storage,
    sockaddr_un,
    socklen_t,
)
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import uint16_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.libc.string import memcmp, memcpy, memset

SLOTS = cython.declare(uint32_t, 1024)
# Odd multipliers that spread neighbouring numbers; as literals in the code they would be Python integers
MIX = cython.declare(uint32_t, 0x9E3779B1)
MIX_TOO = cython.declare(uint32_t, 0x85EBCA6B)
ROOM = cython.declare(cython.Py_ssize_t, 65_536)  # the largest datagram of the IP families
_fsdecode = cython.declare(object, os.fsdecode)


@cython.cfunc
@cython.inline
def place_of(raw: cython.pointer(cython.uchar), size: socklen_t) -> cython.uint:
    """Port and the last four bytes of the host, mixed."""
    host: uint32_t = 0
    port: uint16_t = 0
    memcpy(cython.address(port), raw + 2, 2)
    memcpy(cython.address(host), raw + (4 if size == 16 else 20), 4)
    mixed: uint32_t = (host * MIX) ^ (port * MIX_TOO)
    return (mixed >> 15) & (SLOTS - 1)


@cython.cfunc
@cython.inline
def place_of_tuple(address: cython.pointer(PyObject)) -> cython.uint:
    mixed: uint32_t = cython.cast(uint32_t, cython.cast(uint64_t, address) >> 4) * MIX
    return (mixed >> 15) & (SLOTS - 1)


@cython.final
@cython.cclass
class Peers:
    """The inbox and the known addresses of one loop."""

    def __cinit__(self):
        place: cython.int
        self.known = cython.cast(cython.pointer(Known), calloc(SLOTS, cython.sizeof(Known)))
        self.places = cython.cast(cython.pointer(uint16_t), calloc(SLOTS, cython.sizeof(uint16_t)))
        self.space = cython.cast(cython.p_char, malloc(INBOX * ROOM))
        # behind each other: the messages, their vectors, their senders
        self.messages = cython.cast(
            cython.pointer(mmsghdr),
            calloc(
                INBOX, cython.sizeof(mmsghdr) + cython.sizeof(iovec) + cython.sizeof(sockaddr_storage)
            ),
        )
        if (
            self.known == cython.NULL
            or self.places == cython.NULL
            or self.space == cython.NULL
            or self.messages == cython.NULL
        ):
            raise MemoryError()
        vectors = cython.cast(cython.pointer(iovec), self.messages + INBOX)
        for place in range(INBOX):
            vectors[place].iov_base = self.space + place * ROOM
            vectors[place].iov_len = ROOM
            self.messages[place].msg_hdr.msg_iov = vectors + place
            self.messages[place].msg_hdr.msg_iovlen = 1
            self.messages[place].msg_hdr.msg_name = self.sender(place)

    def __dealloc__(self):
        place: cython.int
        if self.known != cython.NULL:
            for place in range(cython.cast(cython.int, SLOTS)):
                if self.known[place].address != cython.NULL:
                    Py_DECREF_raw(self.known[place].address)
        free(self.known)
        free(self.places)
        free(self.space)
        free(self.messages)

    # ---- the inbox -------------------------------------------------------------------------------------------------

    def sender(self, place):
        vectors = cython.cast(cython.pointer(iovec), self.messages + INBOX)
        return cython.cast(cython.pointer(sockaddr_storage), vectors + INBOX) + place

    def payload(self, place):
        return self.space + place * ROOM

    def ask(self, whole):
        """Make the inbox ready; `whole`: all of it for one datagram.  Returns how many datagrams it takes."""
        place: cython.int
        self.messages[0].msg_hdr.msg_iov.iov_len = INBOX * ROOM if whole else ROOM
        for place in range(INBOX):
            self.messages[place].msg_hdr.msg_namelen = cython.sizeof(sockaddr_storage)
        return 1 if whole else INBOX

    # ---- addresses -------------------------------------------------------------------------------------------------

    def decode(self, raw, size):
        """The address as the socket module gives it."""
        text: cython.char[64]
        known: cython.pointer(Known)
        place: cython.uint
        length: cython.int
        address: object
        if size == 0:
            return None
        if raw.ss_family == AF_INET or raw.ss_family == AF_INET6:
            if size != (16 if raw.ss_family == AF_INET else 28):
                return None
            place = place_of(cython.cast(cython.pointer(cython.uchar), raw), size)
            known = self.known + place
            if known.size == size and memcmp(known.raw, raw, size) == 0:
                return cython.cast(object, known.address)
            if raw.ss_family == AF_INET:
                four = cython.cast(cython.pointer(sockaddr_in), raw)
                inet_ntop(AF_INET, cython.address(four.sin_addr), text, 64)
                address = (cython.cast(bytes, text).decode("ascii"), ntohs(four.sin_port))
            else:
                six = cython.cast(cython.pointer(sockaddr_in6), raw)
                inet_ntop(AF_INET6, cython.address(six.sin6_addr), text, 64)
                address = (
                    cython.cast(bytes, text).decode("ascii"),
                    ntohs(six.sin6_port),
                    ntohl(six.sin6_flowinfo),
                    six.sin6_scope_id,
                )
            before: cython.pointer(PyObject) = known.address
            memcpy(known.raw, raw, size)
            known.size = size
            known.address = cython.cast(cython.pointer(PyObject), address)
            Py_INCREF_raw(known.address)
            self.places[place_of_tuple(known.address)] = place
            if before != cython.NULL:
                Py_DECREF_raw(before)
            return address
        if raw.ss_family == AF_UNIX:
            length = cython.cast(cython.int, size) - UNIX_PATH_OFFSET
            path = cython.cast(cython.pointer(sockaddr_un), raw).sun_path
            if length > 0 and path[0] == 0:
                return PyBytes_FromStringAndSize(path, length)  # Linux's abstract names
            return _fsdecode(PyBytes_FromStringAndSize(path, length if length > 0 else 0).split(b"\0", 1)[0])
        return None

    def encode(self, address, family, raw):
        """The address for the kernel; 0 when the socket module has to make it (names, paths, unusual tuples)."""
        size: socklen_t = 16 if family == AF_INET else 28
        key: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), address)
        known: cython.pointer(Known) = self.known + self.places[place_of_tuple(key)]
        port: cython.long
        if known.address == key:
            if known.size != size:
                return 0
            memcpy(raw, known.raw, size)
            return size
        if address is self.literal and self.literal_raw.ss_family == family:
            memcpy(raw, cython.address(self.literal_raw), self.literal_size)
            return self.literal_size
        if (family != AF_INET and family != AF_INET6) or type(address) is not tuple or len(address) != 2:
            return 0
        host = cython.cast(tuple, address)[0]
        number = cython.cast(tuple, address)[1]
        if type(host) is not str or type(number) is not int or not 0 <= number <= 65535:
            return 0
        if not host.isascii():
            return 0
        encoded: bytes = cython.cast(str, host).encode("ascii")
        if b"\0" in encoded:
            return 0
        port = number
        memset(raw, 0, size)
        if family == AF_INET:
            four = cython.cast(cython.pointer(sockaddr_in), raw)
            if inet_pton(AF_INET, encoded, cython.address(four.sin_addr)) != 1:
                return 0
            four.sin_port = htons(port)
        else:
            six = cython.cast(cython.pointer(sockaddr_in6), raw)
            if inet_pton(AF_INET6, encoded, cython.address(six.sin6_addr)) != 1:
                return 0
            six.sin6_port = htons(port)
        raw.ss_family = family
        self.literal = address
        memcpy(cython.address(self.literal_raw), raw, size)
        self.literal_size = size
        return size
