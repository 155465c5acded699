"""The recorder: what ran, when and for how long, what it then waited for, and who woke it, in a ring per loop.

Always on, and still no more than about a hundredth of the time, by a budget: each record costs a credit, credits come
back with time (Scheduler.poll), and a turn is recorded whole when there are credits for its steps, or not at all.  The
turns that are not, run by the same `run_batch` as if there were no recorder; one GAP record stands for a stretch of
them and says how many steps it was.  A loop whose steps take 20 us and more is recorded without gaps.  With
CLEARLOOP_RECORD_ALL=1 credits never end.

One clock read per step: the end of one is the beginning of the next.  What a task waits for is read from outside,
after its step.  Nothing here runs code of the program, and no record keeps an object of its alive.

The fields of each kind of record are told in docs/recording.md; tests read them with clearloop.show.records.
"""

import asyncio
import logging
import os
import types

import cython
from cython.cimports.clearloop.engine.future import CANCELLED, PENDING, RETURNED, Future
from cython.cimports.clearloop.engine.handle import Handle
from cython.cimports.clearloop.engine.interned import callable_id, code_id, type_id
from cython.cimports.clearloop.engine.ring import ring_pop, ring_prefetch, ring_size
from cython.cimports.clearloop.engine.runnable import Runnable, Source
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import Task
from cython.cimports.clearloop.engine.timers import LATE_SHIFT
from cython.cimports.clearloop.system.callables import (
    cfunction_method,
    cfunction_self,
    descriptor_method,
    function_code,
    is_cfunction,
    is_function,
    is_static_type,
)
from cython.cimports.clearloop.system.capi import Py_DECREF_raw, PyThread_get_thread_ident, type_of
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.probe import Probe
from cython.cimports.clearloop.system.recording import (
    JOB,
    NAME,
    NAME_BYTES,
    NESTED,
    STALL,
    STEP,
    TASK,
    WAKE,
    Record,
    set_span,
    tape_next,
)
from cython.cimports.clearloop.system.suspended import WITHIN, coroutine_code, innermost_frame, set_library_folder
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset

LONGEST_NAME = cython.declare(cython.Py_ssize_t, 8 * 24)  # bytes

_logger = cython.declare(object, logging.getLogger("asyncio"))
_CODE = cython.declare(object, types.CodeType)
_SLEPT = cython.declare(object, asyncio.futures._set_result_unless_cancelled)
_wakeup = cython.declare(cython.p_void, descriptor_method(cython.cast(cython.pointer(PyObject), Task._wakeup)))
_step = cython.declare(cython.p_void, descriptor_method(cython.cast(cython.pointer(PyObject), Task._step)))

# An await is told of by the line of the program's own that waits, not by one in these.
set_library_folder(0, os.fsencode(os.path.dirname(os.path.dirname(__file__)) + os.sep))
set_library_folder(1, os.fsencode(os.path.dirname(asyncio.__file__) + os.sep))


# The types of entries, most of which a program has few of; what lies there is looked up by the type's address
_types = cython.declare(KnownType[64])
_stranger = cython.declare(KnownType)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def known_type(kind: cython.pointer(PyObject)) -> cython.pointer(KnownType):
    place: cython.pointer(KnownType) = cython.address(_types[(cython.cast(cython.size_t, kind) >> 6) & 63])
    return place if place.type == kind else look_up_type(kind, place)


@cython.cfunc
@cython.exceptval(check=False)
def look_up_type(kind: cython.pointer(PyObject), place: cython.pointer(KnownType)) -> cython.pointer(KnownType):
    if not is_static_type(kind):
        place = cython.address(_stranger)  # a class of the program's may go, and another come to its address
    place.id = type_id(kind)
    place.kind = OF_ANOTHER
    if issubclass(cython.cast(object, kind), Handle):
        place.kind = OF_HANDLE
    elif issubclass(cython.cast(object, kind), Source):
        place.kind = OF_SOURCE
    place.type = kind
    return place


@cython.cclass
class Recorder(Scheduler):
    """The scheduler that records."""

    def run_batch_timed(self, count):
        """run_batch of a turn that is recorded; and in debug mode, and while somebody times the steps of tasks."""
        entry: cython.pointer(PyObject)
        place: uint64_t
        now: int64_t
        ended: int64_t
        recorded: cython.bint = self.recording
        probe: cython.pointer(Probe) = self.probe
        task: Task = None
        if count == 0:
            if self.dirty_size:
                self.flush_dirty()
                self.clock = 0
            return 0
        now = self.clock if self.clock else monotonic_ns()
        self.clock = 0
        while count > 0:
            count -= 1
            ring_prefetch(cython.address(self.ready), 4)
            place = self.ready.head
            entry = ring_pop(cython.address(self.ready))
            self.entry = entry
            probe.steps += 1
            if self.current_set and not cython.cast(Runnable, entry).is_task:
                self.leave_task()
            if recorded:
                task = self.open_step(entry, now, place)
            cython.cast(Runnable, entry).run()
            # a lone source's bytes belong to the last step; what many have written, to none of them
            if self.dirty_size and ((count == 0 and self.dirty_size == 1) or self.send_now()):
                self.flush_dirty()
            ended = monotonic_ns()
            if recorded:
                if not self.recording:
                    self.resume_recording()  # a turn by hand inside this step was not recorded
                self.close_step(task, ended)
                task = None
            if self.step_times is not None and cython.cast(Runnable, entry).is_task:
                self.step_times(cython.cast(object, entry), ended - now)
                if not recorded:
                    ended = monotonic_ns()
            if self.debug and ended - now >= self.slow_ns:
                _logger.warning(
                    "Executing %s took %.3f seconds", repr(cython.cast(object, entry)), (ended - now) / 1e9
                )
            now = ended
            if probe.slow:
                self.was_slow(count, False)
                now = monotonic_ns()
            self.entry = cython.NULL
            Py_DECREF_raw(entry)
            if ring_size(cython.address(self.ready)) == 0:
                break
        self.step_code = 0
        self.step_due = 0
        if self.dirty_size:
            self.flush_dirty()
            now = 0
        self.clock = now
        return 0

    # ---- steps -----------------------------------------------------------------------------------------------------

    def open_step(self, entry, now, place):
        """Before an entry runs: what it is, for its record and those of the wake-ups that it causes.

        Returns the task whose step it is, or None.
        """
        callback: cython.pointer(PyObject)
        method: cython.p_void
        known: cython.pointer(KnownType)
        timer: cython.bint
        task: Task = None
        self.step_began = now
        self.step_due = 0
        if cython.cast(Runnable, entry).is_task:
            task = cython.cast(Task, entry)
            self.step_code = 0
            self.step_actor = task.order
            if not task.told:
                self.introduce(task, now)
            return task
        known = known_type(type_of(entry))
        timer = place < self.fired_to and place >= self.fired_from and self.own_clock
        self.step_actor = 0
        self.step_code = known.id
        self.step_kind = known.id << 8 | known.kind
        if known.kind == OF_HANDLE:
            callback = cython.cast(cython.pointer(PyObject), cython.cast(Handle, entry).callback)
            if is_function(callback):
                timer = timer and callback == cython.cast(cython.pointer(PyObject), _SLEPT)
                self.step_code = code_id(function_code(callback))
            elif is_cfunction(callback):
                method = cfunction_method(callback)
                if method == _wakeup or method == _step:
                    task = cython.cast(Task, cfunction_self(callback))
                    self.step_code = 0
                    self.step_actor = task.order
                    if not task.told:
                        self.introduce(task, now)
                    return task
                self.step_code = callable_id(callback)
            elif not cython.cast(Runnable, entry).dead:
                timer = False  # a callback of the program's: who it wakes was not ready before
                self.step_code = callable_id(callback)
        elif known.kind == OF_SOURCE:
            callback = cython.cast(Source, entry).subject()
            if callback != cython.NULL:
                self.step_code = callable_id(callback)
        if timer:
            self.step_due = self.fired - (cython.cast(int64_t, cython.cast(Runnable, entry).order) << LATE_SHIFT)
        return None

    def close_step(self, task, now):
        record: cython.pointer(Record)
        began: int64_t = self.step_began
        self.step_began = 0
        if task is not None:
            return self.write_step(task, 0, began, now)
        record = tape_next(cython.address(self.tape))
        record.kind = STEP
        set_span(record, 6 if self.step_kind & 0xFF == OF_SOURCE else 5, began, now)
        record.type = cython.cast(uint16_t, self.step_kind >> 8)
        record.actor = 0
        record.code = self.step_code
        record.place = record.other = 0
        return 0

    def write_step(self, task, nested, began, ended):
        """A step of a task has ended: how, and what does it wait for?"""
        how: uint8_t = 0
        offset: cython.int = 0
        code: cython.pointer(PyObject) = cython.NULL
        waited: cython.pointer(PyObject)
        library: cython.pointer(PyObject) = cython.NULL
        record: cython.pointer(Record) = tape_next(cython.address(self.tape))
        record.kind = STEP
        record.actor = task.order
        record.type = 0
        record.code = record.place = record.other = 0
        if task.state == PENDING:
            if task.fut_waiter is None or task.throws:
                how = 1
            else:
                waited = cython.cast(cython.pointer(PyObject), task.fut_waiter)
                record.type = cython.cast(uint16_t, type_id(type_of(waited)))
                if isinstance(task.fut_waiter, Future):
                    record.other = cython.cast(Future, task.fut_waiter).number()
                    if cython.cast(Future, task.fut_waiter).state != PENDING:
                        how = 1  # it was done already
            if task.coro is not None:
                code = innermost_frame(
                    cython.cast(cython.pointer(PyObject), task.coro), cython.address(offset), cython.address(library)
                )
                if code != cython.NULL:
                    record.code = code_id(code)
                    record.place = cython.cast(uint32_t, offset)
                if library != cython.NULL and record.other == 0:
                    record.other = code_id(library)
                    how |= WITHIN
        else:
            how = 2 if task.state == RETURNED else 4 if task.state == CANCELLED else 3
        set_span(record, how | nested, began, ended)
        if task.state != PENDING and self.overwritten(task):
            self.write_task(task, 1, created_ns(task, ended))
        return 0

    def overwritten(self, task):
        """Whether what was said of the task when it was created may be gone."""
        if self.tape.written <= self.tape.capacity:
            return 0
        return created_ns(task, self.tape.since) <= self.tape.records[self.tape.place].time

    def fail_step(self):
        """The step that is open has raised what ends the loop."""
        record: cython.pointer(Record)
        began: int64_t = self.step_began
        self.step_began = 0
        if self.tape.records == cython.NULL:
            return 0
        if not self.recording:
            self.clock = 0
            self.resume_recording()
        record = tape_next(cython.address(self.tape))
        record.kind = STEP
        set_span(record, 3, began, monotonic_ns())
        record.type = 0
        record.actor = self.step_actor
        record.code = self.step_code
        record.place = record.other = 0
        self.step_code = 0
        self.step_due = 0
        return 0

    def note_eager_step(self, task, began):
        return self.write_step(cython.cast(Task, task), NESTED, began, monotonic_ns())

    # ---- tasks -----------------------------------------------------------------------------------------------------

    def note_task(self, task):
        """A task is created.  One step may create any number: without credits they are told of when they first run."""
        if self.tape.credits <= 0:
            return 0
        cython.cast(Task, task).told = True
        return self.write_task(cython.cast(Task, task), 0, monotonic_ns())

    def introduce(self, task, now):
        """The first of its steps that is recorded, and its creation was not."""
        task.told = True
        return self.write_task(task, 0, created_ns(task, now))

    def write_task(self, task, how, time):
        record: cython.pointer(Record)
        code: cython.pointer(PyObject) = cython.NULL
        known: cython.uint = 0
        if task.coro is not None:
            code = coroutine_code(cython.cast(cython.pointer(PyObject), task.coro))
            if code != cython.NULL:
                known = code_id(code)
            else:
                known = type_id(type_of(cython.cast(cython.pointer(PyObject), task.coro)))
        record = tape_next(cython.address(self.tape))
        record.kind = TASK
        record.how = how
        record.type = 0
        record.actor = task.order
        record.time = time
        record.span = 0
        record.code = known
        record.place = cython.cast(uint32_t, task.serial)
        record.other = task.parent
        if task.name is not None:
            self.note_name(task)
        return 0

    def note_name(self, task):
        """The name that a task was given, in pieces."""
        record: cython.pointer(Record)
        text: bytes
        bytes_of: cython.p_char
        at: cython.Py_ssize_t = 0
        size: cython.Py_ssize_t
        piece: cython.Py_ssize_t
        number: cython.int = 0
        name: str = plain_name(cython.cast(Task, task).name)
        text = name[:LONGEST_NAME].encode("utf-8", "backslashreplace")
        size = len(text)
        bytes_of = text
        if size > LONGEST_NAME:
            size = LONGEST_NAME
            while size > 0 and (bytes_of[size] & 0xC0) == 0x80:
                size -= 1  # not in the middle of a character
        while True:
            piece = size - at if size - at < NAME_BYTES else NAME_BYTES
            record = tape_next(cython.address(self.tape))
            record.kind = NAME
            record.how = cython.cast(uint8_t, piece)
            record.type = cython.cast(uint16_t, number)
            record.actor = task.order
            memset(cython.address(record.time), 0, NAME_BYTES)
            memcpy(cython.address(record.time), bytes_of + at, piece)
            at += piece
            number += 1
            if at >= size:
                return 0

    # ---- who woke whom ---------------------------------------------------------------------------------------------

    def note_woken(self, waiter):
        """A task stands in the ready ring, since what it waited for is done."""
        record: cython.pointer(Record)
        if not waiter.is_task or (self.step_due < 0 and self.running == 0):
            return 0
        record = tape_next(cython.address(self.tape))
        record.kind = WAKE
        record.type = 0
        record.actor = waiter.order
        record.span = record.place = 0
        record.other = self.running
        record.code = self.step_code if self.running == 0 else 0
        if self.step_due and self.running == 0:
            record.how = 1
            record.time = self.step_due
        else:
            record.how = 0
            record.time = monotonic_ns()
        if self.thread_id != PyThread_get_thread_ident():
            record.how = 2
            record.other = record.code = 0
        return 0

    def note_called(self, callback):
        """A future that is not ours wakes a task of ours by a callback."""
        function: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), callback)
        if is_cfunction(function) and cfunction_method(function) == _wakeup:
            return self.note_woken(cython.cast(Runnable, cfunction_self(function)))
        return 0

    # ---- what other rooms record -----------------------------------------------------------------------------------

    def _record_job(self, how, job, task=None, function=None, executor=None, worker=0, time_ns=0, span_ns=0):
        """A JOB record: `how` 0 submitted, 1 ran, 2 delivered, 3 cancelled or dropped.

        `task` is a Task, its number, or None for the one that runs; `function` a callable or a code object, `executor`
        a type; `time_ns` 0 stands for now.  Does nothing when the loop does not record or has no credits left.
        """
        record: cython.pointer(Record)
        begin: int64_t = time_ns
        span: int64_t = span_ns
        if self.tape.credits <= 0:
            return
        who: uint32_t = number_of(task, self.running)
        what: cython.uint = 0 if function is None else named(function)
        kind: cython.uint = 0
        job_number: uint32_t = job
        worker_number: uint32_t = worker
        outcome: uint8_t = how
        if executor is not None:
            kind = type_id(cython.cast(cython.pointer(PyObject), executor)) if isinstance(executor, type) else 0
        if begin == 0:
            begin = monotonic_ns()
        record = tape_next(cython.address(self.tape))
        record.kind = JOB
        set_span(record, outcome, begin, begin + span)
        record.type = cython.cast(uint16_t, kind)
        record.actor = job_number
        record.code = what
        record.place = 0
        record.other = worker_number if outcome == 1 else who

    def note_job(self, how, job, function, executor, worker, time, span):
        """_record_job() for offload, which is compiled: `executor` is a type or None, the task the one that runs."""
        record: cython.pointer(Record)
        what: cython.uint = 0
        kind: cython.uint = 0
        if self.tape.credits <= 0:
            return 0
        if function is not None:
            what = callable_id(cython.cast(cython.pointer(PyObject), function))
        if executor is not None:
            kind = type_id(cython.cast(cython.pointer(PyObject), executor))
        record = tape_next(cython.address(self.tape))
        record.kind = JOB
        set_span(record, how, time, time + span)
        record.type = cython.cast(uint16_t, kind)
        record.actor = job
        record.code = what
        record.place = 0
        record.other = cython.cast(uint32_t, worker) if how == 1 else self.running if how == 0 else 0
        return 0

    def _record_stall(self, how, task=None, code=None, lasti=0, time_ns=0, span_ns=0):
        """A STALL record, whatever credits there are: `how` 1 blocking 2 compute 3 gil 4 gc 5 descheduled.

        `task` is a Task, its number or None; `code` and `lasti` are the line that blocked, if it is known.
        """
        record: cython.pointer(Record)
        begin: int64_t = time_ns
        span: int64_t = span_ns
        verdict: uint8_t = how
        offset: cython.int = lasti
        if self.tape.records == cython.NULL:
            return
        who: uint32_t = number_of(task, 0)
        where: cython.uint = 0 if code is None else named(code)
        if begin == 0:
            begin = monotonic_ns()
        record = tape_next(cython.address(self.tape))
        record.kind = STALL
        set_span(record, verdict, begin, begin + span)
        record.type = 0
        record.actor = who
        record.code = where
        record.place = cython.cast(uint32_t, offset if offset > 0 else 0)
        record.other = 0

    # ---- for those who read ----------------------------------------------------------------------------------------

    def _recording(self):
        """What was recorded: (capacity, written, records, since, credits, step), copied in one go.

        `capacity` and `written` count records, `written` also those that were overwritten since; `records` has the
        bytes of those that are kept, oldest first.  `since` is when the recording began, in ns of the monotonic clock.
        `step` is what runs right now, if it is being recorded: (since, number of the task, number of the callback),
        else None.  None instead of all that when the loop does not record.
        """
        if self.tape.records == cython.NULL:
            return None
        if self.gap_from:
            now: int64_t = monotonic_ns()
            self.close_gap(now)
            self.gap_from = now
            self.gap_steps = self.probe.steps
        place: cython.size_t = self.tape.place
        kept: cython.size_t
        records: cython.p_char = cython.cast(cython.p_char, self.tape.records)
        if self.tape.written <= self.tape.capacity:
            kept = self.tape.written
            data = PyBytes_FromStringAndSize(records, kept * cython.sizeof(Record))
        else:
            kept = self.tape.capacity
            data = PyBytes_FromStringAndSize(cython.NULL, kept * cython.sizeof(Record))
            memory: cython.p_char = data
            memcpy(memory, records + place * cython.sizeof(Record), (kept - place) * cython.sizeof(Record))
            memcpy(memory + (kept - place) * cython.sizeof(Record), records, place * cython.sizeof(Record))
        step = (self.step_began, self.step_actor, self.step_code) if self.step_began else None
        return self.tape.capacity, self.tape.written, data, self.tape.since, self.tape.credits, step

    def _recorded_tasks(self):
        """The unfinished tasks: [(id, parent, name, code, created_ms, waits_type, waits_other, frame code, lasti)].

        `name` is None while nobody has asked for it, `created_ms` when the loop had not run yet.  Nothing runs here
        but C code, so all of it is true at one moment.
        """
        found: list = []
        offset: cython.int
        kind: cython.uint
        other: cython.uint
        coroutine: cython.uint
        frame: cython.pointer(PyObject)
        library: cython.pointer(PyObject)
        code: cython.pointer(PyObject)
        now: int64_t = monotonic_ns()
        this: cython.pointer(PyObject) = self.first_task
        task: Task
        while this != cython.NULL:
            task = cython.cast(Task, this)
            offset = 0
            kind = other = coroutine = 0
            code = frame = cython.NULL
            if task.fut_waiter is not None and not task.throws:
                kind = type_id(type_of(cython.cast(cython.pointer(PyObject), task.fut_waiter)))
                if isinstance(task.fut_waiter, Future):
                    other = cython.cast(Future, task.fut_waiter).number()
            if task.coro is not None:
                code = coroutine_code(cython.cast(cython.pointer(PyObject), task.coro))
                coroutine = code_id(code) if code != cython.NULL else type_id(
                    type_of(cython.cast(cython.pointer(PyObject), task.coro))
                )
                frame = innermost_frame(
                    cython.cast(cython.pointer(PyObject), task.coro), cython.address(offset), cython.address(library)
                )
            name = f"Task-{task.serial}" if task.name is None else plain_name(task.name)
            found.append(
                (
                    task.order,
                    task.parent,
                    name,
                    coroutine,
                    created_ns(task, now) // 1_000_000 if task.created else None,
                    kind,
                    other,
                    code_id(frame) if frame != cython.NULL else 0,
                    offset,
                )
            )
            this = task.next_task
            if this == self.first_task:
                break
        return found

    def _running_task(self):
        """The number of the task that runs, 0 outside of tasks."""
        return self.running


@cython.cfunc
def plain_name(name):
    """A string that is nothing but a string: a subclass has methods of its own."""
    return name if type(name) is str else "".join(list(str.__iter__(name)))


@cython.cfunc
@cython.exceptval(check=False)
def created_ns(task: Task, now: int64_t) -> int64_t:
    """When a task was created: its 32 bits of milliseconds are those of the last 49 days before `now`."""
    passed: uint32_t = cython.cast(uint32_t, now // 1_000_000) - task.created
    if task.created == 0:
        return now
    if passed > 0x7FFF_FFFF:
        passed = 0  # `now` itself was read a little earlier
    return (now // 1_000_000 - passed) * 1_000_000


@cython.cfunc
@cython.exceptval(-1, check=True)
def number_of(task: object, otherwise: cython.uint) -> cython.uint:
    if task is None:
        return otherwise
    if isinstance(task, Task):
        return cython.cast(Task, task).order
    if isinstance(task, int):
        return task
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def named(function: object) -> cython.uint:
    if type(function) is _CODE:
        return code_id(cython.cast(cython.pointer(PyObject), function))
    return callable_id(cython.cast(cython.pointer(PyObject), function))
