"""The loop that the programs run on, and how hard it is made for them.

CLEARLOOP_APPS_LOOP=asyncio runs the same programs on asyncio's loop, which tells an assumption of a test from a bug of
ours.  CLEARLOOP_APPS_TORTURE=1 collects garbage at nearly every allocation (see test_torture.py).
"""

import asyncio
import os

import clearloop

FACTORIES = {"clearloop": clearloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}
LOOP = os.environ.get("CLEARLOOP_APPS_LOOP", "clearloop")
TORTURE = os.environ.get("CLEARLOOP_APPS_TORTURE") == "1"
