"""Task: drives one coroutine, step by step, and is the future of its result.

    where it is                 fut_waiter   in the ready queue   must_cancel
    waiting to run              None         yes                  may be set: the step throws CancelledError
    running                     None         no                   may be set from inside
    waiting for a future        the future   no                   never: cancel() goes to the future
    woken, not yet run          the future   yes                  never: the future was done first
    done                        None         no                   False

`fut_waiter` also holds what cannot be there at the same time; `throws` says so: an error that the next step throws
into the coroutine, and in a task that is done, the message of a cancellation that it did not obey.

A task is in the ready queue at most once.  When the coroutine yields a native pending future, the task stores itself
there as the waiter; the future puts it back into the ready queue, and `step` goes on.  A future of another kind gets
`_wakeup` as an ordinary done-callback.

On a native loop an unfinished task is linked into the loop's list, which owns a reference: a task that nobody else
holds is never lost to the garbage collector, and asyncio.all_tasks() reads the list (engine/registry.py).  On a loop
of another make the task behaves as asyncio's own does.
"""

import asyncio
import contextvars
import sys
from asyncio import base_tasks, coroutines, exceptions, format_helpers
from types import GenericAlias

import cython
from cython.cimports.clearloop.engine.current import set_current, swap_current
from cython.cimports.clearloop.engine.future import BY_ITERATOR, CANCELLED, PENDING, RAISED, RETURNED, Future
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.capi import (
    PYGEN_NEXT,
    PYGEN_RETURN,
    Py_DECREF_raw,
    Py_INCREF_raw,
    PyContext_CopyCurrent,
    PyContext_Enter,
    PyContext_Exit,
    PyCoro_CheckExact,
    PyIter_Send,
    PySendResult,
    call_method_raw,
    enter_context,
    reraise,
    steal,
    take_error,
)
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.slots import install_guard, install_pool
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import int64_t, uint64_t

_TASK = cython.declare(object, asyncio.Task)
_CancelledError = cython.declare(object, exceptions.CancelledError)
_register_task = cython.declare(object, asyncio.tasks._register_task)
_enter_task = cython.declare(object, asyncio.tasks._enter_task)
_leave_task = cython.declare(object, asyncio.tasks._leave_task)
_THROW = cython.declare(object, "throw")
_INITIALIZED_ONCE = cython.declare(cython.bint, sys.version_info >= (3, 15))
_CONTEXT_CHECKED = cython.declare(cython.bint, sys.version_info >= (3, 15))
_created = cython.declare(uint64_t, 0)
_numbers = cython.declare(cython.uint, 0)
_circle_hook = cython.declare(object, None)


def set_circle_hook(hook):
    """Have `hook(task)` called when `task` is about to wait for tasks that, in the end, wait for it."""
    global _circle_hook
    _circle_hook = hook


@cython.cclass
class Task(Future):
    """https://docs.python.org/3/library/asyncio-task.html#asyncio.Task"""

    __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, coro, *, loop=None, name=None, context=None, eager_start=False):
        if self.linked and not _INITIALIZED_ONCE:
            unlink_task(self.loop, self)
        Future.__init__(self, loop=loop)
        self.plain = type(self) is Task
        self.fut_waiter = None
        self.must_cancel = self.throws = False
        self.cancel_requests = 0
        check_coroutine(coro)
        if _CONTEXT_CHECKED and context is not None and type(context) is not contextvars.Context:
            raise TypeError(f"a contextvars.Context was expected, got {context!r}")
        self.begin(coro, name, context, eager_start)

    def begin(self, coro, name, context, eager):
        global _created, _numbers
        if name is not None and type(name) is not str:
            name = str(name)
        if name is None:
            _created += 1
            self.serial = _created
        self.name = name
        self.coro = coro
        self.context = PyContext_CopyCurrent() if context is None else context
        self.log_destroy_pending = True
        self.is_task = True
        _numbers += 1
        self.order = _numbers
        if not self.native:
            if eager and self.loop.is_running():
                self.start_eagerly()
                if self.state == PENDING:
                    _register_task(self)
            else:
                _register_task(self)
                self.loop.call_soon(self._step, context=self.context)
            return 0
        self.parent = cython.cast(Scheduler, self.loop).running
        self.created = cython.cast(cython.uint, cython.cast(Scheduler, self.loop).probe.polled // 1_000_000)
        if cython.cast(Scheduler, self.loop).recording:
            cython.cast(Scheduler, self.loop).note_task(self)
        if cython.cast(Scheduler, self.loop).call_soon_replaced:
            self.loop.call_soon(self._step, context=self.context)
            link_task(self.loop, self)
            return 0
        link_task(self.loop, self)
        if eager and cython.cast(Scheduler, self.loop).thread_id != 0:
            self.start_eagerly()
        else:
            if cython.cast(Scheduler, self.loop).closed:
                unlink_task(self.loop, self)
                cython.cast(Scheduler, self.loop).check_closed()
            ring_push(cython.address(cython.cast(Scheduler, self.loop).ready), self)
        return 0

    @property
    def __class__(self):
        return _TASK

    def __repr__(self):
        return f"<{type(self).__name__} {' '.join(base_tasks._task_repr_info(self))}>"

    def __del__(self):
        if self.state == PENDING and self.log_destroy_pending and self.coro is not None:
            context = {"task": self, "message": "Task was destroyed but it is pending!"}
            self.report(context)
        if self.log_traceback:
            self.report_unfetched()

    # ---- the way of a job ------------------------------------------------------------------------------------------

    def run(self):
        """One step, from the ready queue."""
        loop: Scheduler
        if not self.native:
            return self.step_foreign()
        if self.state != PENDING:
            return self.stepped_when_done()
        loop = cython.cast(Scheduler, self.loop)
        set_current(loop, self)
        loop.current_set = True
        loop.running = self.order
        return self.step()

    def stepped_when_done(self):
        """Somebody has settled the task from outside: its coroutine cannot go on, and says so."""
        error = exceptions.InvalidStateError(f"__step(): already done: {self!r}")
        context = {"message": "A task was settled while it ran", "exception": error, "task": self}
        self.loop.call_exception_handler(context)
        return 0

    def step(self):
        """Let the coroutine run to its next await, inside the task's context."""
        result: cython.pointer(PyObject) = cython.NULL
        status: PySendResult
        context = self.context
        if self.fut_waiter is not None or self.must_cancel:
            error = self.error_to_throw()
            if error is not None:
                return self.send(error)
        if not self.entered and enter_context(context) < 0:
            return self.cannot_enter(take_error())
        status = PyIter_Send(
            cython.cast(cython.pointer(PyObject), self.coro),
            cython.cast(cython.pointer(PyObject), None),
            cython.address(result),
        )
        if not self.entered:
            PyContext_Exit(context)
        if status == PYGEN_NEXT:
            return self.take_yielded(steal(result))
        if status == PYGEN_RETURN:
            return self.finish_returned(steal(result))
        return self.finish_with(take_error())

    def number(self):
        return self.order

    def cannot_enter(self, error):
        """The task's context is entered already: the step is lost, as a callback that raised would be."""
        self.loop.call_exception_handler(
            {"message": f"Exception in callback of {self!r}", "exception": error, "task": self}
        )
        return 0

    def error_to_throw(self):
        """What the step throws into the coroutine instead of resuming it, or None."""
        waited = self.fut_waiter
        self.fut_waiter = None
        if self.by_iterator:
            self.by_iterator = False
            if not self.must_cancel:
                return None
        error: object = None
        if self.throws:
            self.throws = False
            error = waited
        elif waited is not None:
            if isinstance(waited, Future):
                if cython.cast(Future, waited).state == RETURNED:
                    if not self.must_cancel:
                        return None
                elif cython.cast(Future, waited).state == RAISED:
                    cython.cast(Future, waited).log_traceback = False
                    error = cython.cast(Future, waited).value
                    error.__traceback__ = cython.cast(Future, waited).error_detail
                elif cython.cast(Future, waited).state == CANCELLED:
                    error = cython.cast(Future, waited).make_cancelled_error()
            else:
                try:
                    waited.result()
                except BaseException as raised:
                    error = raised
        if self.must_cancel:
            if not isinstance(error, _CancelledError):
                error = self.make_cancelled_error()
            self.must_cancel = False
        return error

    def send(self, error):
        """A step that throws `error` into the coroutine."""
        context = self.context
        if not self.entered and enter_context(context) < 0:
            return self.cannot_enter(take_error())
        yielded: cython.pointer(PyObject) = call_method_raw(
            cython.cast(cython.pointer(PyObject), self.coro),
            cython.cast(cython.pointer(PyObject), _THROW),
            cython.cast(cython.pointer(PyObject), error),
        )
        if not self.entered:
            PyContext_Exit(context)
        if yielded != cython.NULL:
            return self.take_yielded(steal(yielded))
        raised = take_error()
        if isinstance(raised, StopIteration):
            return self.finish_returned(raised.value)
        return self.finish_with(raised)

    def take_yielded(self, yielded):
        """The coroutine waits: for a future, or (None) for its next turn."""
        if yielded is None:
            return self.again(None)
        if isinstance(yielded, Future) and cython.cast(Future, yielded).plain:
            return self.wait_for(yielded)
        return self.wait_for_foreign(yielded)

    def wait_for(self, future):
        if not future.blocking:
            return self.again(RuntimeError(f"yield was used instead of yield from in task {self!r} with {future!r}"))
        if future.loop is not self.loop:
            return self.again(RuntimeError(f"Task {self!r} got Future {future!r} attached to a different loop"))
        if future is self:
            return self.again(RuntimeError(f"Task cannot await on itself: {self!r}"))
        self.by_iterator = future.blocking == BY_ITERATOR
        future.blocking = False
        self.fut_waiter = future
        if not self.native:
            future.add_done_callback(self._wakeup, context=self.context)
        elif future.state == PENDING:
            if future.is_task and self.waiter is not None and cython.cast(Task, future).fut_waiter is not None:
                self.look_for_a_circle(future)
            future.add_waiter(self)
        else:
            ring_push(cython.address(cython.cast(Scheduler, self.loop).ready), self)
        if self.must_cancel and future.cancel(self.value):
            self.must_cancel = False
        return 0

    def look_for_a_circle(self, task):
        """Somebody waits for us, and we are about to wait for a task that waits: for us, in the end?"""
        left: cython.int = 1000  # tasks in a circle without us would lead on for ever
        while left > 0 and not task.throws and isinstance(task.fut_waiter, Task):
            if task.fut_waiter is self:
                if _circle_hook is not None:
                    _circle_hook(self)
                return 0
            task = task.fut_waiter
            left -= 1
        return 0

    def wait_for_foreign(self, future):
        try:
            return self.wait_for_any(future)
        except Exception as error:  # of an attribute or method of the program's
            return self.again(error)

    def wait_for_any(self, future):
        """asyncio's own futures, subclasses, and whatever else has `_asyncio_future_blocking`."""
        blocking = getattr(future, "_asyncio_future_blocking", None)
        if blocking is None:
            if asyncio.iscoroutine(future) or hasattr(future, "gi_frame"):
                return self.again(
                    RuntimeError(f"yield was used instead of yield from for generator in task {self!r} with {future!r}")
                )
            return self.again(RuntimeError(f"Task got bad yield: {future!r}"))
        if base_futures_loop(future) is not self.loop:
            return self.again(RuntimeError(f"Task {self!r} got Future {future!r} attached to a different loop"))
        if not blocking:
            return self.again(RuntimeError(f"yield was used instead of yield from in task {self!r} with {future!r}"))
        if future is self:
            return self.again(RuntimeError(f"Task cannot await on itself: {self!r}"))
        future._asyncio_future_blocking = False
        future.add_done_callback(self._wakeup, context=self.context)
        self.fut_waiter = future
        if self.must_cancel:
            try:
                if future.cancel(msg=self.value):
                    self.must_cancel = False
            except Exception as error:
                self.loop.call_exception_handler(
                    {"message": f"Exception in cancel() of what {self!r} waits for", "exception": error, "task": self}
                )
        return 0

    def again(self, error):
        """Run in the next turn; `error` is then thrown into the coroutine."""
        if error is not None:
            self.fut_waiter = error
            self.throws = True
        if self.native:
            ring_push(cython.address(cython.cast(Scheduler, self.loop).ready), self)
        else:
            self.loop.call_soon(self._step, context=self.context)
        return 0

    def finish_returned(self, value):
        if self.must_cancel:
            # cancelled in its last step, with no await left to tell it
            self.must_cancel = False
            self.settle(CANCELLED, self.value)
        else:
            if self.value is not None:
                self.keep_message()
            self.settle(RETURNED, value)
        return 0

    def finish_with(self, error):
        self.must_cancel = False
        if isinstance(error, _CancelledError):
            self.settle(CANCELLED, None)
            self.error_detail = error  # kept: the first who asks gets this very exception, later ones a bare one
            return 0
        if self.value is not None:
            self.keep_message()
        self.fail(error)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            reraise(error)
        return 0

    def keep_message(self):
        """It was cancelled and has ended in spite of it: the message goes where asyncio's gather() asks for it."""
        self.fut_waiter = self.value
        self.throws = True
        return 0

    def settle(self, state, value):
        """After the last step, or by somebody from outside: leave the loop's list."""
        if self.linked:
            unlink_task(self.loop, self)
        return Future.settle(self, state, value)

    def start_eagerly(self):
        """The first step runs now, inside whoever creates the task."""
        outer: cython.uint = 0
        began: int64_t = 0
        try:
            PyContext_Enter(self.context)
        except BaseException:
            if self.linked:
                unlink_task(self.loop, self)
            raise
        self.entered = True
        running = swap_current(self.loop, self)
        if self.native:
            outer = cython.cast(Scheduler, self.loop).running
            cython.cast(Scheduler, self.loop).running = self.order
            if self.told and cython.cast(Scheduler, self.loop).recording:
                began = monotonic_ns()
        try:
            self.step()
        finally:
            self.entered = False
            PyContext_Exit(self.context)
            swap_current(self.loop, running)
            if self.native:
                cython.cast(Scheduler, self.loop).running = outer
                if began and cython.cast(Scheduler, self.loop).recording:
                    cython.cast(Scheduler, self.loop).note_eager_step(self, began)
            if self.state != PENDING:
                self.coro = None  # done before anybody saw it: nothing to ask it for
            if self.native:
                # what runs after us must not take the flag for our doing
                cython.cast(Scheduler, self.loop).current_set = running is not None
        return 0

    def step_foreign(self):
        _enter_task(self.loop, self)
        try:
            self.step()
        finally:
            _leave_task(self.loop, self)
        return 0

    def _step(self):
        """A step on a loop of another make, or on ours by way of a callback."""
        if self.state != PENDING:
            raise exceptions.InvalidStateError(f"__step(): already done: {self!r}")
        self.run_entered()

    def _wakeup(self, future):
        """A future that is not ours is done."""
        if self.state == PENDING:
            self.run_entered()

    def run_entered(self):
        """Run a step for a handle, which has entered the task's context already."""
        self.entered = True
        try:
            self.run()
        finally:
            self.entered = False
        return 0

    # ---- asking and steering ---------------------------------------------------------------------------------------

    def cancel(self, msg=None):
        """Ask the task to end: CancelledError is thrown into the coroutine at its next chance.

        https://docs.python.org/3/library/asyncio-task.html#asyncio.Task.cancel
        """
        self.log_traceback = False
        if self.state != PENDING:
            return False
        self.cancel_requests += 1
        waited = self.fut_waiter
        if waited is not None and not self.throws:
            if isinstance(waited, Future) and cython.cast(Future, waited).plain:
                if waited.cancel(msg):
                    return True
            elif waited.cancel(msg=msg):
                return True
        self.must_cancel = True
        self.value = msg
        return True

    def last_message(self):
        if self.state <= CANCELLED:
            return self.value
        return self.fut_waiter if self.throws else None

    def cancelling(self):
        """Return the number of pending cancellation requests."""
        return self.cancel_requests

    def uncancel(self):
        """Take back one cancellation request; return how many are left."""
        if self.cancel_requests > 0:
            self.cancel_requests -= 1
            if self.cancel_requests == 0 and sys.version_info >= (3, 13):
                self.must_cancel = False
        return self.cancel_requests

    def get_coro(self):
        """Return the coroutine that the task drives."""
        return self.coro

    def get_context(self):
        """Return the contextvars.Context that the task runs in."""
        return self.context

    def get_name(self):
        """Return the task's name."""
        if self.name is None:
            self.name = f"Task-{self.serial}"
        return self.name

    def set_name(self, value, /):
        """Set the task's name; anything but a string is converted."""
        self.name = value if type(value) is str else str(value)
        if self.native and cython.cast(Scheduler, self.loop).recording:
            cython.cast(Scheduler, self.loop).note_name(self)

    def get_stack(self, *, limit=None):
        """Return the frames where the coroutine is suspended, or those of its traceback when it failed."""
        return base_tasks._task_get_stack(self, limit)

    def print_stack(self, *, limit=None, file=None):
        """Print what get_stack returns, as a traceback."""
        return base_tasks._task_print_stack(self, limit, file)

    def set_result(self, result, /):
        """Refused: a task's result is what its coroutine returns."""
        raise RuntimeError("Task does not support set_result operation")

    def set_exception(self, exception, /):
        """Refused: a task's exception is what its coroutine raises."""
        raise RuntimeError("Task does not support set_exception operation")

    def _make_cancelled_error(self):
        return self.make_cancelled_error()

    # ---- what asyncio's own modules and libraries read -------------------------------------------------------------

    @property
    def _coro(self):
        return self.coro

    @property
    def _fut_waiter(self):
        return None if self.throws else self.fut_waiter

    @property
    def _must_cancel(self):
        return bool(self.must_cancel)

    @property
    def _num_cancels_requested(self):
        return self.cancel_requests

    @property
    def _context(self):
        return self.context

    @property
    def _log_destroy_pending(self):
        return bool(self.log_destroy_pending)

    @_log_destroy_pending.setter
    def _log_destroy_pending(self, value):
        self.log_destroy_pending = bool(value)

    @_log_destroy_pending.deleter
    def _log_destroy_pending(self):
        raise AttributeError("_log_destroy_pending cannot be deleted")


def base_futures_loop(future):
    get_loop = getattr(future, "get_loop", None)
    return get_loop() if get_loop is not None else future._loop


def check_coroutine(coro):
    if not PyCoro_CheckExact(coro) and not coroutines.iscoroutine(coro):
        raise TypeError(f"a coroutine was expected, got {coro!r}")


def new_task(loop, coro, name, context, eager):
    if not PyCoro_CheckExact(coro):
        check_coroutine(coro)
    if context is not None and _CONTEXT_CHECKED and type(context) is not contextvars.Context:
        raise TypeError(f"a contextvars.Context was expected, got {context!r}")
    task: Task = Task.__new__(Task)
    task.loop = loop
    task.native = True
    task.plain = True
    if loop.debug:
        task.note_origin(format_helpers.extract_stack())
    task.begin(coro, name, context, eager)
    return task


def link_task(loop, task):
    """Put a task at the end of its loop's list, which now owns a reference to it."""
    first: cython.pointer(PyObject) = loop.first_task
    this: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), task)
    if first == cython.NULL:
        task.next_task = task.previous_task = this
        loop.first_task = this
    else:
        last: cython.pointer(PyObject) = cython.cast(Task, first).previous_task
        task.next_task = first
        task.previous_task = last
        cython.cast(Task, last).next_task = this
        cython.cast(Task, first).previous_task = this
    task.linked = True
    loop.task_count += 1
    Py_INCREF_raw(this)
    return 0


def unlink_task(loop, task):
    this: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), task)
    if task.next_task == this:
        loop.first_task = cython.NULL
    else:
        cython.cast(Task, task.previous_task).next_task = task.next_task
        cython.cast(Task, task.next_task).previous_task = task.previous_task
        if loop.first_task == this:
            loop.first_task = task.next_task
    task.next_task = task.previous_task = cython.NULL
    task.linked = False
    loop.task_count -= 1
    Py_DECREF_raw(this)
    return 0


def task_may_die_silently(task):
    """Whether a dying task has nothing to report; as with futures, its reference count is zero."""
    if cython.cast(Task, task).log_traceback:
        return 0
    if cython.cast(Task, task).state != PENDING or not cython.cast(Task, task).log_destroy_pending:
        return 1
    return cython.cast(Task, task).coro is None


def native_tasks(loop: Scheduler):
    """The unfinished tasks of a native loop, oldest first."""
    found: list = []
    task: cython.pointer(PyObject) = loop.first_task
    while task != cython.NULL:
        found.append(cython.cast(object, task))
        task = cython.cast(Task, task).next_task
        if task == loop.first_task:
            break
    return found


def drop_tasks(loop: Scheduler):
    """A loop that closes lets go of its unfinished tasks; they say so when they die."""
    for task in native_tasks(loop):
        unlink_task(loop, task)


def visit_tasks(loop, visit, argument):
    """The references that the list of unfinished tasks owns, for the garbage collector."""
    stop: cython.int
    task: cython.pointer(PyObject) = cython.cast(Scheduler, loop).first_task
    while task != cython.NULL:
        stop = visit(task, argument)
        if stop:
            return stop
        task = cython.cast(Task, task).next_task
        if task == cython.cast(Scheduler, loop).first_task:
            break
    return 0


def clear_tasks(loop):
    # At interpreter exit this runs when the module's names are gone already: nothing here may look one up
    while cython.cast(Scheduler, loop).first_task != cython.NULL:
        unlink_task(cython.cast(Scheduler, loop), cython.cast(Task, cython.cast(Scheduler, loop).first_task))
    return 0


install_guard(Task, task_may_die_silently)
install_pool(Task, 4096, True)
