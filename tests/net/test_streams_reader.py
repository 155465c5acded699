"""StreamReader fed by hand: what reads give, what they leave, who is woken, and what pauses the transport."""

import asyncio

import pytest
from stream_tools import run

import clearloop
from clearloop.streams import StreamReader, StreamReaderProtocol


class Transport:
    """Records what a reader asks of it."""

    def __init__(self, pausable=True):
        self.calls = []
        self.pausable = pausable

    def pause_reading(self):
        if not self.pausable:
            raise NotImplementedError
        self.calls.append("pause")

    def resume_reading(self):
        self.calls.append("resume")


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def reading(coroutine):
    return asyncio.get_running_loop().create_task(coroutine)


def both_loops(main):
    """The test on clearloop's loop, and on asyncio's: readers work on both."""

    @pytest.mark.parametrize("factory", [clearloop.new_event_loop, asyncio.SelectorEventLoop], ids=["own", "asyncio"])
    def test(factory):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(main(), 20))

    test.__doc__ = main.__doc__
    return test


@both_loops
async def test_the_very_bytes_that_came_are_handed_over():
    reader = StreamReader()
    data = b"x" * 1024
    task = reading(reader.read(65536))
    await turns()
    reader.feed_data(data)
    assert await task is data
    reader.feed_data(data)
    assert await reader.readexactly(1024) is data
    reader.feed_data(data)
    assert await reader.read(-1 if reader.at_eof() else 2000) is data


@both_loops
async def test_what_spans_chunks_is_joined():
    reader = StreamReader()
    for piece in (b"ab", b"cd", b"", b"ef\ngh", b"\n", b"i"):
        reader.feed_data(piece)
    assert await reader.readexactly(3) == b"abc"
    assert await reader.readline() == b"def\n"
    assert await reader.readuntil(b"h\ni") == b"gh\ni"
    assert reader._buffer == b""


@both_loops
async def test_a_separator_is_found_wherever_it_was_cut():
    separator = b"<-end->"
    for first in range(len(separator)):
        for second in range(first, len(separator)):
            reader = StreamReader()
            task = reading(reader.readuntil(separator))
            for piece in (b"data<-en", separator[:first], separator[first:second], separator[second:] + b"rest"):
                reader.feed_data(piece)
                await turns(1)
            expected = b"data<-en" + separator
            assert await task == expected
            assert reader._buffer == b"rest"


@both_loops
async def test_a_byte_at_a_time():
    reader = StreamReader(limit=10000)
    line = bytes(range(11, 256)) * 30 + b"\r\n"
    task = reading(reader.readuntil(b"\r\n"))
    await turns()
    for number in range(len(line)):
        reader.feed_data(line[number : number + 1])
    assert await task == line


@both_loops
async def test_of_several_separators_the_one_that_ends_first_counts():
    reader = StreamReader()
    reader.feed_data(b"onetwothree")
    assert await reader.readuntil((b"three", b"two", b"netw")) == b"onetw"
    assert await reader.readuntil((b"e", b"hree")) == b"othre"
    with pytest.raises(ValueError):
        await reader.readuntil(())
    with pytest.raises(ValueError):
        await reader.readuntil((b"x", b""))
    with pytest.raises(TypeError):
        await reader.readuntil("x")


@both_loops
async def test_readexactly_is_woken_once_and_only_when_it_has_enough():
    reader = StreamReader()
    task = reading(reader.readexactly(6))
    await turns()
    waiter = reader._waiter
    reader.feed_data(b"abc")
    await turns()
    assert reader._waiter is waiter and not waiter.done()
    reader.feed_data(b"defg")
    assert reader._waiter is None and waiter.done()
    assert await task == b"abcdef"
    assert reader._buffer == b"g"


@both_loops
async def test_a_cancelled_read_leaves_the_data_also_when_it_was_woken_already():
    for method, arguments in (("read", (5,)), ("readexactly", (3,)), ("readline", ()), ("readuntil", (b"\n",))):
        reader = StreamReader()
        task = reading(getattr(reader, method)(*arguments))
        await turns()
        reader.feed_data(b"ab\n")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await reader.read(10) == b"ab\n"


@both_loops
async def test_a_cancelled_read_to_the_end_leaves_the_data():
    reader = StreamReader()
    task = reading(reader.read())
    await turns()
    reader.feed_data(b"ab")
    await turns()
    task.cancel()
    await asyncio.wait([task])
    reader.feed_data(b"cd")
    reader.feed_eof()
    assert await reader.read() == b"abcd"


@both_loops
async def test_a_timed_out_read_can_be_repeated():
    reader = StreamReader()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await reader.readexactly(2)
    reader.feed_data(b"ok")
    assert await reader.readexactly(2) == b"ok"


@both_loops
async def test_a_second_reader_is_refused_and_the_first_is_not_disturbed():
    reader = StreamReader()
    first = reading(reader.readline())
    await turns()
    for method, arguments in (("read", (1,)), ("read", ()), ("readexactly", (1,)), ("readline", ()), ("readuntil", ())):
        with pytest.raises(RuntimeError, match=rf"{method}\(\) called while another coroutine is already waiting"):
            await getattr(reader, method)(*arguments)
    reader.feed_data(b"line\n")
    assert await first == b"line\n"


@both_loops
async def test_a_second_reader_does_not_take_from_a_read_to_the_end():
    reader = StreamReader()
    first = reading(reader.read())
    await turns()
    reader.feed_data(b"abc\n")
    for second in (reader.read(1), reader.readexactly(1), reader.readline()):
        with pytest.raises(RuntimeError):
            await second
    reader.feed_eof()
    assert await first == b"abc\n"


@both_loops
async def test_one_who_was_woken_waits_again_when_another_took_the_data():
    reader = StreamReader()
    first = reading(reader.read(10))
    await turns()
    reader.feed_data(b"ab")
    assert await reader.read(10) == b"ab"  # without a turn in between
    await turns()
    assert not first.done()
    reader.feed_data(b"cd")
    assert await first == b"cd"


@both_loops
async def test_a_waiter_that_is_still_in_use_is_not_used_twice():
    reader = StreamReader()
    first = reading(reader.read(10))
    await turns()
    reader.feed_data(b"ab")
    assert await reader.read(10) == b"ab"
    second = reading(reader.read(10))
    await turns()  # the first has found nothing and wants to wait again: one of the two is refused, none is lost
    reader.feed_data(b"cd")
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert b"cd" in results
    assert sum(isinstance(result, RuntimeError) for result in results) == 1


@both_loops
async def test_the_end_of_the_stream():
    reader = StreamReader()
    tasks_of = StreamReader()
    waiting = reading(tasks_of.readexactly(5))
    await turns()
    tasks_of.feed_data(b"ab")
    tasks_of.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await waiting
    assert (caught.value.partial, caught.value.expected) == (b"ab", 5)
    assert tasks_of.at_eof()

    reader.feed_data(b"last")
    reader.feed_eof()
    assert not reader.at_eof()
    with pytest.raises(AssertionError):
        reader.feed_data(b"more")
    assert await reader.readline() == b"last"
    assert reader.at_eof()
    assert await reader.read(5) == await reader.read() == await reader.readline() == b""
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readuntil(b"\n")


@both_loops
async def test_lines_by_async_for():
    reader = StreamReader()
    reader.feed_data(b"one\ntwo\n\nlast")
    reader.feed_eof()
    assert [line async for line in reader] == [b"one\n", b"two\n", b"\n", b"last"]


@both_loops
async def test_limits():
    reader = StreamReader(limit=4)
    reader.feed_data(b"abcdefg")
    with pytest.raises(asyncio.LimitOverrunError) as caught:
        await reader.readuntil(b"\n")
    assert caught.value.consumed == 7
    assert reader._buffer == b"abcdefg"
    reader.feed_data(b"\nnext\n")
    with pytest.raises(asyncio.LimitOverrunError) as caught:
        await reader.readuntil(b"\n")
    assert caught.value.consumed == 7
    with pytest.raises(ValueError):
        await reader.readline()
    assert await reader.readline() == b"next\n"
    with pytest.raises(ValueError):
        StreamReader(limit=0)
    reader._limit = 100  # as programs do to subprocess pipes
    reader.feed_data(b"x" * 90 + b"\n")
    assert len(await reader.readline()) == 91


@both_loops
async def test_an_error_wakes_who_waits_and_stays():
    reader = StreamReader()
    task = reading(reader.readline())
    await turns()
    error = OSError("told")
    reader.set_exception(error)
    with pytest.raises(OSError) as caught:
        await task
    assert caught.value is error is reader.exception()
    reader.feed_data(b"late\n")
    with pytest.raises(OSError):
        await reader.readline()


@both_loops
async def test_what_came_before_the_error_is_given_to_who_was_woken_for_it():
    reader = StreamReader()
    task = reading(reader.readline())
    await turns()
    reader.feed_data(b"line\n")
    reader.set_exception(OSError("behind it"))
    assert await task == b"line\n"
    with pytest.raises(OSError):
        await reader.readline()


@both_loops
async def test_bytes_like_objects_and_big_numbers():
    reader = StreamReader()
    buffer = bytearray(b"ab")
    reader.feed_data(buffer)
    buffer[:] = b"xy"
    reader.feed_data(memoryview(b"cd"))
    reader.feed_data([101, 102])
    with pytest.raises(TypeError):
        reader.feed_data("text")
    assert await reader.read(2**70) == b"abcdef"
    reader.feed_eof()
    assert await reader.read(-(2**70)) == b""
    assert await reader.read(0) == b""
    assert await reader.readexactly(0) == b""
    with pytest.raises(ValueError):
        await reader.readexactly(-1)
    with pytest.raises(TypeError):
        await reader.read("5")


@both_loops
async def test_back_pressure():
    reader = StreamReader(limit=4)
    transport = Transport()
    reader.set_transport(transport)
    with pytest.raises(AssertionError):
        reader.set_transport(transport)
    reader.feed_data(b"x" * 8)
    assert transport.calls == []
    reader.feed_data(b"x")
    reader.feed_data(b"x")
    assert transport.calls == ["pause"]
    await reader.readexactly(5)
    assert transport.calls == ["pause"]
    await reader.readexactly(1)
    assert transport.calls == ["pause", "resume"]


@both_loops
async def test_a_paused_reader_resumes_for_a_read_that_wants_more():
    reader = StreamReader(limit=4)
    transport = Transport()
    reader.set_transport(transport)
    reader.feed_data(b"x" * 9)
    task = reading(reader.readexactly(30))
    await turns()
    assert transport.calls == ["pause", "resume"]
    reader.feed_data(b"x" * 20)
    await turns()
    assert not task.done()
    reader.feed_data(b"x")
    assert await task == b"x" * 30


@both_loops
async def test_a_transport_that_cannot_be_paused_is_not_asked_again():
    reader = StreamReader(limit=1)
    reader.set_transport(Transport(pausable=False))
    reader.feed_data(b"xxx")
    reader.feed_data(b"xxx")
    assert await reader.read(10) == b"xxxxxx"


@both_loops
async def test_isinstance_and_protocols_of_asyncio():
    reader = StreamReader()
    assert isinstance(reader, asyncio.StreamReader)
    protocol = asyncio.StreamReaderProtocol(reader)  # asyncio's own, which feeds ours
    transport = asyncio.Transport()
    protocol.connection_made(transport)
    protocol.data_received(b"data")
    protocol.eof_received()
    assert await reader.read() == b"data"
    assert isinstance(StreamReaderProtocol(reader), (asyncio.StreamReaderProtocol, asyncio.Protocol))


@both_loops
async def test_subclasses_see_what_is_fed_to_them():
    class Counting(StreamReader):
        seen = 0

        def feed_data(self, data):
            self.seen += len(data)
            super().feed_data(data)

    reader = Counting()
    protocol = StreamReaderProtocol(reader)
    protocol.connection_made(asyncio.Transport())
    protocol.data_received(b"abc")
    assert await reader.read(9) == b"abc" and reader.seen == 3


def test_reads_outlive_a_loop_that_closes_under_them():
    async def leave():
        reader = StreamReader()
        task = reading(reader.readline())
        await turns()
        return reader, task

    loop = clearloop.new_event_loop()
    reader, task = loop.run_until_complete(leave())
    loop.call_exception_handler = lambda context: None
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        reader.feed_data(b"line\n")
    del task


def test_every_reader_waits_in_one_future():
    async def main():
        reader = StreamReader()
        seen = set()
        for _ in range(3):
            task = reading(reader.read(1))
            await turns()
            seen.add(id(reader._waiter))
            reader.feed_data(b"x")
            await task
        assert len(seen) == 1

    run(main())
