from libc.stdint cimport int64_t

from clearloop.system.noted cimport Noted
from clearloop.system.posix_thread cimport Monitor
from clearloop.system.probe cimport Probe


cdef bint observe(Probe* probe, Monitor* monitor, Noted* noted, int64_t began, list ended) noexcept
cdef tuple facts(Probe* probe, Monitor* monitor)
