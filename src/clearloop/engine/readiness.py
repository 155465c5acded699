"""add_reader and add_writer: callbacks for descriptors that somebody else reads and writes.

One Descriptor holds the reader and the writer of one file descriptor, level-triggered: a callback runs in every turn
in which its descriptor is ready, until it is removed.

Programs close a socket first and remove its reader in a later turn, naming the closed object.  By then the number may
belong to somebody else, so a Descriptor remembers the object that it was asked to watch: it can be removed by that, and
makes way for the next owner of the number once that is closed.
"""

import cython
from cython.cimports.clearloop.engine.handle import Handle, keep, new_handle
from cython.cimports.clearloop.engine.runnable import Source
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.poller import FAULT, HANGUP, READABLE, WRITABLE
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import uint32_t


def descriptor_of(fileobj):
    """The descriptor number of an int or of something with fileno(); raises ValueError for anything else."""
    if isinstance(fileobj, int):
        fd = int(fileobj)
    else:
        try:
            fd = int(fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fileobj!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


@cython.cfunc
def named_otherwise(fileobj, fd: cython.int) -> cython.bint:
    """Whether `fileobj` is closed, or has another descriptor than `fd` by now."""
    if fileobj is None:
        return False
    try:
        return descriptor_of(fileobj) != fd
    except ValueError:
        return True


@cython.cclass
class Descriptor(Source):
    """The reader and the writer callback of one descriptor."""

    def run(self):
        revents: uint32_t = self.revents
        self.revents = 0
        self.queued = False
        # an error or a hang-up is for both: their next read or write finds out what it is
        if self.reader is not None and revents & (READABLE | HANGUP | FAULT):
            self.run_handle(self.reader)
        if self.writer is not None and revents & (WRITABLE | HANGUP | FAULT):
            self.run_handle(self.writer)
        return 0

    def run_handle(self, handle):
        handle.run()
        return 0

    def subject(self):
        handle: Handle = self.reader if self.reader is not None else self.writer
        return cython.NULL if handle is None else cython.cast(cython.pointer(PyObject), handle.callback)

    @property
    def _waited_for(self):
        """What a task waits for by way of this: of the guests that sock_* operations are (net/sockops.py)."""
        handle: Handle = self.reader
        if handle is None or (self.writer is not None and self.revents == WRITABLE):
            handle = self.writer
        guest = None if handle is None else getattr(handle.callback, "__self__", None)
        return guest._waited_for if isinstance(guest, Source) and hasattr(guest, "_waited_for") else None

    def update(self):
        """Tell the poller what is still wanted."""
        events: uint32_t = 0
        if self.reader is not None:
            events |= READABLE
        if self.writer is not None:
            events |= WRITABLE
        if self.loop.poller.owner_of(self.fd) is not self:
            if events:
                self.loop.poller.add(self.fd, events, self)
        elif events:
            # even when nothing changed: the number may name another file by now
            self.loop.poller.modify(self.fd, events)
        else:
            self.loop.poller.remove(self.fd)
        return 0

    def make_way(self, shared):
        """Somebody else's file has our number: if ours is closed, stop watching and return True.

        We stay in `held`: who removes the callbacks of the closed file later on has made no mistake.
        """
        if not named_otherwise(self.file, self.fd):
            return False
        self.stop()
        return True

    def stop(self):
        """Watch nothing any more."""
        if self.reader is not None:
            self.reader.cancel()
        if self.writer is not None:
            self.writer.cancel()
        self.reader = self.writer = None
        return self.update()

    def __repr__(self):
        return f"<Descriptor fd={self.fd} reader={self.reader!r} writer={self.writer!r}>"


@cython.cclass
class Readiness:
    """The watched descriptors of one loop."""

    def __init__(self, loop: Scheduler):
        self.loop = loop
        self.held = set()

    def find(self, fd, file, make):
        owner = self.loop.poller.owner_of(fd)
        if isinstance(owner, Descriptor):
            known = cython.cast(Descriptor, owner).file
            if not make or file is None or known is file or not cython.cast(Descriptor, owner).make_way(False):
                return owner
            owner = None
        if not make:
            return None
        if owner is not None and self.loop.poller.gives_way(fd, True):
            owner = self.loop.poller.owner_of(fd)
            if isinstance(owner, Descriptor):
                return owner
        if owner is not None:
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {owner!r}")
        descriptor: Descriptor = Descriptor.__new__(Descriptor)
        descriptor.loop = self.loop
        descriptor.fd = fd
        return descriptor

    def find_watched(self, fileobj):
        """The Descriptor of something that is to be removed, else None; raises ValueError when it cannot be one."""
        try:
            fd: cython.int = descriptor_of(fileobj)
        except ValueError:
            for descriptor in self.held:
                if cython.cast(Descriptor, descriptor).file is fileobj:
                    return descriptor
            raise
        return self.find(fd, None, False)

    def add_reader(self, fileobj, callback, args):
        """Watch for readability; a reader that was there before is cancelled."""
        file = None if isinstance(fileobj, int) else fileobj
        descriptor: Descriptor = self.find(descriptor_of(fileobj), file, True)
        before: Handle = descriptor.reader
        descriptor.reader = new_handle(self.loop, callback, args, None)
        keep(descriptor.reader)
        handle = descriptor.reader
        try:
            descriptor.update()
        except BaseException:
            descriptor.reader = before
            raise
        if before is not None:
            before.cancel()
        self.added(descriptor, file)
        return handle

    def add_writer(self, fileobj, callback, args):
        """Watch for writability; a writer that was there before is cancelled."""
        file = None if isinstance(fileobj, int) else fileobj
        descriptor: Descriptor = self.find(descriptor_of(fileobj), file, True)
        before: Handle = descriptor.writer
        descriptor.writer = new_handle(self.loop, callback, args, None)
        keep(descriptor.writer)
        handle = descriptor.writer
        try:
            descriptor.update()
        except BaseException:
            descriptor.writer = before
            raise
        if before is not None:
            before.cancel()
        self.added(descriptor, file)
        return handle

    def added(self, descriptor, file):
        if file is not None:
            descriptor.file = file
        self.held.add(descriptor)
        return 0

    def remove_reader(self, fileobj):
        """Stop watching for readability; return whether there was a reader."""
        descriptor: Descriptor = self.find_watched(fileobj)
        if descriptor is None:
            return False
        handle: Handle = descriptor.reader
        descriptor.reader = None
        if handle is not None:
            handle.cancel()
        self.dropped(descriptor)
        return handle is not None

    def remove_writer(self, fileobj):
        """Stop watching for writability; return whether there was a writer."""
        descriptor: Descriptor = self.find_watched(fileobj)
        if descriptor is None:
            return False
        handle: Handle = descriptor.writer
        descriptor.writer = None
        if handle is not None:
            handle.cancel()
        self.dropped(descriptor)
        return handle is not None

    def dropped(self, descriptor):
        if descriptor.reader is None and descriptor.writer is None:
            self.held.discard(descriptor)
        elif named_otherwise(descriptor.file, descriptor.fd):
            return 0  # nothing there to be watched for less
        return descriptor.update()

    def is_watched(self, fd: cython.int):
        """Whether add_reader or add_writer watches the descriptor."""
        return self.find(fd, None, False) is not None

    def close(self):
        """The loop closes: drop every callback."""
        for descriptor in list(self.held):
            cython.cast(Descriptor, descriptor).stop()
        self.held.clear()
