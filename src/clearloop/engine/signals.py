"""Signals: Python's C handler writes the signal's number to a socket pair that the loop reads.

While a loop runs in the main thread the wakeup descriptor is ours, unless the program has set one; so a signal that
arrives just before the loop goes to sleep still wakes it, Ctrl-C included.
"""

import asyncio
import contextlib
import inspect
import os
import signal
import socket
import sys
import threading


class Signals:
    """The signal handlers of one loop, which comes with each call: so a closed loop needs no collector to be freed."""

    def __init__(self):
        self._handlers = {}
        self._pair = None
        self._previous_fd = None

    def add(self, loop, number, callback, args):
        """See EventLoop.add_signal_handler."""
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check(number)
        loop._check_closed()
        self._open(loop)
        if self._previous_fd is None:
            try:
                # also tells whether this is the main thread of the main interpreter
                self._previous_fd = signal.set_wakeup_fd(self._pair[1].fileno(), warn_on_full_buffer=False)
            except (ValueError, OSError) as error:
                raise RuntimeError(str(error)) from None
        handle = asyncio.Handle(callback, args, loop, None)
        self._handlers[number] = handle
        try:
            # the work is done by the wakeup descriptor; this only turns the default action off
            signal.signal(number, _nothing)
            signal.siginterrupt(number, False)
        except OSError as error:
            del self._handlers[number]
            if not self._handlers:
                self._release()
            if error.errno == 22:
                raise RuntimeError(f"sig {number} cannot be caught") from None
            raise

    def remove(self, loop, number):
        """See EventLoop.remove_signal_handler."""
        self._check(number)
        if self._handlers.pop(number, None) is None:
            return False
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        try:
            signal.signal(number, default)
        except OSError as error:
            if error.errno == 22:
                raise RuntimeError(f"sig {number} cannot be caught") from None
            raise
        if not self._handlers and not loop.is_running():
            self._release()
        return True

    def enter(self, loop):
        """The loop begins to run: in the main thread, let signals wake it."""
        if self._previous_fd is not None or threading.current_thread() is not threading.main_thread():
            return
        try:
            previous = signal.set_wakeup_fd(-1)
            if previous != -1:  # somebody else's: leave it to them
                signal.set_wakeup_fd(previous)
                return
            self._open(loop)
            signal.set_wakeup_fd(self._pair[1].fileno(), warn_on_full_buffer=False)
            self._previous_fd = -1
        except (ValueError, OSError):
            return  # a sub-interpreter, or no descriptors left: signals still work, by EINTR

    def leave(self):
        """The loop has stopped."""
        if not self._handlers:
            self._release()

    def close(self, loop):
        """Give every signal its default action back, and the descriptors to the system."""
        for number in list(self._handlers):
            self.remove(loop, number)
        self._release()
        if self._pair is not None:
            with contextlib.suppress(Exception):
                loop._remove_reader(self._pair[0].fileno())
            for end in self._pair:
                end.close()
            self._pair = None

    def _open(self, loop):
        if self._pair is not None:
            return
        pair = socket.socketpair()
        for end in pair:
            end.setblocking(False)
        self._pair = pair
        loop._add_reader(pair[0].fileno(), self._read, loop)

    def _release(self):
        if self._previous_fd is None:
            return
        with contextlib.suppress(ValueError, OSError):
            signal.set_wakeup_fd(self._previous_fd)
        self._previous_fd = None

    def _read(self, loop):
        try:
            numbers = self._pair[0].recv(4096)
        except (BlockingIOError, InterruptedError):
            return
        for number in numbers:
            handle = self._handlers.get(number)
            if handle is None:
                continue
            if handle._cancelled:
                self.remove(loop, number)
            else:
                loop._handle_signal(handle)

    @staticmethod
    def _check(number):
        if not isinstance(number, int):
            raise TypeError(f"sig must be an int, not {number!r}")
        if number not in signal.valid_signals():
            raise ValueError(f"invalid signal number {number}")


def _nothing(number, frame):
    pass


def _forked():
    # The child has the parent's socket pair: its signals would reach the parent's loop.  asyncio does so from 3.12 on.
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)


if sys.version_info < (3, 12):
    os.register_at_fork(after_in_child=_forked)
