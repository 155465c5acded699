"""What clearloop's own primitives promise, they promise on any loop: `run` is clearloop's and asyncio's in turn."""

import asyncio

import pytest

import clearloop

LOOPS = {"on clearloop": clearloop.new_event_loop, "on asyncio": asyncio.SelectorEventLoop}


@pytest.fixture(params=LOOPS)
def run(request):
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run


@pytest.fixture(autouse=True)
def recorder_as_it_comes(monkeypatch):
    monkeypatch.delenv("CLEARLOOP_RECORD", raising=False)
    monkeypatch.delenv("CLEARLOOP_RECORD_ALL", raising=False)


@pytest.fixture
def everything(monkeypatch):
    """The recorder has no budget: it records each step."""
    monkeypatch.setenv("CLEARLOOP_RECORD_ALL", "1")


@pytest.fixture
def turns():
    """Let `n` turns of the loop pass."""

    async def pass_turns(n=1):
        for _ in range(n):
            await asyncio.sleep(0)

    return pass_turns
