from libc.stdint cimport int64_t

from clearloop.engine.future cimport Future


cdef enum Stage:
    QUEUED = 0   # no thread has come to it yet
    RUNNING = 1
    ENDED = 2    # the outcome is there, or never will be


# What becomes of the call when its future is cancelled while the function runs
cdef enum Mode:
    FREE = 0     # run_in_executor: the future is cancelled at once, and nobody asks for the outcome any more
    HELD = 1     # the cancellation waits until the function has ended
    DROPPED = 2  # the future is cancelled at once, and an error of the function is reported


cdef class Call(Future):
    cdef object func
    cdef object args
    cdef object context
    cdef object outcome
    cdef object cancel_message
    cdef object back          # the task that run_async has started for this call, while it runs
    cdef object ticket        # the future of the executor that has it, if it is not our own pool
    cdef readonly object crowd
    cdef unsigned char stage
    cdef unsigned char mode
    cdef bint raised
    cdef bint cancel_requested
    cdef bint away            # counted in loop.offloaded
    cdef bint announced       # the recorder knows since when the task behind it could go on
    cdef unsigned int job     # its number in the recorder; 0: never recorded
    cdef int64_t since        # when a worker began with it; before that, when it was sent, if it is recorded; 0: unknown
    cdef unsigned int number(self) noexcept
    cdef int note(self, unsigned char how) except -1
    cdef int note_sent(self, object executor) except -1
    cdef int note_ran(self, int64_t began) except -1
    cdef int finish(self, object outcome, bint raised) except -1
    cdef int home(self) except -1
    cdef int report_late(self, object error) except -1
    cdef object perform(self)
    cdef int run(self) except -1
    cdef int forget(self) except -1


cdef int set_off(Call call, object loop, object func, object args, object context, Mode mode) except -1
cdef Call new_call(object loop, object func, object args, object context, Mode mode)
cpdef object refuse_coroutine_function(object func)
