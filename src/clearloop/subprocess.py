"""Children with streams: create_subprocess_exec, create_subprocess_shell and Process, as asyncio documents them.

On clearloop's loop what a child writes goes straight from the pipe to its reader, and communicate() lets the kernel
write into the result itself.  On any other loop all of it works by asyncio's own means.
"""

import asyncio
from asyncio import subprocess as asyncio_subprocess
from subprocess import DEVNULL, PIPE, STDOUT

from clearloop.net.stream_core import DEFAULT_LIMIT
from clearloop.streams import StreamReader, StreamWriter
from clearloop.through import fallback

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Process", "create_subprocess_exec", "create_subprocess_shell"]


__getattr__ = fallback(__name__)


async def create_subprocess_exec(
    program, *args, stdin=None, stdout=None, stderr=None, limit=DEFAULT_LIMIT, **kwds
):
    """Start `program` with `args` and return its Process.

    `limit` (bytes) is that of the StreamReaders of stdout and stderr; `kwds` are subprocess.Popen's parameters.
    Raises what Popen raises, and ValueError for what asks for text.
    https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.create_subprocess_exec
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit, loop), program, *args, stdin=stdin, stdout=stdout, stderr=stderr, **kwds
    )
    return Process(transport, protocol, loop)


async def create_subprocess_shell(cmd, stdin=None, stdout=None, stderr=None, limit=DEFAULT_LIMIT, **kwds):
    """Start the shell command `cmd` and return its Process; as create_subprocess_exec() otherwise.

    https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.create_subprocess_shell
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_shell(
        lambda: SubprocessStreamProtocol(limit, loop), cmd, stdin=stdin, stdout=stdout, stderr=stderr, **kwds
    )
    return Process(transport, protocol, loop)


class SubprocessStreamProtocol(asyncio_subprocess.SubprocessStreamProtocol):
    """asyncio's, with clearloop's streams."""

    def connection_made(self, transport):
        """The child runs: its pipes become streams."""
        self._transport = transport
        self.stdout = self._reader(transport, 1)
        self.stderr = self._reader(transport, 2)
        stdin = transport.get_pipe_transport(0)
        if stdin is not None:
            self.stdin = StreamWriter(stdin, self, None, self._loop)

    def _reader(self, transport, number):
        pipe = transport.get_pipe_transport(number)
        if pipe is None:
            return None
        reader = StreamReader(self._limit, self._loop)
        reader.set_transport(pipe)
        self._pipe_fds.append(number)
        feed = getattr(transport, "_feed", None)
        if feed is not None:
            feed(number, reader)
        return reader


class Process(asyncio_subprocess.Process):
    """A child process: https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.subprocess.Process"""

    async def communicate(self, input=None):
        """Send `input` to stdin and close it, read stdout and stderr to their end, and wait for the end of the child.

        Returns (stdout, stderr), each None unless it is a pipe.  A child that reads no more is no error.  Cancelled, it
        leaves what it has read so far to the streams.
        """
        outputs = []
        for number, stream in ((1, self.stdout), (2, self.stderr)):
            if stream is not None:
                output = _Output.over(self._transport.get_pipe_transport(number), stream)
                if output is None:
                    for other in outputs:
                        other.give_back()
                    return await super().communicate(input)
                outputs.append(output)
        try:
            if self.stdin is not None:
                if input is None:
                    self.stdin.close()  # as from Python 3.12 on
                else:
                    await self._feed_stdin(input)
            # both are read meanwhile, whichever is waited for first
            for output in outputs:
                await output.end()
        except BaseException:
            for output in outputs:
                output.give_back()
            raise
        await self.wait()
        data = [output.finish() for output in outputs]
        return (
            data.pop(0) if self.stdout is not None else None,
            data.pop(0) if self.stderr is not None else None,
        )


class _Output:
    """All that one of the child's pipes brings, past the stream that waits for its end."""

    def __init__(self, pipe, stream):
        self._pipe = pipe
        self._stream = stream
        before = stream._take_all()
        self._collector = pipe._collect()
        if before:
            self._collector.add(before)

    @classmethod
    def over(cls, pipe, stream):
        """None when the stream has to be read as asyncio does: it has ended, is in use, or not ours."""
        if not hasattr(pipe, "_collect") or type(stream) is not StreamReader:
            return None
        if pipe.is_closing() or stream._waiter is not None or stream.exception() is not None:
            return None
        return cls(pipe, stream)

    async def end(self):
        await self._stream.read()
        self._pipe.close()

    def finish(self):
        return self._collector.finish()

    def give_back(self):
        self._pipe._deliver()
        self._stream._put_back(self._collector.finish())
