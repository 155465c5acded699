"""anyio's processes on clearloop's loop."""

import pytest

import clearloop

anyio = pytest.importorskip("anyio")


def run(main):
    anyio.run(main, backend="asyncio", backend_options={"loop_factory": clearloop.new_event_loop})


def test_run_process():
    async def main():
        done = await anyio.run_process(["cat"], input=b"x" * 300_000)
        assert (done.stdout, done.returncode) == (b"x" * 300_000, 0)
        with pytest.raises(Exception, match="exit status 3"):
            await anyio.run_process("exit 3")

    run(main)


def test_open_process_and_its_streams():
    async def main():
        async with await anyio.open_process(["sort"]) as process:
            await process.stdin.send(b"b\na\n")
            await process.stdin.aclose()
            received = b"".join([chunk async for chunk in process.stdout])
            assert await process.wait() == 0
        assert received == b"a\nb\n"

    run(main)


def test_a_scope_that_ends_early_kills_the_process():
    async def main():
        with anyio.move_on_after(0.05):
            await anyio.run_process(["sleep", "1000"])

    run(main)
