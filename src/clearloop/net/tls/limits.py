"""How much one peer may make a connection do.

Bytes are no measure of work in TLS: a record of one byte costs as much as one of a thousand, and a key update, of 27
bytes, several times that and an answer.  So there are bounds beside those on bytes:

- A step decrypts so many records; what came behind them waits until the other connections have had their turn.
- Records in a row that carry no data (key updates, tickets) end the connection when they are too many: OpenSSL bounds
  only empty records and warnings, BoringSSL ends a connection at 32 key updates, Go at 16 messages without data.  This
  bound leaves room for a server that hands out tickets by the dozen.
- Whoever asks for new keys again and again, with data in between, and does not read the answers, is cut off: nothing
  else could make what is not sent grow while the program is silent.
"""

import ssl

import cython
from cython.cimports.clearloop.net.tls.limits import MOST_IDLE

_SSLError = cython.declare(object, ssl.SSLError)
_PROTOCOL_ERROR = cython.declare(object, ssl.SSL_ERROR_SSL)


def flood_of_records():
    return failure("TOO_MANY_KEY_UPDATES", f"more than {MOST_IDLE} records in a row without data")


def flood_of_answers():
    return failure("TOO_MANY_KEY_UPDATES", "key updates are asked for, and the answers are not read")


@cython.cfunc
def failure(reason: str, text: str):
    error = _SSLError(_PROTOCOL_ERROR, f"[SSL: {reason}] {text}")
    error.library = "SSL"
    error.reason = reason
    return error
