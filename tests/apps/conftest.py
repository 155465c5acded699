"""Real programs on clearloop's loop: what they share.

`run` gives every test a loop of its own.  What reaches the loop's exception handler fails the test: a program that got
its answers while the loop logged errors has not been served well.
"""

import asyncio
import gc
import resource

import pytest
import servers
from chosen import FACTORIES, LOOP, TORTURE

import clearloop

LIMIT = 20  # seconds for one program: far more than any needs, so that only a hang meets it


class Programs:
    """Runs coroutines to their end; `errors` are the contexts that the loop's exception handler was given."""

    def __init__(self):
        self.errors = []

    def __call__(self, main, **settings):
        async def limited():
            loop = asyncio.get_running_loop()
            assert isinstance(loop, clearloop.EventLoop) or LOOP != "clearloop"
            loop.set_exception_handler(lambda loop, context: self.errors.append(context))
            async with asyncio.timeout(LIMIT):
                return await main

        with asyncio.Runner(loop_factory=FACTORIES[LOOP], **settings) as runner:
            return runner.run(limited())


@pytest.fixture
def run():
    programs = Programs()
    yield programs
    gc.collect()
    assert programs.errors == []


@pytest.fixture(autouse=True)
def garbage_collected_all_the_time():
    """Under torture a reference that somebody forgot to hold is gone at once."""
    before = gc.get_threshold()
    if TORTURE:
        gc.collect()
        gc.freeze()  # what pytest and the imports made stays out of it, or each collection would take milliseconds
        gc.set_threshold(1)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture(scope="session")
def many_descriptors():
    """Room for a thousand connections with both their ends in this process; skips where the system gives less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may have no more than {hard} descriptors here")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL of our own: `port` on 127.0.0.1, `folder` of its UNIX socket."""
    with servers.postgres() as found:
        yield found


@pytest.fixture(scope="session")
def redis_server():
    """A Redis of our own: `port` on 127.0.0.1, `path` of its UNIX socket."""
    with servers.redis() as found:
        yield found
