# The ready queue: a ring of owned references whose capacity is a power of two.  push and pop are a store, a mask and
# an increment; it grows by doubling and never allocates in the steady state.  Everything here runs under the GIL and
# calls no Python code, so other threads may push between any two callbacks.
from cpython.ref cimport PyObject, Py_INCREF
from libc.stdlib cimport malloc, free

cdef struct Ring:
    PyObject** items
    size_t mask  # capacity - 1
    size_t head  # index of the next entry to run; grows without bound, masked on use
    size_t tail  # index of the next free slot

cdef enum:
    RING_CAPACITY = 64

cdef inline int ring_init(Ring* ring) except -1:
    ring.items = <PyObject**> malloc(RING_CAPACITY * sizeof(PyObject*))
    if ring.items == NULL:
        raise MemoryError()
    ring.mask = RING_CAPACITY - 1
    ring.head = ring.tail = 0
    return 0

cdef inline int ring_resize(Ring* ring, size_t capacity) except -1:
    """Every entry keeps its index: the watchdog has noted how far the ring reached, and when (engine/victims.py)."""
    cdef size_t place
    cdef PyObject** items = <PyObject**> malloc(capacity * sizeof(PyObject*))
    if items == NULL:
        raise MemoryError()
    for place in range(ring.head, ring.tail):
        items[place & (capacity - 1)] = ring.items[place & ring.mask]
    free(ring.items)
    ring.items = items
    ring.mask = capacity - 1
    return 0

cdef inline int ring_push_owned(Ring* ring, PyObject* entry) except -1:
    """Append `entry` and take over the caller's reference; when it fails, the reference stays the caller's."""
    if ring.tail - ring.head > ring.mask:
        ring_resize(ring, 2 * (ring.mask + 1))
    ring.items[ring.tail & ring.mask] = entry
    ring.tail += 1
    return 0

cdef inline int ring_push(Ring* ring, object entry) except -1:
    if ring.tail - ring.head > ring.mask:
        ring_resize(ring, 2 * (ring.mask + 1))
    Py_INCREF(entry)
    ring.items[ring.tail & ring.mask] = <PyObject*> entry
    ring.tail += 1
    return 0

cdef inline size_t ring_size(Ring* ring) noexcept:
    return ring.tail - ring.head

cdef extern from *:
    """
    /* Two cache lines of an object that will be used soon; no effect where the compiler has no such hint. */
    #if defined(__GNUC__)
    #define clearloop_prefetch(o) (__builtin_prefetch(o), __builtin_prefetch((const char *) (o) + 64))
    #else
    #define clearloop_prefetch(o) ((void) (o))
    #endif
    """
    void prefetch "clearloop_prefetch"(PyObject* o) noexcept

cdef inline void ring_prefetch(Ring* ring, size_t distance) noexcept:
    """Entries that were made long ago lie anywhere in memory: fetch the one that is due `distance` entries from now."""
    if ring.head + distance < ring.tail:
        prefetch(ring.items[(ring.head + distance) & ring.mask])

cdef inline PyObject* ring_pop(Ring* ring) noexcept:
    """The oldest entry with its reference; the ring must not be empty."""
    cdef PyObject* entry = ring.items[ring.head & ring.mask]
    ring.head += 1
    return entry
