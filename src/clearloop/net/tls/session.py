"""One TLS connection's state machine over memory: what the transport needs of it, whoever does the cryptography.

A session knows no socket, loop or protocol.  Ciphertext is fed and taken by pointer and length, plaintext is read into
and written from the caller's memory, so no Python object is made per record.  `object_session` goes through the
public ssl.SSLObject; a session of another kind may go to OpenSSL directly.  Both hold to this:

- `feed` lends the caller's memory: it must stay as it is until `keep` is called, which copies what was not consumed.
  Between the two the session may read straight from it.  `feed` while bytes of an earlier one are left queues behind
  them.  Whoever has called `feed` calls `keep` before it lets anybody else use the memory, also after an exception.
- `allow` bounds the work: WANT_READ with `lent_left` says that so many records were read and more wait.  A session on
  which it is never called knows no bound.
- `read`, `write` and `handshake` do as much as they can at once.  `read` gives up to `size` bytes and need not fill
  the buffer; the caller goes on until WANT_READ.  `write` may take less than all; what it has taken lies encrypted in
  `outgoing`.  A `write` that gave WANT_READ is repeated with the same bytes (more may follow behind them).
- `outgoing` gives the next piece of ciphertext to send; call it, and `sent`, until it gives 0.  The pointer holds until
  the next call of any method.  WANT_WRITE is for sessions that bound what waits there: take it, then call again.
- `shutdown` encrypts our close_notify, at its first call, and says DONE when the peer's has come already, else
  WANT_READ.  What the peer has sent before its own is still read by `read`, until CLOSED; the caller may throw it away.
- Errors are raised as Python's ssl module raises them: ssl.SSLError with `reason` and `library`,
  ssl.SSLCertVerificationError with `verify_code` and `verify_message`; also what a callback of the user's context (SNI
  and its kin) has left.  After an exception only `outgoing` (it holds the alert for the peer), `sent`, `keep` and
  `end` are called.
- Callbacks of the user's context may run inside `handshake`, `read` and `write`, and may let other threads run.  The
  transport never enters a session a second time from inside such a callback.
- Idle, a session holds no buffers of its own: what `outgoing` used is freed (or given back to a pool) when all is
  sent, what `keep` has copied when it is consumed.
"""

import cython


@cython.cclass
class Session:
    """The interface; see above.  Each kind overrides all of it."""

    def feed(self, data, size):
        raise NotImplementedError("a session without cryptography")

    def allow(self, records):
        raise NotImplementedError("a session without cryptography")

    def lent_left(self):
        return 0

    def keep(self):
        raise NotImplementedError("a session without cryptography")

    def unread(self):
        raise NotImplementedError("a session without cryptography")

    def handshake(self):
        raise NotImplementedError("a session without cryptography")

    def read(self, buffer, size):
        raise NotImplementedError("a session without cryptography")

    def write(self, data, size):
        raise NotImplementedError("a session without cryptography")

    def shutdown(self):
        raise NotImplementedError("a session without cryptography")

    def outgoing(self, data):
        raise NotImplementedError("a session without cryptography")

    def sent(self, count):
        raise NotImplementedError("a session without cryptography")

    def end(self):
        raise NotImplementedError("a session without cryptography")
