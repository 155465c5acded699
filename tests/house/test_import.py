"""`import clearloop` is quick: it loads nothing that the program has not asked for, and using the loop loads no more
than it needs.  Each is seen in a fresh interpreter."""

import json
import subprocess
import sys

import pytest

LIST = "; import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules_after(code):
    ran = subprocess.run([sys.executable, "-c", code + LIST], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_import_loads_nothing_else():
    loaded = modules_after("import clearloop") - modules_after("import importlib")
    assert {name.split(".")[0] for name in loaded} == {"clearloop"}
    assert "asyncio" not in modules_after("import clearloop")


@pytest.mark.parametrize("module", ["asyncio", "ssl", "argparse", "logging", "socket"])
def test_import_does_not_load(module):
    assert module not in modules_after("import clearloop")


@pytest.mark.parametrize("module", ["argparse", *(f"clearloop.{room}" for room in ("cli", "show", "watch", "testing"))])
def test_running_does_not_load(module):
    code = "import clearloop\nasync def main(): await clearloop.sleep(0)\nclearloop.run(main())\n"
    assert module not in modules_after(code + "pass")


def test_a_program_in_which_nothing_goes_wrong_does_not_load_watch():
    """Though it waits for threads and sockets, loses nothing and forgets nothing."""
    code = (
        "import os; os.environ['CLEARLOOP_SLOW'] = '60'\n"  # a machine that is busy goes wrong in its own way
        "import asyncio, clearloop\n"
        "async def main():\n"
        "    await clearloop.to_thread(int)\n"
        "    await clearloop.gather(clearloop.sleep(0.01), clearloop.to_thread(int))\n"
        "    async def close(reader, writer): writer.close()\n"
        "    server = await clearloop.start_server(close, '127.0.0.1', 0)\n"
        "    await clearloop.open_connection(*server.sockets[0].getsockname())\n"
        "    server.close()\n"
        "    task = clearloop.create_task(clearloop.sleep(9)); await clearloop.sleep(0); task.cancel()\n"
        "clearloop.run(main())\n"
    )
    assert not [name for name in modules_after(code + "pass") if name.startswith("clearloop.watch")]


def test_the_loop_loads_ssl_only_because_asyncio_does():
    if "ssl" in modules_after("import asyncio"):
        pytest.skip("this Python's asyncio imports ssl itself")
    assert "ssl" not in modules_after("import clearloop; clearloop.new_event_loop().close()")


def test_names_need_no_second_import():
    """A name that was used once is found without the package's __getattr__ from then on."""
    code = "import clearloop; clearloop.gather; assert 'gather' in vars(clearloop)"
    modules_after(code)


def test_unknown_names_are_attribute_errors():
    ran = subprocess.run(
        [sys.executable, "-c", "import clearloop; clearloop.no_such_name"], capture_output=True, text=True, timeout=60
    )
    assert "AttributeError" in ran.stderr and "no_such_name" in ran.stderr
