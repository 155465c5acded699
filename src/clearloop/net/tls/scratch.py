"""The two buffers that all TLS connections of one loop share: ciphertext as it came from the kernel, and what it
decrypts to.

So an idle connection has none of its own, and what is hot stays in the cache.  Whoever uses them marks them busy: a
callback of the user's (SNI, or one that turns the loop by hand) may read another connection meanwhile, which then
gets a pair of its own for that once.
"""

import cython
from cython.cimports.libc.stdlib import free, malloc


@cython.final
@cython.cclass
class Scratch:
    """ROOM bytes of each."""

    def __cinit__(self):
        self.cipher = cython.cast(cython.p_char, malloc(ROOM))
        self.plain = cython.cast(cython.p_char, malloc(ROOM))
        if self.cipher == cython.NULL or self.plain == cython.NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.cipher)
        free(self.plain)


def scratch_of(loop):
    """The loop's own pair."""
    found = getattr(loop, "_tls_scratch", None)
    if found is None:
        found = loop._tls_scratch = Scratch()
    return found
