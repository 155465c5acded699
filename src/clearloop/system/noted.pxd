# What stood on the stacks before the watchdog asked for the GIL: of the thread that it is about, and of the thread that
# had the GIL then.  Numbers only, made without the GIL (see unlocked.pxd); with it, lists of them.
from clearloop.system.probe cimport RUNNING, Probe
from clearloop.system.stretch cimport still_held
from clearloop.system.unlocked cimport frames_unlocked, ident_unlocked, uintptr_t

cdef enum:
    FRAMES = 1000
    HOLDER_FRAMES = 50


cdef struct Noted:
    uintptr_t codes[FRAMES]
    int offsets[FRAMES]
    int count
    uintptr_t holder_codes[HOLDER_FRAMES]
    int holder_offsets[HOLDER_FRAMES]
    int holder_count
    unsigned long holder  # its ident; 0: the thread itself had the GIL, or nobody


cdef inline void note(Noted* noted, Probe* probe) noexcept nogil:
    """`probe` may be NULL: nobody's."""
    noted.count = noted.holder_count = 0
    noted.holder = 0
    if probe == NULL or probe.activity != RUNNING:
        return
    noted.count = frames_unlocked(probe.thread, noted.codes, noted.offsets, FRAMES)
    if not still_held(probe):
        noted.count = 0  # frames of whatever came next
    if probe.holder != NULL and probe.holder != probe.thread:
        noted.holder = ident_unlocked(probe.holder)
        noted.holder_count = frames_unlocked(
            probe.holder, noted.holder_codes, noted.holder_offsets, HOLDER_FRAMES
        )


cdef inline list noted_frames(Noted* noted):
    """(address of the code, offset of the instruction) of each frame, innermost first."""
    cdef int place
    cdef list frames = []
    for place in range(noted.count):
        frames.append((noted.codes[place], noted.offsets[place]))
    return frames


cdef inline tuple noted_holder(Noted* noted):
    """(ident, frames as above) of the thread that had the GIL."""
    cdef int place
    cdef list frames = []
    for place in range(noted.holder_count):
        frames.append((noted.holder_codes[place], noted.holder_offsets[place]))
    return noted.holder, frames
