"""How an asyncio program that fails is shown: as `python` does, but for the loop's own Python files."""

import re

import pytest

FAILURES = {
    "main": "asyncio.run(fail())",
    "task": "async def main():\n    await asyncio.create_task(fail())\nasyncio.run(main())",
    "gather": "async def main():\n    await asyncio.gather(asyncio.sleep(0), fail())\nasyncio.run(main())",
    "task group": (
        "async def main():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(fail())\n"
        "asyncio.run(main())"
    ),
    "chained": (
        "async def main():\n    try:\n        await asyncio.create_task(fail())\n"
        "    except ValueError as error:\n        raise KeyError(1) from error\nasyncio.run(main())"
    ),
    "old style": "asyncio.new_event_loop().run_until_complete(fail())",
}

# One frame: its place, the line of source, and perhaps the marks below it.
LOOP_FRAME = re.compile(r'^([ |]*)File "[^"]*/(?:asyncio|clearloop)/[^"]*", line .*\n(?:\1  .*\n)*', re.M)


@pytest.mark.parametrize("name", FAILURES)
def test_traceback(programs, name):
    programs.write(
        "app.py",
        "import asyncio\nasync def fail():\n    await asyncio.sleep(0)\n    raise ValueError('why')\n"
        + FAILURES[name],
    )
    expected, found = programs.python("app.py"), programs.clearloop("app.py")
    assert LOOP_FRAME.sub("", found.stderr) == LOOP_FRAME.sub("", expected.stderr)
    assert "clearloop.engine" not in found.stderr and "clearloop/cli" not in found.stderr
    assert found.returncode == expected.returncode == 1
