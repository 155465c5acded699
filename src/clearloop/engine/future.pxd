from cpython.ref cimport PyObject

from clearloop.engine.runnable cimport Runnable
from clearloop.engine.scheduler cimport Scheduler
from clearloop.system.capi cimport PySendResult
from clearloop.system.slots cimport visitproc


cdef enum State:
    PENDING = 0
    CANCELLED = 1
    RETURNED = 2
    RAISED = 3


cdef enum:
    BY_HAND = 1      # a generator set _asyncio_future_blocking and yielded the future itself
    BY_ITERATOR = 2  # our own iterator yielded it, and will raise what it holds


cdef class Future(Runnable):
    cdef unsigned char state
    cdef unsigned char blocking       # yielded by `await` and not yet taken by a task; who yielded it
    cdef unsigned char log_traceback  # RAISED, and nobody has fetched the exception yet
    cdef unsigned char plain          # no subclass in Python: what add_done_callback does is known
    cdef unsigned char native         # loop is a Scheduler
    # of a Task alone; here and after the weak references, since these bytes would otherwise be padding
    cdef unsigned char must_cancel
    cdef unsigned char log_destroy_pending
    cdef unsigned char by_iterator    # fut_waiter was yielded by its own iterator, which raises what it holds
    cdef object loop
    cdef object value
    cdef object error_detail
    cdef object waiter
    cdef PyObject* attributes         # the instance's __dict__, made when somebody sets an attribute
    cdef object __weakref__
    cdef int cancel_requests
    cdef unsigned char linked         # stands in the loop's list of unfinished tasks
    cdef unsigned char entered        # the step runs inside a handle that has entered the context
    cdef unsigned char told           # the recorder has said who it is
    cdef unsigned char throws         # of a Task alone: fut_waiter is not what it waits for
    cdef unsigned int number(self) noexcept
    cdef int note_origin(self, object frames) except -1
    cdef int report(self, dict context) except -1
    cdef int settle(self, State state, object value) except -1
    cdef int wake(self) except -1
    cdef int wake_one(self, object waiter) except -1
    cdef int add_waiter(self, object waiter) except -1
    cdef int discard_waiter(self, object waiter) except -1
    cdef object outcome(self)
    cdef object make_cancelled_error(self)
    cdef object last_message(self)
    cdef int fail(self, object error) except -1
    cdef int check_initialized(self) except -1
    cdef int cancel_now(self, object message) except -1


cdef class FutureIterator:
    cdef Future future


cdef PySendResult send_to_future(PyObject* iterator, PyObject* value, PyObject** result) noexcept
cdef int future_may_die_silently(PyObject* future) noexcept
cdef int visit_attributes(PyObject* future, visitproc visit, void* argument) noexcept
cdef int clear_attributes(PyObject* future) noexcept
cdef Future new_future(Scheduler loop)
