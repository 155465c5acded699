"""A coroutine that was created and never awaited: which, where, and by which task."""

import asyncio

from clearloop.watch import lines, origin, reporting
from clearloop.watch.plain_text import name_of_task, one_line


def died(coroutine, frame):
    """`coroutine` has died without having started, while `frame` was running."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    report(coroutine, origin.find(coroutine, frame), name_of_task(task))


def left_at_exit(coroutine):
    """The program ends, and `coroutine` still waits for somebody to await it."""
    report(coroutine, origin.find(coroutine, None), None)


def report(coroutine, created, task):
    name = one_line(coroutine.__qualname__, 120)
    code = coroutine.cr_code
    text = f"clearloop: never awaited: {name}()"
    if created is not None:
        by = "" if created.certain else "probably "
        text += f", {by}created at {lines.short_path(created.file)}:{created.line} in {one_line(created.function, 80)}"
    else:
        text += f", defined at {lines.short_path(code.co_filename)}:{code.co_firstlineno}"
    if task is not None:
        text += f", by task {task}"
    short = name.rpartition(".")[2]
    text += f"\n{lines.INDENT}instead: await {short}(…), or asyncio.create_task({short}(…)) to run it beside"
    reporting.found(
        "never_awaited",
        text,
        coroutine=name,
        defined_file=one_line(code.co_filename, 1000),
        defined_line=code.co_firstlineno,
        file=one_line(created.file, 1000) if created is not None else None,
        line=created.line if created is not None else None,
        function=one_line(created.function) if created is not None else None,
        certain=created.certain if created is not None else False,
        task=task,
        key=f"{name}:{code.co_firstlineno}",
    )
