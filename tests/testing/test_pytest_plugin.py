"""The pytest plugin, in suites of its own: each is run by a fresh pytest, with the plugins that people use."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import clearloop

HOME = str(Path(clearloop.__file__).parents[1])


class Suite:
    """A folder with tests in it."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, text, *options, ini="", plugins=(), env=None):
        """Write the tests, and run them with these plugins only."""
        for plugin in plugins:
            if importlib.util.find_spec(plugin.partition(".")[0]) is None:
                pytest.skip(f"{plugin} is not installed")
        (self.folder / "test_suite.py").write_text(HEAD + textwrap.dedent(text))
        (self.folder / "pytest.ini").write_text("[pytest]\n" + textwrap.dedent(ini))
        path = os.pathsep.join([HOME, *sys.path])
        settings = {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200", **(env or {})}
        words = [option for plugin in ("clearloop.testing.pytest_plugin", *plugins) for option in ("-p", plugin)]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words, *options, "test_suite.py"],
            cwd=self.folder,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=100,
        )


HEAD = """\
import asyncio, time, threading
import pytest

async def wait(name=None):
    await asyncio.sleep(0.01)

async def blocks(seconds=0.2):
    waits = [asyncio.create_task(wait(), name=f"waiting-{n}") for n in range(3)]
    await asyncio.sleep(0)
    time.sleep(seconds)
    await asyncio.gather(*waits)
"""


@pytest.fixture
def suite(tmp_path):
    return Suite(tmp_path)


def counts(ran):
    """{"passed": 1, …} of pytest's last line."""
    import re

    return {word.rstrip("s"): int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|warnings?)", ran.stdout)}


BLOCKS = """
    @pytest.mark.no_stall(seconds=0.05)
    {decorator}
    async def test_blocks({fixtures}):
        await blocks()

    @pytest.mark.no_stall
    {decorator}
    async def test_behaves({fixtures}):
        await asyncio.sleep(0.1)

    {decorator}
    async def test_is_not_watched({fixtures}):
        await blocks()
    """

# plugin: (pytest's plugins, decorator of the tests, their fixtures, ini)
PLUGINS = {
    "pytest-asyncio": (["pytest_asyncio.plugin"], "@pytest.mark.asyncio", "", ""),
    "pytest-asyncio, automatic": (["pytest_asyncio.plugin"], "", "", "asyncio_mode = auto"),
    "pytest-asyncio, one loop": (
        ["pytest_asyncio.plugin"],
        "@pytest.mark.asyncio",
        "",
        "asyncio_default_test_loop_scope = session",
    ),
    "anyio": (["anyio.pytest_plugin"], "@pytest.mark.anyio", "anyio_backend", ""),
    "aiohttp": (["aiohttp.pytest_plugin"], "", "loop", ""),
    "pytest-aiohttp": (["pytest_asyncio.plugin", "pytest_aiohttp.plugin"], "", "aiohttp_client", "asyncio_mode = auto"),
}
ANYIO = "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"


@pytest.mark.parametrize("name", PLUGINS)
def test_with(suite, name):
    plugins, decorator, fixtures, ini = PLUGINS[name]
    text = textwrap.dedent(BLOCKS).format(decorator=decorator, fixtures=fixtures)
    quiet = ("-W", "ignore::DeprecationWarning")  # aiohttp's own plugin says that it will go
    ran = suite.run((ANYIO if name == "anyio" else "") + text, *quiet, plugins=plugins, ini=ini)
    assert counts(ran) == {"passed": 2, "failed": 1}, ran.stdout + ran.stderr
    assert "the test blocked the event loop 1 time, 0.2" in ran.stdout
    assert "where 0.05 s are allowed" in ran.stdout
    assert "test_suite.py:10 in blocks: time.sleep(seconds) [blocking call" in ran.stdout
    assert "3 waited, worst task waiting-" in ran.stdout
    assert "instead: await asyncio.sleep(seconds)" in ran.stdout
    assert "FAILED test_suite.py::test_blocks" in ran.stdout


def test_plain_tests_that_run_a_loop(suite):
    ran = suite.run(
        """
        @pytest.mark.no_stall
        def test_blocks():
            asyncio.run(blocks())

        @pytest.mark.no_stall
        def test_behaves():
            asyncio.run(wait())
        """
    )
    assert counts(ran) == {"passed": 1, "failed": 1}, ran.stdout


COMPUTES = """
    def compute():
        end = time.process_time() + 0.3
        while time.process_time() < end: sum(range(1000))
    """


def test_computing_fails_as_well(suite):
    ran = suite.run(
        textwrap.dedent(COMPUTES)
        + textwrap.dedent(
            """
            @pytest.mark.no_stall
            def test_computes():
                async def main(): compute()
                asyncio.run(main())
            """
        )
    )
    assert counts(ran) == {"failed": 1} and "[compute, CPU" in ran.stdout, ran.stdout


def test_shorter_than_the_limit(suite):
    ran = suite.run(
        """
        @pytest.mark.no_stall(seconds=5)
        def test_it():
            asyncio.run(blocks(0.2))
        """
    )
    assert counts(ran) == {"passed": 1}, ran.stdout


def test_the_whole_suite(suite):
    ran = suite.run(
        """
        def test_blocks():
            asyncio.run(blocks())

        @pytest.mark.no_stall(seconds=0)
        def test_may_block():
            asyncio.run(blocks())

        @pytest.mark.no_stall(seconds=10)
        def test_has_a_limit_of_its_own():
            asyncio.run(blocks())

        def test_behaves():
            asyncio.run(wait())
        """,
        ini="no_stall = 0.05",
    )
    assert counts(ran) == {"passed": 3, "failed": 1}, ran.stdout
    assert "FAILED test_suite.py::test_blocks" in ran.stdout


def test_a_fixture_that_blocks(suite):
    ran = suite.run(
        """
        @pytest.fixture
        def setting_up():
            asyncio.run(blocks())

        @pytest.fixture
        def tearing_down():
            yield
            asyncio.run(blocks())

        @pytest.mark.no_stall
        def test_one(setting_up): pass

        @pytest.mark.no_stall
        def test_two(tearing_down): pass
        """
    )
    assert counts(ran) == {"passed": 1, "error": 2}, ran.stdout
    assert "setting up blocked the event loop" in ran.stdout and "tearing down blocked the event loop" in ran.stdout


def test_a_failure_of_the_test_itself_stays(suite):
    ran = suite.run(
        """
        @pytest.mark.no_stall
        def test_it():
            asyncio.run(blocks())
            assert 1 == 2
        """
    )
    assert counts(ran) == {"failed": 1} and "assert 1 == 2" in ran.stdout


@pytest.mark.parametrize("verdict", ["blocking", "compute", "gil", "gc", "descheduled"])
def test_which_verdicts_fail_a_test(suite, verdict):
    """Told by hand: no test can have the machine stop running it when it wants."""
    ran = suite.run(
        f"""
        @pytest.mark.no_stall
        def test_it():
            asyncio.run(wait())
            from clearloop.watch import reporting
            from clearloop.watch.stall import Stall
            reporting.ended(Stall(seconds=1.0, verdict="{verdict}", file="app.py", line=1))
        """
    )
    assert counts(ran) == {"failed" if verdict in ("blocking", "compute") else "passed": 1}, ran.stdout


def test_thresholds_are_given_back(suite):
    ran = suite.run(
        """
        import os
        loops = []

        @pytest.mark.no_stall(seconds=0.02)
        def test_one():
            loops.append(asyncio.new_event_loop())
            assert loops[0].slow_callback_duration == 0.02
            assert os.environ["CLEARLOOP_SLOW"] == "0.02"

        def test_two():
            assert loops[0].slow_callback_duration == 0.1
            assert os.environ["CLEARLOOP_SLOW"] == ""
            loops[0].slow_callback_duration = 7

        @pytest.mark.no_stall(seconds=0.03)
        def test_three():
            assert loops[0].slow_callback_duration == 0.03

        def test_four():
            assert loops[0].slow_callback_duration == 7
            loops[0].close()
        """,
        env={"CLEARLOOP_SLOW": ""},
    )
    assert counts(ran) in ({"passed": 4}, {"passed": 4, "warning": 1}), ran.stdout


WAYS = [((), "", False), (("--clearloop",), "", True), ((), "clearloop = true", True)]


@pytest.mark.parametrize("options, ini, expected", WAYS)
def test_clearloop_as_the_loop_of_the_suite(suite, options, ini, expected):
    ran = suite.run(
        f"""
        def test_it():
            async def main():
                loop = asyncio.get_running_loop()
                assert type(loop).__module__.startswith("clearloop") is {expected}
            asyncio.run(main())
        """,
        *options,
        ini=ini,
    )
    assert counts(ran) == {"passed": 1}, ran.stdout


def test_a_suite_that_does_not_use_it_imports_nothing(suite):
    ran = suite.run(
        """
        def test_it():
            import sys
            loaded = [name for name in sys.modules if name.startswith("clearloop")]
            assert loaded == ["clearloop", "clearloop.testing", "clearloop.testing.pytest_plugin"]
        """
    )
    assert counts(ran) == {"passed": 1}, ran.stdout


def test_a_loop_of_another_make_is_warned_of(suite):
    ran = suite.run(
        """
        @pytest.mark.no_stall
        def test_it():
            loop = asyncio.SelectorEventLoop()
            loop.run_until_complete(blocks())
            loop.close()
        """
    )
    assert counts(ran) == {"passed": 1, "warning": 1} and "no clearloop loop ran" in ran.stdout, ran.stdout


@pytest.mark.parametrize("ini, mark", [("no_stall = soon", ""), ("", "('soon')"), ("", "(seconds=-1)")])
def test_limits_that_are_none(suite, ini, mark):
    ran = suite.run(f"@pytest.mark.no_stall{mark}\ndef test_it(): pass\n", ini=ini)
    assert ran.returncode != 0 and "no_stall wants a number of seconds" in ran.stdout + ran.stderr


def test_what_a_test_without_a_limit_did_is_not_the_next_ones_fault(suite):
    ran = suite.run(
        """
        @pytest.mark.no_stall(seconds=0)
        @pytest.mark.parametrize("n", range(5))
        def test_taken_out(n):
            asyncio.run(blocks(0.15))

        def test_next():
            asyncio.run(wait())

        def test_blocks():
            asyncio.run(blocks())
        """,
        "-p",
        "no:randomly",
        ini="no_stall = 0.1",
    )
    assert counts(ran) == {"passed": 6, "failed": 1}, ran.stdout
    assert "FAILED test_suite.py::test_blocks" in ran.stdout


def test_virtual_time_is_refused_to_a_coroutine_that_another_plugin_runs(suite):
    ran = suite.run(
        """
        @pytest.mark.asyncio
        async def test_an_hour(virtual_clock):
            await asyncio.sleep(3600)

        def test_another(virtual_clock):
            virtual_clock.run(asyncio.sleep(3600))
        """,
        plugins=["pytest_asyncio"],
    )
    assert (counts(ran)["passed"], counts(ran)["error"]) == (1, 1), ran.stdout
    assert "hand its coroutine to virtual_clock.run()" in ran.stdout
