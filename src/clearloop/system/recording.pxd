# The ring of records of one loop, in memory of its own: fixed 32 bytes each, overwritten in place, no references to
# objects.  All writers hold the GIL.  clearloop.show.records names the kinds and fields for those who read.
#
# Credits are what keeps it cheap: a record costs one, and they come back with time.  See engine/recorder.py.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    STEP = 1
    TASK = 2
    NAME = 3
    WAKE = 4
    WAIT = 5
    GAP = 6
    JOB = 7
    STALL = 8
    RUN = 9

    NESTED = 0x40  # in `how` of a STEP: inside another step, which goes on behind it (an eager task)
    COARSE = 0x80  # in `how`: the span is in units of 1024 ns

    NAME_BYTES = 24


cdef struct Record:
    uint8_t kind
    uint8_t how
    uint16_t type
    uint32_t actor
    int64_t time
    uint32_t span
    uint32_t code
    uint32_t place
    uint32_t other


cdef struct Tape:
    Record* records
    size_t capacity
    size_t place       # of the next record
    uint64_t written   # ever
    int64_t credits
    int64_t most       # credits that can be had at once
    int64_t since      # when it was made


cdef extern from *:
    """
    #include <sys/mman.h>
    #ifndef MAP_ANONYMOUS
    #define MAP_ANONYMOUS MAP_ANON
    #endif
    #ifndef MAP_NORESERVE
    #define MAP_NORESERVE 0
    #endif

    /* Pages that nobody has written to cost nothing; large ones would, all at once.  A forked child has copies. */
    static void *clearloop_map(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            return NULL;
        }
    #ifdef MADV_NOHUGEPAGE
        madvise(memory, size, MADV_NOHUGEPAGE);
    #endif
        return memory;
    }
    #if defined(__GNUC__)
    #define clearloop_prefetch_to_write(place) __builtin_prefetch((place), 1)
    #else
    #define clearloop_prefetch_to_write(place) ((void) 0)
    #endif
    static void clearloop_unmap(void *memory, size_t size) { munmap(memory, size); }
    """
    void prefetch_to_write "clearloop_prefetch_to_write"(const void* place) noexcept
    void* map_memory "clearloop_map"(size_t size) noexcept
    void unmap_memory "clearloop_unmap"(void* memory, size_t size) noexcept


cdef inline bint tape_make(Tape* tape, size_t capacity) noexcept:
    tape.records = <Record*> map_memory(capacity * sizeof(Record))
    tape.capacity = capacity if tape.records != NULL else 0
    return tape.records != NULL


cdef inline void tape_free(Tape* tape) noexcept:
    if tape.records != NULL:
        unmap_memory(tape.records, tape.capacity * sizeof(Record))
        tape.records = NULL


cdef inline Record* tape_next(Tape* tape) noexcept:
    """The place of the next record; the caller fills every field.

    Nobody has touched it since the ring was here last, so it has left the caches: one that comes soon is fetched now.
    """
    cdef Record* record = tape.records + tape.place
    tape.place += 1
    if tape.place == tape.capacity:
        tape.place = 0
    tape.written += 1
    tape.credits -= 1
    prefetch_to_write(record + 4)  # a line further; behind the end, nothing happens
    return record


cdef inline void set_span(Record* record, uint8_t how, int64_t begin, int64_t end) noexcept:
    cdef uint64_t span = <uint64_t> (end - begin) if end > begin else 0
    if span > <uint64_t> 0xFFFFFFFF:
        how |= COARSE
        span >>= 10
        if span > <uint64_t> 0xFFFFFFFF:
            span = <uint64_t> 0xFFFFFFFF
    record.how = how
    record.time = begin
    record.span = <uint32_t> span


cdef inline void tape_write(Tape* tape, uint8_t kind, uint8_t how, int64_t begin, int64_t end, uint32_t other) noexcept:
    """A record without an actor: WAIT, GAP, RUN."""
    cdef Record* record = tape_next(tape)
    set_span(record, how, begin, end)
    record.kind = kind
    record.type = 0
    record.actor = record.code = record.place = 0
    record.other = other
