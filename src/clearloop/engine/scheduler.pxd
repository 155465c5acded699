from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from clearloop.engine.ring cimport Ring
from clearloop.engine.runnable cimport Runnable, Source
from clearloop.engine.timers cimport TimerHandle, Timers
from clearloop.system.capi cimport this_thread
from clearloop.system.poller cimport Poller
from clearloop.system.probe cimport Probe
from clearloop.system.recording cimport Tape
from clearloop.system.slots cimport visitproc


cdef enum:
    LAGS = 128


cdef class Scheduler:
    cdef Ring ready
    cdef Timers timers
    cdef Poller poller

    # state of the run
    cdef bint closed
    cdef bint stopping
    cdef bint debug
    cdef public bint call_soon_replaced  # on this very instance: tasks and futures then go by it
    cdef public bint own_clock   # time() is ours; a subclass or the instance may bring a clock of its own
    cdef unsigned long thread_id # of the thread that runs the loop, or 0
    cdef int64_t slow_ns         # debug mode reports callbacks that take longer
    cdef double slow_seconds

    # how long the poll is put off while callbacks are ready
    cdef Py_ssize_t since_poll
    cdef int64_t fired           # when timers fired last
    # numbers for those who ask: _measures()
    cdef int64_t run_since       # when the run began, 0 while the loop does not run
    cdef int64_t ran             # how long the runs before this one took
    cdef int64_t waited          # how long the loop has waited in the kernel
    cdef int64_t waiting_since   # when the wait that goes on began, or 0
    cdef uint64_t lags[LAGS]     # how late timers fired: a histogram, see lag_bucket()
    cdef unsigned long ran_in    # the thread of the last run, 0: none yet
    cdef object step_times       # watch/statistics.py times the steps of tasks: a callable, or None

    # the recorder (engine/recorder.py)
    cdef Tape tape               # no records: this loop records nothing
    cdef bint tape_tried         # whether there shall be one was asked before
    cdef bint recording          # this turn is recorded; stays so until the next turn begins
    cdef unsigned int running    # the number of the task that runs, 0 outside of tasks
    cdef int64_t clock           # what the clock showed just now, nothing having run since; 0: unknown
    cdef int64_t gap_from        # when the turns that are not recorded began; 0: they are
    cdef uint64_t gap_steps      # the step counter then
    cdef uint64_t fired_from     # the places of the ready ring where the timers stand that fired last
    cdef uint64_t fired_to
    # of the step that runs, while it is recorded
    cdef int64_t step_began      # 0: none is open
    cdef int64_t step_due        # it is a timer, and its deadline was then; -1: who it wakes is known; else 0
    cdef unsigned int step_actor # the task, or 0
    cdef unsigned int step_code  # the callback, or 0
    cdef unsigned int step_kind  # of a callback: number of its type, and what it is (engine/recorder.pxd)

    cdef int64_t idle_looked     # when somebody looked last whether the loop will ever be woken

    cdef readonly Py_ssize_t offloaded  # calls that are away in threads, processes or a cluster (offload/call.py)

    # the step that runs
    cdef PyObject* entry         # owned; NULL between turns
    cdef Probe* probe            # what the watchdog sees of us: counters of turns and steps, whether we wait

    # sources with bytes to send when the turn ends
    cdef PyObject** dirty
    cdef Py_ssize_t dirty_size
    cdef Py_ssize_t dirty_capacity
    cdef int64_t sent            # the coarse clock's tick at the last poll, or when bytes were sent between two steps

    # unfinished tasks: an intrusive list of owned references (engine/task.py)
    cdef PyObject* first_task
    cdef Py_ssize_t task_count
    cdef bint current_set        # asyncio's current task was set by a task's step and not cleared yet

    cdef int64_t now(self) except -1
    cdef int turn(self) except -1
    cdef int turn_until_stopped(self) except -1
    cdef int check_wait(self, int64_t late) except -1
    cdef int poll(self, int64_t timeout) except -1
    cdef int run_batch(self, size_t count) except -1
    cdef int run_batch_timed(self, size_t count) except -1
    cdef int leave_task(self) except -1
    cdef int begin_recording(self) except -1
    cdef int end_recording(self) except -1
    cdef int resume_recording(self) except -1
    cdef int pause_recording(self) except -1
    cdef int close_gap(self, int64_t now) except -1
    cdef int note_wait(self, int64_t began, int64_t ended) except -1
    cdef int fail_step(self) except -1
    cdef int note_woken(self, Runnable waiter) except -1
    cdef int note_called(self, object callback) except -1
    cdef int note_task(self, Runnable task) except -1
    cdef int note_name(self, Runnable task) except -1
    cdef int note_eager_step(self, Runnable task, int64_t began) except -1
    cdef bint send_now(self) noexcept
    cdef int flush_dirty(self) except -1
    cdef int mark_dirty(self, Source source) except -1
    cdef int enqueue(self, Runnable entry) except -1
    cdef int check_thread(self) except -1
    cdef int check_closed(self) except -1
    cdef int check_callback(self, object callback, str method) except -1
    cdef int drop_all(self) except -1
    cdef object common_context(self)
    cdef double seconds(self) except? -1
    cdef TimerHandle add_timer(self, double when, object callback, object args, object context, str method)
    cdef int finish_step(self) except -1
    cdef int was_slow(self, size_t remaining, bint after_poll) except -1
    cdef int show_queues(self) except -1
    cdef int64_t idle_time(self) except? -2
    cdef int64_t wait_by_own_clock(self, int64_t timeout) except? -2
    cdef int64_t before_an_endless_wait(self) except? -2
    cdef int note_lag(self, int64_t late) except -1
    cdef int fire(self) except -1


cdef PyObject* newest          # borrowed: the loop that has begun to run, or was asked for, last; NULL: none
cdef unsigned int acting_here() noexcept


cdef inline unsigned int acting() noexcept:
    """The number of the native task that runs in this thread; 0: none does, or its loop is not ours."""
    if newest != NULL and (<Scheduler> newest).thread_id == this_thread():
        return (<Scheduler> newest).running
    return acting_here()


cdef int visit_queues(PyObject* loop, visitproc visit, void* argument) noexcept
cdef int clear_queues(PyObject* loop) noexcept
