"""expect_block: a block that is meant, and that nobody wants to hear of."""

from asyncio import events

from clearloop.engine import expected

__all__ = ["expect_block"]


class expect_block:
    """`with expect_block("loads the model once"):` holds the loop on purpose: no stall is reported for it.

    `reason` is for those who read the code.  It covers the step that it is entered in: what else the same step does
    before and after counts by itself, and so do other tasks, should the block await after all.  Outside a clearloop
    loop it does nothing.  It may be nested, and used again.
    """

    def __init__(self, reason):
        if not isinstance(reason, str) or not reason:
            raise TypeError("expect_block() wants the reason for the block, as a string")
        self.reason = reason
        self._before = []

    def __enter__(self):
        loop = events._get_running_loop()
        self._before.append((loop, expected.begin(loop)))
        return self

    def __exit__(self, *raised):
        expected.end(*self._before.pop())
