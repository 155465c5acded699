"""An exception that a task or future holds and that nobody fetched: named when it dies, and at exit."""

import linecache

from clearloop.watch import lines, reporting
from clearloop.watch.advice import module_of_file
from clearloop.watch.plain_text import name_of_task, one_line, shown


def noticed(context):
    """The exception handler is about to hear of it."""
    report(context.get("future") or context.get("task"), context["exception"], at_exit=False)


def report(future, error, at_exit):
    """One lost exception, with the line that raised it."""
    if hasattr(future, "get_name") and isinstance(error, (KeyboardInterrupt, SystemExit)):
        return  # a task's step that raises these raises them from the loop too: somebody has them
    stack = list(_frames(error))
    place = next((frame for frame in reversed(stack) if module_of_file(frame["file"]) is None), None)
    place = place or (stack[-1] if stack else {"file": None, "line": None, "function": None})
    task = name_of_task(future) if hasattr(future, "get_name") else None
    kind = one_line(type(error).__name__, 80)
    message = one_line(error)
    text = f"clearloop: lost error: {kind}{': ' + message if message else ''}"
    if place["file"] is not None:
        text += f", raised at {lines.short_path(place['file'])}:{place['line']} in {one_line(place['function'], 80)}"
        code = linecache.getline(place["file"], place["line"]).strip()
        text += f": {one_line(code, lines.LONGEST_CODE)}" if code else ""
    text += f", in task {task}" if task is not None else ", in a future"
    text += f"\n{lines.INDENT}nobody fetched it{', and the program ends' if at_exit else ''} · "
    holder = "task" if task is not None else "future"
    text += f"instead: await the {holder}, or ask it for its exception() when it is done"
    reporting.found(
        "lost_exception",
        text,
        task=task,
        future=None if task is not None else shown(future),
        exception=kind,
        message=message,
        **place,
        stack=stack,
        at_exit=at_exit,
    )


def _frames(error):
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_name.startswith("clearloop."):  # compiled: Cython names it in full
            yield {"file": one_line(code.co_filename, 1000), "line": trace.tb_lineno, "function": code.co_name}
        trace = trace.tb_next
