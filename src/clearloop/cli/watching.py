"""--report and --strict: prepares watching before the program starts, and decides the exit status after its end.

The status is decided in the very last exit handler: by then the program's threads have ended, its own handlers have
run, and what it forgot or lost is known.
"""

from __future__ import annotations

import atexit
import os
import sys
from types import TracebackType

from clearloop.cli.usage import UsageError
from clearloop.engine import findings
from clearloop.watch import report_file, settings

STATUS = 3


def watch(report: str | None, strict: bool) -> Watching:
    """Prepare for both; UsageError when the report cannot be written."""
    if report is not None:
        settings.report = os.path.abspath(report)
        try:
            report_file.start_anew(settings.report)
        except OSError as error:
            raise UsageError(f"can't write the report {report!r}: {error.strerror}") from None
        # for the processes that the program starts
        os.environ["CLEARLOOP_REPORT"] = settings.report
    watching = Watching(strict)
    findings.origins = strict or settings.report is not None
    findings.arm()
    return watching


class Watching:
    """Around the program: learns whether it ended well, and then overrules the exit status if need be."""

    def __init__(self, strict: bool) -> None:
        self.failed = False
        self.process = os.getpid()
        if strict:
            atexit.register(self._decide)  # the first to be registered is the last to be called

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        well = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        self.failed = not well

    def _decide(self) -> None:
        findings.at_exit()
        if self.failed or os.getpid() != self.process or "clearloop.watch.reporting" not in sys.modules:
            return
        from clearloop.watch import reporting

        if not reporting.blamed():
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                continue
        reporting.say_status(STATUS)
        os._exit(STATUS)
