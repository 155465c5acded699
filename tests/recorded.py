"""What tests of the recorder share: the records of a loop, read as every reader of a dump reads them."""

import collections
import contextlib
import os
import subprocess
import sys
import textwrap
import types

import clearloop
from clearloop.engine import interned
from clearloop.show import records

Record = collections.namedtuple("Record", "kind how type actor time span code place other")
NESTED = 0x40  # in `how`: inside another step
WITHIN = 0x20  # in `how`: `other` is the function of a library that waits there


def taken(loop):
    """The records of a loop, oldest first."""
    _, _, data, _, _, _ = loop._recording()
    return [Record(*fields) for fields in records.RECORD.iter_unpack(data)]


def of(kind, found):
    return [record for record in found if record.kind == kind]


def how(record):
    return record.how & records.HOW


def end(record):
    return record.time + (record.span << 10 if record.how & records.COARSE else record.span)


def called(number):
    entry = interned.table()[number]
    return entry.co_qualname if isinstance(entry, types.CodeType) else entry and entry[1]


def line_of(code, lasti):
    return next(line for start, stop, line in code.co_lines() if start <= lasti < stop)


def numbers(found):
    """{name of the coroutine: number of the task}"""
    return {called(record.code).rpartition(".")[2]: record.actor for record in of(records.TASK, found)}


def steps_of(actor, found):
    return [record for record in of(records.STEP, found) if record.actor == actor]


@contextlib.contextmanager
def new_loop():
    loop = clearloop.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def recorded(main):
    """Run `main()` on a new loop; return its records."""
    with new_loop() as loop:
        loop.run_until_complete(main())
        return taken(loop)


def all_counted(loop):
    found = taken(loop)
    steps = [record for record in of(records.STEP, found) if not record.how & NESTED]
    return len(steps) + sum(record.other for record in of(records.GAP, found)) == loop._step_count()


def run_script(source, **environment):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
