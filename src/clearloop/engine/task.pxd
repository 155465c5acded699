from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from clearloop.engine.future cimport Future, State
from clearloop.engine.scheduler cimport Scheduler
from clearloop.system.slots cimport visitproc


cdef class Task(Future):
    cdef object coro
    cdef object context
    cdef object name            # None until somebody asks: then "Task-N"
    cdef object fut_waiter      # what the task waits for; if `throws`, what task.py says
    cdef uint64_t serial
    cdef unsigned int parent     # the number of the task that created this one, or 0
    cdef unsigned int created    # when, in ms of the monotonic clock, modulo 2**32; 0: the loop had not run yet
    cdef PyObject* next_task    # borrowed; the list's references are owned by being linked
    cdef PyObject* previous_task
    cdef unsigned int number(self) noexcept
    cdef int step(self) except -1
    cdef int stepped_when_done(self) except -1
    cdef int send(self, object error) except -1
    cdef int take_yielded(self, object yielded) except -1
    cdef int wait_for(self, Future future) except -1
    cdef int look_for_a_circle(self, Task task) except -1
    cdef int wait_for_foreign(self, object future) except -1
    cdef int wait_for_any(self, object future) except -1
    cdef int keep_message(self) except -1
    cdef int finish_returned(self, object value) except -1
    cdef int again(self, object error) except -1
    cdef int settle(self, State state, object value) except -1
    cdef int start_eagerly(self) except -1
    cdef int run_entered(self) except -1
    cdef int step_foreign(self) except -1
    cdef int cannot_enter(self, object error) except -1
    cdef object error_to_throw(self)
    cdef int finish_with(self, object error) except -1
    cdef int begin(self, object coro, object name, object context, bint eager) except -1


cdef int task_may_die_silently(PyObject* task) noexcept
cdef Task new_task(Scheduler loop, object coro, object name, object context, bint eager)
cdef int link_task(Scheduler loop, Task task) except -1
cdef int unlink_task(Scheduler loop, Task task) except -1
cdef int visit_tasks(PyObject* loop, visitproc visit, void* argument) noexcept
cdef int clear_tasks(PyObject* loop) noexcept
