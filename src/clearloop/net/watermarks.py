"""Water marks: at how many unsent bytes a protocol is paused and resumed, as every transport that writes takes them."""

import sys

HIGH = 64 * 1024  # bytes; asyncio's default


def water_marks(low, high, default=HIGH):
    """(low, high) in whole bytes; what is left out follows from the other, or from the `default` for high.

    Any number will do, infinity for "never pause" included.  Raises ValueError unless high >= low >= 0.
    https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.set_write_buffer_limits
    """
    if high is None:
        high = default if low is None else 4 * low
    high = min(high, sys.maxsize)
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return int(low), int(high)
