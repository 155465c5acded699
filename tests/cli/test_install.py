"""`clearloop.install()`: from then on asyncio gives clearloop loops, and nothing else about it changes."""

import sys

import pytest

WHICH = """
import asyncio, sys
async def which():
    print(type(asyncio.get_running_loop()).__module__.split(".")[0])
"""


def run(programs, text, *flags):
    programs.write("app.py", WHICH + text)
    ran = programs.python("app.py", flags=flags)
    assert ran.stderr == ""
    return ran.stdout


def test_asyncio_gives_clearloop_loops(programs):
    text = """
asyncio.run(which())
import clearloop
clearloop.install()
asyncio.run(which())
asyncio.new_event_loop().run_until_complete(which())
"""
    assert run(programs, text, "-W", "error::DeprecationWarning") == "asyncio\nclearloop\nclearloop\n"


def test_it_can_be_called_again_by_any_of_its_names(programs):
    text = """
import clearloop
clearloop.install()
from clearloop.installation import install
install(legacy=True)
clearloop.install(legacy=True)
loop = asyncio.get_event_loop()
loop.run_until_complete(which())
print(loop is asyncio.get_event_loop())
"""
    assert run(programs, text, "-W", "error::DeprecationWarning") == "clearloop\nTrue\n"


def test_a_policy_of_somebody_else_is_put_aside(programs):
    pytest.importorskip("uvloop")
    text = """
import uvloop, clearloop
uvloop.install()
asyncio.run(which())
clearloop.install()
asyncio.run(which())
"""
    assert run(programs, text, "-W", "ignore") == "uvloop\nclearloop\n"


def test_a_loop_that_was_set_before_stays(programs):
    text = """
import clearloop
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
clearloop.install()
print(asyncio.get_event_loop() is loop)
asyncio.get_event_loop().run_until_complete(which())
"""
    assert run(programs, text) == "True\nasyncio\n"


def test_old_style_is_accepted_only_when_asked_for(programs):
    text = """
import clearloop
wait = asyncio.wait
clearloop.install()
print(asyncio.wait is wait)
try:
    asyncio.get_event_loop()
except (DeprecationWarning, RuntimeError):
    print("no loop set")
else:
    print("made a loop")
"""
    # Up to 3.11 asyncio makes one itself, without a word.
    expected = "no loop set" if sys.version_info >= (3, 12) else "made a loop"
    assert run(programs, text, "-W", "error::DeprecationWarning") == f"True\n{expected}\n"
