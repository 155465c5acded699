from clearloop.system.sockets cimport sockaddr_storage

# A socket address as the kernel has it, for as long as nobody asks for the tuple (28 bytes hold the IP families)
cdef struct Address:
    unsigned char raw[28]
    unsigned char known


cdef int keep_address(Address* kept, sockaddr_storage* given, unsigned int size) noexcept
cdef int ask_address(Address* kept, int fd, bint peer) noexcept
cdef object address_tuple(Address* kept)
