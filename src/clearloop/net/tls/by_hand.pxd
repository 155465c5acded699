from clearloop.net.tls.session cimport Session


cdef class HandDriven:
    cdef Session session
