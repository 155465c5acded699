"""Those who ask: what each has sent, what is still to be sent to it, and how long it may take.

All of it belongs to the one thread of watch/live.py.  Nobody is waited for: a visitor that sends nothing, sends garbage
or does not read is dismissed when its time is over, and when there are too many the one that has been silent longest
makes room.  So no visitor keeps another from being answered.

    in      a line of at most 4 KiB, 2 seconds from its first byte (or from the connection) to its end
    out     one answer at a time: a second request before its end is the end; so are 5 seconds without a byte taken, or
            60 in all
    idle    30 seconds between two requests
"""

import json
import select
import time

from clearloop.watch import answers, live
from clearloop.watch.peers import may_ask

MOST = 8
LONGEST_REQUEST = 4096
FIRST_SECONDS = 2.0
IDLE_SECONDS = 30.0
STUCK_SECONDS = 5.0
ANSWER_SECONDS = 60.0
_PIECE = 262144


class Visitor:
    def __init__(self, sock, now):
        self.sock = sock
        self.until = now + FIRST_SECONDS
        self.end = 0.0  # an answer is not taken any longer than until then
        self.spoken = now  # when it did something last
        self.served = False
        self.inbox = bytearray()
        self.outbox = memoryview(b"")
        self.more = None  # what gives the rest of the answer, piece by piece
        self.state = answers.State()

    def answering(self):
        return bool(self.outbox) or self.more is not None


class Visitors:
    def __init__(self, poll):
        self._poll = poll
        self._all = {}

    def __len__(self):
        return len(self._all)

    def patience(self):
        """Milliseconds until the next one's time is over; None: nobody is there."""
        if not self._all:
            return None
        left = min(visitor.until for visitor in self._all.values()) - time.monotonic()
        return max(0, int(left * 1000) + 1)

    def welcome(self, sock):
        sock.setblocking(False)
        if not may_ask(sock):
            sock.close()
            return
        if len(self._all) >= MOST:
            self.make_room()
        fd = sock.fileno()
        self._all[fd] = Visitor(sock, time.monotonic())
        self._poll.register(fd, select.POLLIN)
        self.ready(fd, select.POLLIN)  # it has mostly asked already

    def make_room(self):
        """Dismiss the one that has been silent longest; those that have never asked anything go first."""
        if self._all:
            self.dismiss(min(self._all, key=lambda fd: (self._all[fd].served, self._all[fd].spoken)))

    def dismiss_the_slow(self):
        now = time.monotonic()
        for fd in [fd for fd, visitor in self._all.items() if visitor.until <= now]:
            self.dismiss(fd)

    def dismiss_all(self):
        for fd in list(self._all):
            self.dismiss(fd)

    def dismiss(self, fd):
        visitor = self._all.pop(fd, None)
        if visitor is None:
            return
        try:
            self._poll.unregister(fd)
        except (KeyError, OSError):
            pass
        try:
            if visitor.more is not None:
                visitor.more.close()
            visitor.state.end()
        finally:
            visitor.sock.close()

    def ready(self, fd, what):
        visitor = self._all.get(fd)
        if visitor is None:
            return
        try:
            if what & select.POLLNVAL:
                raise ConnectionError
            if visitor.answering():
                if not what & select.POLLOUT:  # gone
                    raise ConnectionError
                self._send(fd, visitor)
            else:
                self._receive(fd, visitor)
        except BlockingIOError:
            return
        except OSError:
            self.dismiss(fd)
        except Exception as error:  # of ours: it costs this visitor its answer, and nobody else theirs
            self.dismiss(fd)
            live.say_failure(error)

    def _receive(self, fd, visitor):
        data = visitor.sock.recv(LONGEST_REQUEST)
        if not data:
            raise ConnectionError
        now = visitor.spoken = time.monotonic()
        if not visitor.inbox:
            visitor.until = min(visitor.until, now + FIRST_SECONDS) if not visitor.served else now + FIRST_SECONDS
        visitor.inbox += data
        self._read_inbox(fd, visitor)

    def _read_inbox(self, fd, visitor):
        end = visitor.inbox.find(b"\n", 0, LONGEST_REQUEST)
        if end < 0:
            if len(visitor.inbox) >= LONGEST_REQUEST:
                raise ConnectionError
            return
        request = _parse(bytes(visitor.inbox[:end]))
        if request is None or len(visitor.inbox) > end + 1:
            raise ConnectionError
        visitor.inbox.clear()
        visitor.served = True
        visitor.more = answers.answer(request, visitor.state)
        visitor.until = visitor.spoken + STUCK_SECONDS
        visitor.end = visitor.spoken + ANSWER_SECONDS
        self._send(fd, visitor)

    def _send(self, fd, visitor):
        """Send what can be sent now."""
        while True:
            if not visitor.outbox:
                piece = next(visitor.more, None)
                if piece is None:
                    break
                visitor.outbox = memoryview(piece)
                continue
            try:
                sent = visitor.sock.send(visitor.outbox[:_PIECE])
            except BlockingIOError:
                self._poll.modify(fd, select.POLLOUT)
                return
            visitor.outbox = visitor.outbox[sent:]
            visitor.until = min(time.monotonic() + STUCK_SECONDS, visitor.end)
        visitor.more = None
        visitor.spoken = time.monotonic()
        visitor.until = visitor.spoken + IDLE_SECONDS
        self._poll.modify(fd, select.POLLIN)


def _parse(line):
    """The request, or None when it is none."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) and isinstance(request.get("ask"), str) else None
