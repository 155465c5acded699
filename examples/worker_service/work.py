"""The library that blocks.  It has never heard of asyncio, and nobody will rewrite it."""

import hashlib
import time


def render(job):
    """Turn a job into a result: some waiting, some computing, and no way to interrupt either."""
    time.sleep(job.get("seconds", 0.01))
    digest = job["text"].encode()
    for _ in range(job.get("rounds", 10)):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()
