"""Stalls as the watchdog would hand them over."""

from clearloop.watch.stall import Delayed, Frame, Stall


def make_stall(**fields):
    """A stall as the watchdog would hand it over after the block; `fields` replace what it says."""
    here = "/srv/app/db.py"
    return Stall(
        **{
            "number": 1,
            "began": "2026-11-22T17:30:00.000+00:00",
            "seconds": 1.0,
            "verdict": "blocking",
            "cpu_seconds": 0.001,
            "task": "req-17",
            "file": here,
            "line": 42,
            "function": "fetch_user",
            "code": "time.sleep(1)",
            "call": "time.sleep",
            "stack": [Frame("/srv/app/main.py", 7, "main"), Frame(here, 42, "fetch_user")],
            "delayed_count": 38,
            "delayed": [Delayed("ws-ping", None, 0.99), Delayed(None, "timer tick()", 0.5)],
            **fields,
        }
    )
