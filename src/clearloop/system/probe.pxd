# What a loop publishes of itself, for a watchdog that reads it without the GIL: plain stores into one small struct.
#
# The struct lies outside the loop object and outlives it until the watchdog has let go of it (watchdog.py).  Each field
# has one writer; what the loop's thread writes per step stands in the first cache line.
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from clearloop.system.capi cimport PyThreadState


cdef enum Activity:
    STOPPED = 0    # no run, or the loop is closed
    WAITING = 1    # in the kernel, waiting for events or a deadline
    RUNNING = 2    # everything else: the turn is held by whatever runs


cdef enum Slow:
    SLOW_STEP = 1  # the step, or what stands in for one between two steps
    SLOW_TURN = 2  # a turn of many short steps
    DESCRIBED = 3  # it has ended, and the loop's thread is just saying who waited


cdef enum:
    MARKS = 64


cdef struct Mark:
    int64_t time
    uint64_t tail     # of the ready ring: what stands before it was ready by then
    bint events       # some descriptor of the loop was ready by then


cdef struct Probe:
    # the loop's thread writes
    volatile uint64_t steps
    volatile uint64_t turns
    volatile int activity
    volatile int64_t polled    # when the kernel was asked last, by its coarse clock
    # the watchdog writes, the loop's thread reads and clears
    volatile int slow          # Slow, or 0
    volatile int parked        # the watchdog sleeps: whoever leaves a wait wakes it
    uint64_t slow_steps        # the step, and the turn, that `slow` speaks of
    uint64_t slow_turns
    volatile uint64_t epoch    # moves when the time of the step begins anew (expect_block)
    volatile uint64_t expected # the step that may block, + 1; 0: none
    void (*wake)(Probe*) noexcept nogil

    # the loop's thread writes when a run begins, or the program when it sets a threshold
    PyThreadState* thread
    void* interpreter
    int clock                  # of the CPU time of the loop's thread
    int tid
    volatile int64_t threshold # ns; 0: not watched
    volatile int events_fd     # ready when one of the loop's descriptors is; -1: none
    const uint64_t* tail       # of the ready ring, inside the loop object: NULL when that is gone
    PyObject* loop             # borrowed: NULL when that is gone
    volatile int ended         # stalls that the engine has described and nobody has taken yet
    int number                 # of the loop in this process
    bint gone
    Probe* next

    # the watchdog's own: what it has seen
    uint64_t seen_steps
    uint64_t seen_turns
    uint64_t seen_epoch
    int seen_activity
    int64_t looked             # when it looked last, or was woken
    int64_t step_since         # when it saw this step first
    int64_t step_began         # when it did not see it yet
    int64_t step_cpu
    int64_t turn_since
    int64_t turn_began
    int64_t turn_cpu
    uint64_t turn_steps
    int64_t late               # how much too late it woke itself, while this turn was held
    int64_t delay_since        # when the run delay of the thread was read first, and what it was
    int64_t delay_first
    int64_t delay_now
    int64_t sampled            # when the thread was looked at last
    int64_t in_gil             # how long the thread was seen waiting for the GIL
    int64_t in_call            # how long it was seen waiting in a system call, for something other than the GIL
    int64_t in_gc              # how long the interpreter was seen collecting garbage
    int64_t in_fault           # how long it was blocked outside any system call: memory that the machine lacks
    int kind                   # what the last look saw
    long call                  # the system call that it was seen in for most of the time, -1: none
    int64_t call_time          # by how much that call is ahead of all the others
    PyThreadState* holder      # who held the GIL then
    bint reported              # this stretch is known: it was handed over, or is none
    int64_t next_look
    int looks
    int64_t missed             # how long the machine has not run us, in this stretch
    int64_t machine            # the same of a stretch that is over: to be counted
    Mark marks[MARKS]
    int mark_count
    int mark_stride
    int mark_skip


cdef extern from *:
    """
    #define clearloop_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    void fence "clearloop_fence"() noexcept nogil


cdef inline void probe_waits(Probe* probe) noexcept nogil:
    probe.activity = WAITING


cdef inline void probe_runs(Probe* probe) noexcept nogil:
    """The loop leaves the kernel.  The watchdog stores `parked` and then reads `activity`; we, the other way round."""
    probe.activity = RUNNING
    fence()
    if probe.parked:
        probe.wake(probe)
