"""What runs off the loop does so on any loop: `run` is clearloop's and asyncio's in turn, and fails on stray errors."""

import asyncio
import gc

import pytest

import clearloop

LOOPS = {"on clearloop": clearloop.new_event_loop, "on asyncio": asyncio.SelectorEventLoop}


class Program:
    """Runs a coroutine to its end; what reached the loop's exception handler is in `reported`."""

    def __init__(self, factory):
        self.factory = factory
        self.reported = []
        self.expected = 0

    def __call__(self, main):
        async def limited():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: self.reported.append(context))
            async with asyncio.timeout(60):
                result = await main
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert left == set(), "something runs on"
            if isinstance(loop, clearloop.EventLoop) and not self.expected:
                assert loop.offloaded == 0, "a call is still away"
            return result

        with asyncio.Runner(loop_factory=self.factory) as runner:
            return runner.run(limited())

    def expect(self, count):
        """So many reports are meant to come."""
        self.expected = count


@pytest.fixture(params=LOOPS)
def run(request):
    program = Program(LOOPS[request.param])
    yield program
    gc.collect()
    assert len(program.reported) == program.expected, program.reported
