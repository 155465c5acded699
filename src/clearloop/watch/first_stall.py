"""A dump by itself at the end of the first stall: that stall is inside, and the seconds before it.

`clearloop run --dump-on-stall DIR` and CLEARLOOP_DUMP_ON_STALL=DIR ask for it, once per process.  It is written by the
watchdog's thread, beside the loop, which goes on.
"""

import os
import time

from clearloop.watch import dumping, lines, outlets, settings
from clearloop.watch.once import complain

_done_in = None  # the process that has written its dump


def dump_once():
    """Write the dump, if this process has not yet; what fails is said once."""
    global _done_in
    if _done_in == os.getpid():
        return
    _done_in = os.getpid()
    path = os.path.join(settings.dump_on_stall, name())
    try:
        os.makedirs(settings.dump_on_stall, mode=0o700, exist_ok=True)
        dumping.write(path, "stall")
    except Exception as error:
        complain(f"the dump of the first stall cannot be written: {lines.one_line(error)}")
        return
    shown = lines.short_path(path)
    outlets.say(f"clearloop: what led to it is in {shown}: clearloop view {shown}", {"kind": "dump", "file": path})


def name():
    """`stall-PID-20261122-173000.dump`, in local time."""
    return f"stall-{os.getpid()}-{time.strftime('%Y%m%d-%H%M%S')}.dump"
