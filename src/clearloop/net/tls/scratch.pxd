cdef enum:
    ROOM = 262144


cdef class Scratch:
    cdef char* cipher
    cdef char* plain
    cdef bint busy


cdef Scratch scratch_of(object loop)
