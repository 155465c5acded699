"""What runs, and when: one turn of the loop.

    poll (if due)  ->  timers that are due  ->  the callbacks that are ready now, in order

The poll puts sources with events behind what is ready already, due timers come behind those, and what callbacks
schedule runs in the next turn: the order that asyncio's loop has.

Asking the kernel costs a system call, more than a task switch does.  While callbacks are ready the poll is put off,
but no longer than POLL_AFTER callbacks or one tick of the kernel's coarse clock (1 to 4 ms), so that no socket
starves behind tasks that keep each other awake.
"""

import asyncio
import os
from asyncio import format_helpers
from asyncio.log import logger

import cython
from cython.cimports.clearloop.engine.current import clear_current
from cython.cimports.clearloop.engine.handle import ALONE, COMMON, Handle, new_handle
from cython.cimports.clearloop.engine.ring import ring_init, ring_pop, ring_prefetch, ring_push, ring_resize, ring_size
from cython.cimports.clearloop.engine.runnable import Runnable, Source
from cython.cimports.clearloop.engine.shared_handle import SharedHandle, new_shared_handle
from cython.cimports.clearloop.engine.timers import TimerHandle, Timers, nanoseconds, new_timer_handle
from cython.cimports.clearloop.system.bindings import binds_the_same, find_bindings
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    Py_INCREF_raw,
    Py_XDECREF_raw,
    PyErr_CheckSignals,
    PyThread_get_thread_ident,
    steal,
)
from cython.cimports.clearloop.system.clock import coarse_ns, monotonic_ns
from cython.cimports.clearloop.system.poller import Poller
from cython.cimports.clearloop.system.probe import (
    DESCRIBED,
    RUNNING,
    SLOW_STEP,
    SLOW_TURN,
    Probe,
    probe_runs,
    probe_waits,
)
from cython.cimports.clearloop.system.recording import GAP, RUN, WAIT, tape_free, tape_make, tape_write
from cython.cimports.clearloop.system.slots import install_extra, track
from cython.cimports.clearloop.system.watchdog import (
    new_probe,
    release_probe,
    run_begins,
    run_ends,
    set_threshold,
    stretch_ends,
)
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import INT64_MAX, int64_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc

from clearloop.system.pollers import choose as choose_poller

# The public one is deprecated from 3.14
_iscoroutinefunction = cython.declare(
    object, getattr(asyncio.coroutines, "_iscoroutinefunction", None) or asyncio.coroutines.iscoroutinefunction
)
POLL_AFTER = cython.declare(cython.Py_ssize_t, 256)
SEND_TOGETHER = cython.declare(cython.Py_ssize_t, 64)  # see mark_dirty
# An idle loop does not wake for timers more often than every quarter of a millisecond: a wake-up costs some 5 us, and
# dense deadlines share it (asyncio and libuv round to whole milliseconds).  A lone timer fires on time.
TIMER_SPACING = cython.declare(int64_t, 250_000)
# Of a loop's time, recording may take about a hundredth: a record costs some 100 ns and one credit, and a credit comes
# back every 20 us.  A burst of FULL records is recorded whole.
CREDIT_NS = cython.declare(int64_t, 20_000)
FULL = cython.declare(int64_t, 4096)
UNLIMITED = cython.declare(int64_t, 1 << 60)
RESUME_FROM = cython.declare(int64_t, 64)  # credits beyond what the turn needs, so that gaps do not come one by one
IDLE_LOOK_SPACING = cython.declare(int64_t, 5_000_000)
SLOW_SECONDS = cython.declare(object, 0.1)  # what holds the loop longer is slow, unless CLEARLOOP_SLOW says otherwise
RECORD_MIB = cython.declare(object, 8)  # of records; each has 32 bytes
MOST_MIB = cython.declare(object, 16384)
KEEP_CAPACITY = cython.declare(cython.size_t, 262144)  # a ready queue that was longer is given back when it is empty


_running_loop = cython.declare(object, asyncio.events._get_running_loop)
_idle_hook = cython.declare(object, None)
_record_all = cython.declare(cython.bint, False)
_record_mib = cython.declare(object, None)


def set_idle_hook(hook):
    """Have `hook(loop, descriptors)` called when a loop with unfinished tasks is about to wait without end."""
    global _idle_hook
    _idle_hook = hook


@cython.no_gc_clear  # the queues are emptied below; the timers and the poller stay, whoever still calls us
@cython.cclass
class Scheduler:
    """The ready queue, the timers and the poller of one loop, and the turn that drives them."""

    def __cinit__(self, *args, **kwargs):
        self.closed = True  # until all is there: the __del__ of a half-made loop finds nothing to close
        ring_init(cython.address(self.ready))
        self.timers = Timers()
        self.poller = Poller()
        self.since_poll = POLL_AFTER
        self.own_clock = True
        self.probe = new_probe(
            cython.cast(cython.pointer(PyObject), self),
            cython.cast(cython.pointer(cython.const[uint64_t]), cython.address(self.ready.tail)),
        )
        self.tape.credits = -1
        self.slow_seconds = 0.1
        self.slow_ns = 100_000_000
        set_threshold(self.probe, slow_by_environment())
        if self.probe.threshold:
            self.slow_ns = self.probe.threshold
            self.slow_seconds = cython.cast(cython.double, self.slow_ns) / 1e9

    def __init__(self, poller=None):
        if type(self.poller) is Poller:  # which keeps its place until it is known which one is wanted
            self.poller = choose_poller(poller)
            self.poller.probe = self.probe
            self.closed = False
        self.own_clock = type(self).time is Scheduler.time

    def __dealloc__(self):
        if self.probe != cython.NULL:
            if self.poller is not None:
                self.poller.probe = cython.NULL
            release_probe(self.probe)
        while ring_size(cython.address(self.ready)):
            Py_DECREF_raw(ring_pop(cython.address(self.ready)))
        free(self.ready.items)
        while self.dirty_size:
            self.dirty_size -= 1
            Py_XDECREF_raw(self.dirty[self.dirty_size])
        free(self.dirty)
        tape_free(cython.address(self.tape))

    # ---- scheduling ------------------------------------------------------------------------------------------------

    def call_soon(self, callback, *args, context=None):
        """Run `callback(*args)` in the next turn.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.call_soon
        """
        if self.closed:
            self.check_closed()
        common = self.common_context() if context is None else context
        handle: Handle = new_handle(self, callback, args, common)
        if context is None:
            handle.snapshot = ALONE if common is None else COMMON
        if self.debug:
            self.check_thread()
            self.check_callback(callback, "call_soon")
            handle.note = [format_helpers.extract_stack(), None]
        if self.thread_id == 0:
            track(cython.cast(cython.pointer(PyObject), handle))
        ring_push(cython.address(self.ready), handle)
        if self.recording:
            self.note_called(callback)
        return handle

    def call_soon_threadsafe(self, callback, *args, context=None):
        """Like call_soon, from any thread, and wakes the loop.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.call_soon_threadsafe
        """
        if self.closed:
            self.check_closed()
        common = self.common_context() if context is None else context
        handle: Handle = new_shared_handle(self, callback, args, common)
        if context is None:
            handle.snapshot = ALONE if common is None else COMMON
        if self.debug:
            self.check_callback(callback, "call_soon_threadsafe")
            handle.note = [format_helpers.extract_stack(), None]
        if self.thread_id == 0:
            track(cython.cast(cython.pointer(PyObject), handle))
        ring_push(cython.address(self.ready), handle)
        if self.poller.waiting == 1:
            self.poller.wake()
        return handle

    def common_context(self):
        """The context of the callback that was scheduled last, if it waits and binds what is current; else None."""
        if ring_size(cython.address(self.ready)) == 0:
            return None
        last = cython.cast(object, self.ready.items[(self.ready.tail - 1) & self.ready.mask])
        if type(last) is not Handle and type(last) is not SharedHandle:
            return None
        handle: Handle = cython.cast(Handle, last)
        if handle.snapshot == 0 or not binds_the_same(cython.cast(cython.pointer(PyObject), handle.context)):
            return None
        handle.snapshot = COMMON
        return handle.context

    def call_later(self, delay, callback, *args, context=None):
        """Run `callback(*args)` after `delay` seconds.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.call_later
        """
        if delay is None:
            raise TypeError("delay must not be None")
        return self.add_timer(self.seconds() + cython.cast(cython.double, delay), callback, args, context, "call_later")

    def call_at(self, when, callback, *args, context=None):
        """Run `callback(*args)` at the time `when`, in seconds of `loop.time()`.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.call_at
        """
        if when is None:
            raise TypeError("when cannot be None")
        return self.add_timer(when, callback, args, context, "call_at")

    def seconds(self):
        if self.own_clock:
            return cython.cast(cython.double, monotonic_ns()) / 1e9
        return self.time()

    def add_timer(self, when, callback, args, context, method):
        if self.closed:
            self.check_closed()
        deadline: int64_t = nanoseconds(when)
        handle: TimerHandle = new_timer_handle(self, self.timers, when, callback, args, context)
        if self.debug:
            self.check_thread()
            self.check_callback(callback, method)
            handle.note = [format_helpers.extract_stack(), None]
        if self.thread_id == 0:
            track(cython.cast(cython.pointer(PyObject), handle))
        self.timers.push(deadline, handle)
        return handle

    def enqueue(self, entry):
        ring_push(cython.address(self.ready), entry)
        return 0

    def time(self):
        """Return the loop's clock in seconds: CLOCK_MONOTONIC, as time.monotonic() has it.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.time
        """
        return cython.cast(cython.double, monotonic_ns()) / 1e9

    def now(self):
        return monotonic_ns() if self.own_clock else nanoseconds(self.time())

    # ---- the turn --------------------------------------------------------------------------------------------------

    def _spin(self):
        """Turn until stopped: this is the event loop."""
        global newest
        self.thread_id = self.ran_in = PyThread_get_thread_ident()
        newest = cython.cast(cython.pointer(PyObject), self)
        self.since_poll = POLL_AFTER  # the first turn of a run always asks the kernel
        try:
            self.probe.events_fd = self.poller.fileno()
        except (AttributeError, OSError, ValueError):
            self.probe.events_fd = -1  # of another kind: nobody can see from outside whether it has events
        run_begins(self.probe)
        self.run_since = monotonic_ns()
        self.begin_recording()
        try:
            while True:
                try:
                    self.turn_until_stopped()
                    break
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    if self.entry == cython.NULL:
                        raise  # not of an entry: the poller, or a clock of the program's
                    self.finish_step()
                    self.call_exception_handler({"message": "Exception in the event loop", "exception": error})
        finally:
            try:
                self.finish_step()
            finally:
                run_ends(self.probe)
                self.end_recording()
                self.ran += monotonic_ns() - self.run_since
                self.run_since = 0
                self.waiting_since = 0  # a signal's handler may have raised out of the wait
                self.stopping = False
                self.thread_id = 0
                if newest == cython.cast(cython.pointer(PyObject), self):
                    newest = cython.NULL
                self.show_queues()
                if self.current_set:
                    self.leave_task()

    def turn_until_stopped(self):
        while True:
            self.turn()
            if self.stopping:
                return 0

    def _run_once(self):
        """One turn, for code that steps a loop by hand, even from inside one of its callbacks."""
        outer: cython.pointer(PyObject) = self.entry
        began: int64_t = self.step_began
        due: int64_t = self.step_due
        actor: cython.uint = self.step_actor
        code: cython.uint = self.step_code
        kind: cython.uint = self.step_kind
        recorded: cython.bint = self.recording
        self.entry = cython.NULL
        self.step_began = self.clock = 0
        try:
            if self.dirty_size:
                self.flush_dirty()  # what the outer callback has written may be what this turn waits an answer to
            self.turn()
        finally:
            self.finish_step()
            self.entry = outer
            self.clock = 0
            if self.recording and not recorded:
                self.pause_recording()  # the outer batch is not recorded
            self.step_began = began
            self.step_due = due
            self.step_actor = actor
            self.step_code = code
            self.step_kind = kind
            if self.current_set:
                self.leave_task()

    def show_queues(self):
        """While a loop runs, nothing that stands in its queues is garbage, and the collector need not look at it.

        When the loop has stopped it may be dropped, together with all that: from now on the collector looks.
        """
        place: cython.size_t
        timer: cython.Py_ssize_t
        for place in range(self.ready.head, self.ready.tail):
            track(self.ready.items[place & self.ready.mask])
        for timer in range(self.timers.size):
            track(self.timers.heap[timer].entry)
        return 0

    def finish_step(self):
        """After an exception that ends the loop: let go of the entry that raised, and send what it wrote."""
        if self.probe.slow:
            self.was_slow(0, False)
        if self.step_began:
            self.fail_step()
        self.clock = 0
        entry: cython.pointer(PyObject) = self.entry
        self.entry = cython.NULL
        if entry != cython.NULL:
            Py_DECREF_raw(entry)
        if self.dirty_size:
            self.flush_dirty()
        return 0

    def turn(self):
        self.probe.turns += 1
        count: cython.size_t = ring_size(cython.address(self.ready))
        if count == 0:
            if self.ready.mask >= KEEP_CAPACITY:
                ring_resize(cython.address(self.ready), 64)
            if self.current_set:
                self.leave_task()
            # The wait is uninterrupted C code: a signal that came since the last bytecode is due now
            PyErr_CheckSignals()
            timeout: int64_t = 0 if self.stopping else self.idle_time()
            if not self.own_clock and timeout != 0:
                timeout = self.wait_by_own_clock(timeout)
            if timeout < 0 and self.poller.registered <= 1 and self.offloaded == 0 and self.first_task != cython.NULL:
                timeout = self.before_an_endless_wait()
            # A handler, a __del__ of the last task's result or a clock in Python may have scheduled something
            self.poll(0 if ring_size(cython.address(self.ready)) or self.stopping else timeout)
        elif self.since_poll >= POLL_AFTER:
            self.poll(0)
        elif coarse_ns() != self.probe.polled:
            PyErr_CheckSignals()
            self.poll(0)
        if self.timers.size:
            self.fire()
        count = ring_size(cython.address(self.ready))
        self.since_poll += count
        # the batch is recorded whole if there are credits for it, else not at all
        if self.recording:
            if self.tape.credits < cython.cast(int64_t, count):
                self.pause_recording()
        elif self.tape.credits >= cython.cast(int64_t, count) + RESUME_FROM:
            self.resume_recording()
        if self.recording or self.debug or self.step_times is not None:
            self.run_batch_timed(count)
        else:
            self.clock = 0
            self.run_batch(count)
        return 0

    def leave_task(self):
        """asyncio's current task was left set, for the next task to overwrite: there is none."""
        self.current_set = False
        self.running = 0
        clear_current(self)
        return 0

    def idle_time(self):
        """How long to wait for events when nothing is ready, in nanoseconds; -1 without end."""
        if self.timers.size == 0:
            return -1
        deadline: int64_t = self.timers.first()
        if deadline < 0 or deadline == INT64_MAX:
            return -1
        if not self.own_clock:
            deadline -= self.now()
        else:
            if deadline < self.fired + TIMER_SPACING:
                deadline = self.fired + TIMER_SPACING
            self.clock = monotonic_ns()
            deadline -= self.clock
        return deadline if deadline > 0 else 0

    def wait_by_own_clock(self, timeout):
        """The same for a loop whose clock is not the kernel's: it may jump instead of waiting."""
        return self._wait_time(timeout)

    def _wait_time(self, timeout):
        """Nanoseconds to wait in the kernel when `timeout` (-1: without end) of the loop's own clock are left."""
        return timeout

    def before_an_endless_wait(self):
        """Tasks wait, and nothing but a thread or a signal can wake the loop: tell watch/, which looks whether any may.

        It looks at most every IDLE_LOOK_SPACING.  When it has just looked, the loop waits so long and comes again.
        """
        if _idle_hook is None:
            return -1
        if monotonic_ns() - self.idle_looked < IDLE_LOOK_SPACING:
            return IDLE_LOOK_SPACING
        _idle_hook(self, self.poller.registered)
        self.idle_looked = monotonic_ns()
        return -1

    def fire(self):
        """Put the timers that are due behind what is ready."""
        # what the poll has just read will do; it is never later than now
        now: int64_t = self.clock if self.clock and self.own_clock else self.now()
        before: cython.size_t = self.ready.tail
        deadline: int64_t = self.timers.first()
        self.timers.pop_due(now, cython.address(self.ready))
        if self.ready.tail != before:
            self.fired = now
            self.fired_from = before
            self.fired_to = self.ready.tail
            self.note_lag(now - deadline)
        return 0

    def note_lag(self, late):
        """Count how late the first of the due timers fires: four buckets for each power of two, in microseconds."""
        microseconds: int64_t = late // 1000
        bucket: cython.int = 0
        if microseconds >= 4:
            while microseconds >= 8:
                microseconds >>= 1
                bucket += 4
            bucket += cython.cast(cython.int, microseconds)
        elif microseconds > 0:
            bucket = cython.cast(cython.int, microseconds)
        if bucket >= LAGS:
            bucket = LAGS - 1
        self.lags[bucket] += 1
        return 0

    def poll(self, timeout):
        if self.current_set:
            self.leave_task()
        asked: int64_t = monotonic_ns() if self.debug else 0
        began: int64_t = 0
        if timeout != 0:
            began = self.waiting_since = self.clock if self.clock else monotonic_ns()
            probe_waits(self.probe)
        self.clock = 0
        count: cython.int = self.poller.wait(timeout)
        if self.probe.activity != RUNNING:
            probe_runs(self.probe)  # not yet done by the poller, which does it before it waits for the GIL
        elif self.probe.parked:
            self.probe.wake(self.probe)
        if began:
            self.clock = monotonic_ns()
            self.waited += self.clock - began
            self.waiting_since = 0
            if self.tape.credits > 1:
                self.note_wait(began, self.clock)
        place: cython.int
        source: Source
        for place in range(count):
            source = cython.cast(Source, self.poller.events[place].owner)
            source.revents |= self.poller.events[place].events
            if not source.queued:
                source.queued = True
                ring_push(cython.address(self.ready), source)
        self.since_poll = 0
        ticked: int64_t = coarse_ns()
        self.sent = ticked
        if ticked != self.probe.polled:
            if self.tape.records != cython.NULL:
                self.tape.credits += (ticked - self.probe.polled) // CREDIT_NS
                if self.tape.credits > self.tape.most:
                    self.tape.credits = self.tape.most
            self.probe.polled = ticked
        if self.probe.slow:
            self.was_slow(0, True)
        if asked and timeout >= 0:
            self.check_wait(monotonic_ns() - asked - timeout)
        return 0

    def check_wait(self, late):
        """Debug mode: say when the kernel, or who wanted the GIL meanwhile, kept the loop longer than it had asked."""
        if late >= self.slow_ns:
            logger.warning("Polling for events took %.3f seconds longer than asked for", late / 1e9)
        return 0

    def was_slow(self, remaining, after_poll):
        """The watchdog has found that what just ended held the loop too long: who waited?

        `remaining` entries of this batch have not run yet.
        """
        probe: cython.pointer(Probe) = self.probe
        kind: cython.int = probe.slow
        if kind == DESCRIBED:
            return 0
        if kind == SLOW_TURN and remaining != 0 and probe.turns == probe.slow_turns:
            return 0  # the turn goes on
        if probe.turns != probe.slow_turns or (kind == SLOW_STEP and probe.steps != probe.slow_steps):
            stretch_ends(probe)  # it had ended already, just when the watchdog saw it
            return 0
        try:
            from clearloop.engine import victims

            entry = cython.cast(object, self.entry) if self.entry != cython.NULL else None
            probe.slow = DESCRIBED
            victims.describe_stall(self, entry, kind, remaining, after_poll)
        except BaseException as error:  # whatever it is, it is not of the step
            stretch_ends(probe)
            logger.error("clearloop: cannot say who waited", exc_info=error)
        return 0

    def run_batch(self, count):
        entry: cython.pointer(PyObject)
        probe: cython.pointer(Probe) = self.probe
        while count > 0:
            count -= 1
            ring_prefetch(cython.address(self.ready), 4)
            entry = ring_pop(cython.address(self.ready))
            self.entry = entry
            probe.steps += 1
            if self.current_set and not cython.cast(Runnable, entry).is_task:
                self.leave_task()
            cython.cast(Runnable, entry).run()
            if self.dirty_size and self.send_now():
                self.flush_dirty()
            if probe.slow:
                self.was_slow(count, False)
            self.entry = cython.NULL
            Py_DECREF_raw(entry)
            if ring_size(cython.address(self.ready)) == 0:
                break  # a callback closed the loop, or stepped it by hand
        if self.dirty_size:
            self.flush_dirty()
        return 0

    def run_batch_timed(self, count):
        """run_batch that reads a clock between any two steps; the recorder's (engine/recorder.py)."""
        return self.run_batch(count)

    # ---- the recorder's place in the turn ----------------------------------------------------------------------------

    def begin_recording(self):
        """A run begins: make the ring of records, unless there is one, or none is wanted or to be had."""
        capacity: cython.size_t
        if not self.tape_tried:
            self.tape_tried = True
            capacity = records_by_environment()
            if capacity and tape_make(cython.address(self.tape), capacity):
                self.tape.since = self.run_since
                everything: cython.bint = _record_all or os.environ.get("CLEARLOOP_RECORD_ALL", "") not in ("", "0")
                self.tape.most = UNLIMITED if everything else FULL
                self.tape.credits = self.tape.most
        self.clock = 0
        if self.tape.records != cython.NULL:
            if self.gap_from:
                self.close_gap(self.run_since)
            tape_write(cython.address(self.tape), RUN, 0, self.run_since, self.run_since, 0)
            self.pause_recording()  # until the first turn, which may be too large
        return 0

    def end_recording(self):
        now: int64_t
        self.step_actor = self.step_code = 0
        self.step_due = 0
        if self.tape.records == cython.NULL:
            return 0
        now = monotonic_ns()
        if self.gap_from:
            self.close_gap(now)
        tape_write(cython.address(self.tape), RUN, 1, now, now, 0)
        self.pause_recording()  # somebody may step the loop by hand
        return 0

    def resume_recording(self):
        if self.clock == 0:
            self.clock = monotonic_ns()
        if self.gap_from:
            self.close_gap(self.clock)
        self.recording = True
        return 0

    def pause_recording(self):
        self.recording = False
        self.gap_from = self.clock if self.clock else monotonic_ns()
        self.gap_steps = self.probe.steps
        return 0

    def close_gap(self, now):
        """What was not recorded ends: say how many steps it was."""
        steps: uint64_t = self.probe.steps - self.gap_steps
        if steps > 0xFFFF_FFFF:
            steps = 0xFFFF_FFFF
        if steps:
            tape_write(
                cython.address(self.tape), GAP, 0, self.gap_from, now, cython.cast(cython.uint, steps)
            )
        self.gap_from = 0
        return 0

    def note_wait(self, began, ended):
        """The loop has waited, whether its turns are recorded or not."""
        if self.gap_from:
            self.close_gap(began)
            self.gap_from = ended
            self.gap_steps = self.probe.steps
        tape_write(cython.address(self.tape), WAIT, 0, began, ended, 0)
        return 0

    def fail_step(self):
        return 0

    def note_woken(self, waiter):
        return 0

    def note_called(self, callback):
        return 0

    def note_task(self, task):
        return 0

    def note_name(self, task):
        return 0

    def note_eager_step(self, task, began):
        return 0

    # ---- what the steps leave to send --------------------------------------------------------------------------------

    def mark_dirty(self, source):
        """`source` has written: flush it when the turn ends, or sooner.  Call it once per source and flush.

        Sending for many connections in one go costs less than sending after each step: the kernel's code and data
        stay in the caches, and a peer on this machine is woken once for many answers (16.3 against 25.3 µs for a
        request to aiohttp).  So that no answer waits long for the steps of others, SEND_TOGETHER of them are enough
        to send, and in a long turn they leave with every tick of the coarse clock (send_now()).
        """
        if self.dirty_size == self.dirty_capacity:
            capacity: cython.Py_ssize_t = 2 * self.dirty_capacity if self.dirty_capacity else 16
            grown = cython.cast(
                cython.pointer(cython.pointer(PyObject)),
                realloc(self.dirty, capacity * cython.sizeof(cython.pointer(PyObject))),
            )
            if grown == cython.NULL:
                raise MemoryError()
            self.dirty = grown
            self.dirty_capacity = capacity
        self.dirty[self.dirty_size] = cython.cast(cython.pointer(PyObject), source)
        Py_INCREF_raw(self.dirty[self.dirty_size])
        self.dirty_size += 1
        if self.entry == cython.NULL and self.dirty_size == 1 and self.thread_id == 0:
            # written while the loop does not run (before run_forever, between runs): nothing would end this step
            self.flush_dirty()
        return 0

    def send_now(self):
        """Whether what the steps have written is to be sent before the turn ends."""
        if self.dirty_size >= SEND_TOGETHER:
            return True
        ticked: int64_t = coarse_ns()
        if ticked == self.sent:
            return False
        self.sent = ticked
        return True

    def flush_dirty(self):
        source: cython.pointer(PyObject)
        place: cython.Py_ssize_t = 0
        while self.dirty_size:
            if place >= self.dirty_size or self.dirty[0] != cython.NULL:
                place = 0  # a turn by hand inside a flush has emptied the array, and others have been marked since
            source = self.dirty[place]
            # taken: flush may raise, step the loop by hand or close it, and whoever comes next must not flush it again
            self.dirty[place] = cython.NULL
            place += 1
            if place == self.dirty_size:
                self.dirty_size = place = 0
            if source != cython.NULL:
                cython.cast(Source, steal(source)).flush()
        return 0

    # ---- state -----------------------------------------------------------------------------------------------------

    def stop(self):
        """Stop the loop at the end of this turn.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.stop
        """
        self.stopping = True

    def is_running(self):
        """Return whether the loop runs."""
        return self.thread_id != 0

    def is_closed(self):
        """Return whether the loop was closed."""
        return bool(self.closed)

    def get_debug(self):
        """Return whether debug mode is on."""
        return bool(self.debug)

    def set_debug(self, enabled):
        """Switch debug mode: https://docs.python.org/3/library/asyncio-dev.html#debug-mode"""
        self.debug = bool(enabled)
        self._debug_changed()

    def _debug_changed(self):
        pass

    @property
    def _debug(self):
        return bool(self.debug)

    @property
    def _thread_id(self):
        return self.thread_id or None

    @property
    def _stopping(self):
        return bool(self.stopping)

    @property
    def _closed(self):
        return bool(self.closed)

    @property
    def slow_callback_duration(self):
        """What holds the loop longer than this many seconds is reported; 0: nothing is.

        In debug mode, callbacks that take longer are logged as well, as asyncio does.
        """
        return self.slow_seconds

    @slow_callback_duration.setter
    def slow_callback_duration(self, seconds):
        self.slow_seconds = seconds
        self.slow_ns = INT64_MAX if seconds > 9e9 else cython.cast(int64_t, self.slow_seconds * 1e9)
        set_threshold(self.probe, self.slow_ns if self.slow_ns > 0 else 0)

    def _check_closed(self):
        self.check_closed()

    def _check_thread(self):
        self.check_thread()

    def _check_callback(self, callback, method):
        self.check_callback(callback, method)

    def check_closed(self):
        if self.closed:
            raise RuntimeError("Event loop is closed")
        return 0

    def check_thread(self):
        if self.thread_id != 0 and self.thread_id != PyThread_get_thread_ident():
            raise RuntimeError(
                "Non-thread-safe operation invoked on an event loop other than the current one; "
                "use loop.call_soon_threadsafe() from other threads"
            )
        return 0

    def check_callback(self, callback, method):
        if asyncio.iscoroutine(callback) or _iscoroutinefunction(callback):
            raise TypeError(f"coroutines cannot be used with {method}()")
        if not callable(callback):
            raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")
        return 0

    def _close_scheduler(self):
        """Forget everything that was scheduled and give the descriptors back."""
        self.closed = True
        self.drop_all()
        self.poller.close()

    def drop_all(self):
        entry: cython.pointer(PyObject)
        while ring_size(cython.address(self.ready)):
            entry = ring_pop(cython.address(self.ready))
            cython.cast(Runnable, entry).forget()
            Py_DECREF_raw(entry)
        self.timers.clear()
        while self.dirty_size:
            self.dirty_size -= 1
            Py_XDECREF_raw(self.dirty[self.dirty_size])
        return 0

    # ---- counters --------------------------------------------------------------------------------------------------

    def _current_handle(self):
        """The callback's handle that runs now, for the default exception handler; None in a task or between turns."""
        if self.entry == cython.NULL:
            return None
        entry = cython.cast(object, self.entry)
        return entry if isinstance(entry, Handle) else None

    def _ready_count(self):
        return ring_size(cython.address(self.ready))

    def _timer_count(self):
        return self.timers.size - self.timers.dead

    def _measures(self):
        """(ns of all runs, ns waited in the kernel, lags by bucket, unfinished tasks)."""
        now: int64_t = monotonic_ns()
        lags: list = [self.lags[bucket] for bucket in range(LAGS)]
        running: int64_t = now - self.run_since if self.run_since else 0
        waiting: int64_t = now - self.waiting_since if self.waiting_since else 0
        return self.ran + running, self.waited + waiting, lags, self.task_count

    def _time_steps(self, callback):
        """Call `callback(task, nanoseconds)` after each step of a task; None: no more."""
        self.step_times = callback

    def _step_count(self):
        return self.probe.steps

    def _turn_count(self):
        return self.probe.turns

    def _watch_number(self):
        return self.probe.number

    def _ran_in(self):
        """The identifier of the thread that runs the loop, or ran it last; 0: none has."""
        return self.ran_in


def acting_here():
    """acting(), where other loops have begun to run since: this one is the next to be asked first."""
    global newest
    loop = _running_loop()
    if not isinstance(loop, Scheduler) or cython.cast(Scheduler, loop).thread_id == 0:
        return 0
    newest = cython.cast(cython.pointer(PyObject), loop)
    return cython.cast(Scheduler, loop).running


def slow_by_environment():
    """CLEARLOOP_SLOW, in nanoseconds: what holds the loop longer is reported; 0: nothing is."""
    text = os.environ.get("CLEARLOOP_SLOW", "").strip()
    try:
        seconds = float(text) if text else SLOW_SECONDS
    except ValueError:
        return 100_000_000
    return int(min(seconds, 9e9) * 1e9) if seconds > 0 else 0


def record_all(mib: object) -> None:
    """From now on, loops of this process record without a budget; `mib` (unless None) counts for CLEARLOOP_RECORD."""
    global _record_all, _record_mib
    _record_all = True
    _record_mib = mib


def records_by_environment():
    """CLEARLOOP_RECORD: how many MiB of records each loop keeps; 0: none.  Given in records."""
    if _record_mib is not None:
        return int(_record_mib * 32768)
    text = os.environ.get("CLEARLOOP_RECORD", "").strip().lower()
    if text in ("no", "off", "false"):
        return 0
    try:
        size = float(text) if text else RECORD_MIB
    except ValueError:
        size = RECORD_MIB
    if not size >= 0:  # less, or not a number
        size = RECORD_MIB
    return max(int(min(size, MOST_MIB) * 32768), 64) if size else 0


def describe(entry):
    """How debug mode names an entry: asyncio names a task's step by its task, all else by its handle."""
    return repr(entry)


def visit_queues(loop, visit, argument):
    """What the loop holds in C memory, for the garbage collector."""
    place: cython.size_t
    timer: cython.Py_ssize_t
    fd: cython.int
    stop: cython.int
    timers: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), cython.cast(Scheduler, loop).timers)
    poller: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), cython.cast(Scheduler, loop).poller)
    place = cython.cast(Scheduler, loop).ready.head
    while place != cython.cast(Scheduler, loop).ready.tail:
        stop = visit(
            cython.cast(Scheduler, loop).ready.items[place & cython.cast(Scheduler, loop).ready.mask], argument
        )
        if stop:
            return stop
        place += 1
    for timer in range(cython.cast(Scheduler, loop).dirty_size):
        if cython.cast(Scheduler, loop).dirty[timer] != cython.NULL:
            stop = visit(cython.cast(Scheduler, loop).dirty[timer], argument)
            if stop:
                return stop
    # None while the loop is being made
    if timers != cython.NULL and timers != cython.cast(cython.pointer(PyObject), None):
        for timer in range(cython.cast(Timers, timers).size):
            stop = visit(cython.cast(Timers, timers).heap[timer].entry, argument)
            if stop:
                return stop
    if poller != cython.NULL and poller != cython.cast(cython.pointer(PyObject), None):
        for fd in range(cython.cast(Poller, poller).table_size):
            if cython.cast(Poller, poller).table[fd].owner != cython.NULL:
                stop = visit(cython.cast(Poller, poller).table[fd].owner, argument)
                if stop:
                    return stop
    return 0


def clear_queues(loop):
    """The collector takes the loop apart: its cycles go through the queues."""
    cython.cast(Scheduler, loop).closed = True
    cython.cast(Scheduler, loop).drop_all()
    cython.cast(Scheduler, loop).poller.close()
    return 0


newest = cython.NULL
install_extra(Scheduler, visit_queues, clear_queues)

find_bindings()
