"""Calls that were cancelled and whose pool then broke: told in one line with their number.

A pool that breaks fails all its calls with the same error.  Those that nobody awaits any more would each be reported, a
thousand times the same; they are counted instead, and the last of them to end tells.
"""

import os

_groups = {}  # (loop, executor), by number -> the calls of both that were cancelled and have not ended

os.register_at_fork(after_in_child=_groups.clear)  # their pools do not come along


class _Group:
    __slots__ = ("error", "fallen", "members", "message")

    def __init__(self):
        self.members = set()
        self.fallen = 0
        self.message = self.error = None


def _key(call):
    return id(call._loop), id(call.executor)  # both live at least as long as the call


def cancelled(call):
    """`call` was cancelled while it was away."""
    if not call._loop.is_closed():
        _groups.setdefault(_key(call), _Group()).members.add(call)


def fell(call, message, error):
    """`call` ended because its pool broke; return whether that will be told together with others."""
    group = _groups.get(_key(call))
    if group is None or call not in group.members:
        return False
    if not group.fallen:
        group.message, group.error = message, error
    group.fallen += 1
    return True


def ended(call):
    """`call`, which was cancelled, has ended in whatever way: the last one tells."""
    group = _groups.get(_key(call))
    if group is None:
        return
    group.members.discard(call)
    if not group.members:
        del _groups[_key(call)]
        if group.fallen:
            others = f", and so did {group.fallen - 1} more of its pool" if group.fallen > 1 else ""
            call._tell_late(group.message + others, group.error)
