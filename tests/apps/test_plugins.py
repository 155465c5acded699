"""pytest-asyncio and anyio's plugin run async tests and fixtures on clearloop's loop, as users would set them up."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import clearloop


def pytest_run(folder, *words, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    (folder / "pytest.ini").write_text("[pytest]\n")
    env = {**os.environ, "PYTHONPATH": str(Path(clearloop.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    outcome = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


def test_pytest_asyncio(tmp_path):
    plugin = pytest.importorskip("pytest_asyncio.plugin", reason="pytest-asyncio is not installed")
    if hasattr(plugin, "pytest_asyncio_loop_factories") or "pytest_asyncio_loop_factories" in vars(
        getattr(plugin, "PytestAsyncioSpecs", object)
    ):
        conftest = """
            import clearloop

            def pytest_asyncio_loop_factories(config, item):
                return {"clearloop": clearloop.new_event_loop}
        """
    else:
        conftest = """
            import asyncio, warnings
            import pytest
            import clearloop

            warnings.simplefilter("ignore", DeprecationWarning)

            class Policy(asyncio.DefaultEventLoopPolicy):
                def new_event_loop(self):
                    return clearloop.new_event_loop()

            @pytest.fixture(scope="session")
            def event_loop_policy():
                return Policy()
        """
    tests = """
        import asyncio
        import pytest, pytest_asyncio
        import clearloop

        @pytest_asyncio.fixture
        async def server():
            async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
                yield server.sockets[0].getsockname()

        async def echo(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        async def test_echo(server):
            assert isinstance(asyncio.get_running_loop(), clearloop.EventLoop)
            reader, writer = await asyncio.open_connection(*server)
            writer.write(b"hello\\n")
            assert await reader.read() == b"hello\\n"
            writer.close()
            await writer.wait_closed()

        @pytest.mark.parametrize("number", range(20))
        async def test_many(number):
            assert isinstance(asyncio.get_running_loop(), clearloop.EventLoop)
            await asyncio.sleep(0)
    """
    words = ["-p", "no:anyio", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    assert "21 passed" in pytest_run(tmp_path, *words, conftest=conftest, test_it=tests)


def test_anyios_plugin(tmp_path):
    pytest.importorskip("anyio", reason="anyio is not installed")
    tests = """
        import asyncio
        import anyio, pytest
        import clearloop

        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope="module")
        def anyio_backend():
            return ("asyncio", {"loop_factory": clearloop.new_event_loop})

        @pytest.fixture(scope="module")
        async def group():
            async with anyio.create_task_group() as group:
                yield group
                group.cancel_scope.cancel()

        @pytest.mark.parametrize("number", range(20))
        async def test_many(group, number):
            assert isinstance(asyncio.get_running_loop(), clearloop.EventLoop)
            event = anyio.Event()
            group.start_soon(set_it, event)
            await event.wait()

        async def set_it(event):
            event.set()
    """
    assert "20 passed" in pytest_run(tmp_path, "-p", "no:asyncio", "-p", "no:aiohttp", test_it=tests)
