"""A StreamReader gives what asyncio's gives: the same bytes, the same errors, the same bytes left over.

A program feeds a reader by hand, in pieces of any size, and reads from it in tasks, with cancellations in between; it
runs once with asyncio's reader on asyncio's loop and once with ours on ours.  After each step that lets the tasks run,
both must tell the same of every read, of what is left, and of whether the transport is paused.
"""

import asyncio
import sys

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clearloop

PROFILE = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMIT = 6
SEPARATORS = (b"\n", b"ab", b"aab", b"abab", b"a\na\n", b"")


class Transport:
    """Only what a reader asks of one; complains about a pause or resume out of order."""

    def __init__(self):
        self.paused = False

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        assert self.paused
        self.paused = False


def described(outcome):
    if isinstance(outcome, asyncio.IncompleteReadError):
        return ("IncompleteReadError", outcome.partial, outcome.expected)
    if isinstance(outcome, asyncio.LimitOverrunError):
        return ("LimitOverrunError", outcome.args[0], outcome.consumed)
    if isinstance(outcome, RuntimeError):
        return ("RuntimeError", "already waiting" in str(outcome))
    if isinstance(outcome, BaseException):
        return (type(outcome).__name__, outcome.args)
    assert type(outcome) is bytes
    return outcome


async def play(reader, steps):
    """Do the steps, and tell what can be seen after each one in which the tasks ran."""
    transport = Transport()
    reader.set_transport(transport)
    reads = []  # (task, whether it reads to the end)
    story = []
    keeps_blocks = False  # asyncio's read to the end drops what it has when it is interrupted
    may_be_paused = False  # asyncio pauses for a read that has not enough, and resumes when it waits again

    async def settle():
        for _ in range(6):
            await asyncio.sleep(0)
        pending = [to_end for task, to_end in reads if not task.done()]
        # asyncio's read to the end takes its blocks as they come, ours leaves them where they are
        left = None if keeps_blocks or any(pending) else bytes(reader._buffer)
        told = ["pending" if not task.done() else described(outcome(task)) for task, _ in reads]
        ended = reader.at_eof() if left is not None else None
        paused = keeps_blocks or may_be_paused or reader._eof or transport.paused
        story.append((told, left, ended, paused))

    for step, argument in steps:
        if step == "feed":
            if not reader._eof:
                reader.feed_data(argument)
        elif step == "eof":
            reader.feed_eof()
        elif step == "error":
            await settle()
            keeps_blocks |= any(to_end and not task.done() for task, to_end in reads)
            reader.set_exception(ZeroDivisionError("told"))
        elif step == "cancel":
            for task, to_end in reads:
                if not task.done() and not to_end:
                    may_be_paused |= len(reader._buffer) > 2 * reader._limit
                    task.cancel()
        elif step == "settle":
            await settle()
        else:
            to_end = step == "read" and argument < 0
            await settle()
            pending = [to_end for task, to_end in reads if not task.done()]
            if pending and not any(pending) and reader._buffer:
                continue  # what this one takes from under the other, asyncio loses or searches for in vain
            read = reader.__anext__() if step == "next" else getattr(reader, step)(*argument_of(argument))
            reads.append((asyncio.ensure_future(read), to_end))
            # begun before data comes: a second read, begun behind a wake-up, makes asyncio forget who waits
            await settle()
    await settle()
    for task, _ in reads:
        task.cancel()
    await asyncio.gather(*[task for task, _ in reads], return_exceptions=True)
    return story


def argument_of(argument):
    return () if argument is None else (argument,)


def outcome(task):
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()


pieces = st.one_of(
    st.text("ab\n", max_size=5).map(str.encode),
    st.text("ab\n", min_size=6, max_size=40).map(str.encode),
    st.integers(0, 30).map(lambda count: b"a" * count),
)
separators = st.sampled_from(SEPARATORS)
if sys.version_info >= (3, 13):
    separators |= st.lists(separators, max_size=3).map(tuple)
steps = st.one_of(
    pieces.map(lambda data: ("feed", data)),
    pieces.map(lambda data: ("feed", bytearray(data))),
    pieces.map(lambda data: ("feed", data)),
    st.integers(-1, 12).map(lambda count: ("read", count)),
    st.integers(-1, 40).map(lambda count: ("readexactly", count)),
    st.just(("readline", None)),
    st.just(("next", None)),
    separators.map(lambda separator: ("readuntil", separator)),
    st.just(("settle", None)),
    st.just(("cancel", None)),
    st.just(("eof", None)),
    st.just(("error", None)),
)


@PROFILE
@given(st.lists(steps, max_size=25), st.sampled_from([LIMIT, 1, 20]))
def test_a_reader_gives_what_asyncio_gives(program, limit):
    def tell(api, factory):
        async def main():
            return await asyncio.wait_for(play(api.StreamReader(limit=limit), program), 20)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())

    theirs = tell(asyncio, asyncio.SelectorEventLoop)
    assert tell(clearloop, clearloop.new_event_loop) == theirs
    assert tell(clearloop, asyncio.SelectorEventLoop) == theirs
