"""Tasks that will never go on: they wait for each other in a circle, or for what nobody is left to bring.

A circle of tasks is seen when it closes (engine/task.py).  Everything else is looked for when a loop with unfinished
tasks is about to wait without end and nothing is left that could wake it (engine/hopeless.py).  Here the tasks are put
into chains, from those that nobody waits for down to what will never come.
"""

import asyncio

from clearloop.engine.task import native_tasks
from clearloop.watch import lines, reporting
from clearloop.watch.plain_text import name_of_task, one_line, shown
from clearloop.watch.suspended import place, waited_in

MOST_TASKS = 100
_told = set()  # the tasks of the last reports, by number: told once
_MOST_TOLD = 10_000


def nothing_left(loop):
    """Nothing can wake `loop` any more, and it is about to wait."""
    tasks = native_tasks(loop)
    tasks += sorted(asyncio.all_tasks(loop).difference(tasks), key=name_of_task)
    if tasks:
        _tell(tasks, "nothing_left")


def circle_closed(task):
    """`task` is about to wait for tasks that wait for it."""
    # It does not stand among its own waiters yet; what it waits for is known already.
    circle, here = [task], task._fut_waiter
    while here is not task and isinstance(here, asyncio.Task) and len(circle) < MOST_TASKS:
        circle.append(here)
        here = here._fut_waiter
    _tell(circle, "circle")


def _tell(tasks, reason):
    new = [task for task in tasks if id(task) not in _told]
    if not new:
        return
    if len(_told) > _MOST_TOLD:
        _told.clear()
    _told.update(id(task) for task in tasks)
    _report(tasks[:MOST_TASKS], len(tasks), reason)


def _report(tasks, count, reason):
    links = {task: _waits_for(task) for task in tasks}
    inside = {id(task._fut_waiter): thing for task in tasks if (thing := waited_in(task.get_coro())) is not None}
    chains = _chains(links, inside)
    if reason == "circle":
        head = f"clearloop: stuck for ever: {count} tasks wait for each other in a circle"
    else:
        who = "1 task waits" if count == 1 else f"{count} tasks wait"
        head = f"clearloop: stuck for ever: {who}, and nothing is left that could wake {'it' if count == 1 else 'them'}"
    text = [head]
    for chain in chains:
        text.extend(lines.INDENT + "  " * depth + line for depth, line in chain)
    places = [{"task": name_of_task(task), **place(task), "waits_for": _names(links[task], inside)} for task in tasks]
    first = places[0]
    reporting.found(
        "stuck",
        "\n".join(text),
        reason=reason,
        count=count,
        tasks=places,
        file=first["file"],
        line=first["line"],
        function=first["function"],
        key=tuple((one["file"], one["line"]) for one in places[:10]),
    )


def _waits_for(task):
    """What a task waits for: other tasks, directly or by gather, wait and shield; else the future itself."""
    waited = task._fut_waiter
    if waited is None:
        return []
    if isinstance(waited, asyncio.Task):
        return [waited]
    behind = [one for one in asyncio.all_tasks(task.get_loop()) if _leads_to(one, waited)]
    return behind or [waited]


def _leads_to(task, future):
    """Whether the end of `task` will settle `future`."""
    for waiter in task._callbacks or ():
        callback = waiter[0]
        owner = getattr(callback, "__self__", None) or callback
        outer = owner._waits_for() if hasattr(owner, "_waits_for") else owner
        if outer is future:
            return True
        for cell in getattr(callback, "__closure__", None) or ():  # asyncio's own gather, wait and shield
            try:
                if cell.cell_contents is future:
                    return True
            except ValueError:
                continue
        if future in getattr(callback, "args", ()):  # a functools.partial
            return True
        if isinstance(outer, asyncio.TaskGroup) and outer._on_completed_fut is future:
            return True
    return False


def _chains(links, inside):
    """Lists of (depth, line): from each task that nobody waits for, down to what nobody will bring."""
    waited_for = {other for others in links.values() for other in others}
    roots = [task for task in links if task not in waited_for]
    seen, chains = set(), []
    for task in [*roots, *links]:  # those in a circle have no root
        if task not in seen:
            chain = []
            _follow(task, links, inside, 0, seen, chain, ())
            chains.append(chain)
    return chains


def _follow(task, links, inside, depth, seen, chain, above):
    if task in above:
        chain.append((depth, f"task {name_of_task(task)} again: a circle"))
        return
    if not isinstance(task, asyncio.Task):
        chain.append((depth, f"{_kind(task, inside)} that nobody is left to bring"))
        return
    if task in seen:
        chain.append((depth, f"task {name_of_task(task)}, as above"))
        return
    seen.add(task)
    here = place(task)
    text = f"task {name_of_task(task)}"
    if here["file"] is not None:
        text += f": {lines.short_path(here['file'])}:{here['line']} in {here['function']}"
        text += f": {here['code']}" if here["code"] else ""
    chain.append((depth, text))
    if depth >= MOST_TASKS:
        return
    for other in links.get(task, ()):
        _follow(other, links, inside, depth + 1, seen, chain, (*above, task))


def _kind(future, inside):
    if hasattr(future, "_waits_in"):  # of a lock, an event, a queue
        return f"its turn in {shown(future._waits_in(), 80)},"
    if id(future) in inside:  # of asyncio's own
        return f"its turn in {shown(inside[id(future)], 80)},"
    return f"a {one_line(type(future).__name__.lstrip('_'), 40)}"


def _names(others, inside):
    return [
        {"task": name_of_task(other), "future": None}
        if isinstance(other, asyncio.Task)
        else {"task": None, "future": shown(inside.get(id(other), other))}
        for other in others
    ]
