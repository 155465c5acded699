"""Who did the jobs that were sent off the loop: names by the numbers that JOB records have.

A worker's number is its native thread id or its process id.  Threads end, and their numbers may be given to others:
the newest name counts.  Nothing but numbers and strings is kept, of MOST workers at most.
"""

import _thread

from clearloop.engine.names import thread_name

MOST = 2000

known = {}  # number: name


def note(number, name):
    """A worker begins to take jobs."""
    known.pop(number, None)  # the newest is the last
    known[number] = name
    if len(known) > MOST:
        known.pop(next(iter(known.copy())), None)  # of a copy: other threads may add theirs meanwhile


def note_thread(number):
    """The same for the thread that calls."""
    note(number, thread_name(_thread.get_ident()))
