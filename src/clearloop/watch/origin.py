"""Where a coroutine that nobody awaited was created.

Python keeps that only while origin tracking is on (sys.set_coroutine_origin_tracking_depth), which costs more than
creating the coroutine; `clearloop run --strict`, `--report` and debug mode switch it on.  Without it, two cheap ways
find the line nearly always, when the coroutine dies:

1. A coroutine that is dropped on the spot (`fetch()` as a statement) dies in the very instruction after the call.
2. Else the sources around its death are searched for a call by its name that is not awaited.  One such line is the
   line; when there are several, nobody knows.
"""

import ast
import asyncio
import linecache
import opcode

# Longer sources take longer to parse than a loop should be held.
LONGEST_SOURCE = 150_000
MOST_FRAMES = 8
_POP = opcode.opmap["POP_TOP"]


class Origin:
    """A file, a line and a function; `certain` unless it was searched for."""

    def __init__(self, file, line, function, certain=True):
        self.file, self.line, self.function, self.certain = file, line, function, certain


def find(coroutine, frame):
    """The Origin of `coroutine`, which dies while `frame` runs, or None."""
    if coroutine.cr_origin:
        return Origin(*coroutine.cr_origin[0])
    return _on_the_spot(coroutine, frame) or _by_name(coroutine, frame)


def _on_the_spot(coroutine, frame):
    if frame is None or frame.f_lasti < 0 or frame.f_code.co_code[frame.f_lasti] != _POP:
        return None
    line = frame.f_lineno
    file = frame.f_code.co_filename
    source = linecache.getline(file, line, frame.f_globals)
    if source and f"{coroutine.__name__}" not in source and not _continues(frame, coroutine.__name__):
        return None  # taken out of a container, perhaps: created elsewhere
    return Origin(file, line, frame.f_code.co_name)


def _continues(frame, name):
    """Whether the statement, over all its lines, has the name."""
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    positions = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    return any(name in line for line in lines[(positions[0] or 1) - 1 : positions[1] or 0])


def _by_name(coroutine, frame):
    codes = list(_codes_around(frame))
    files = {coroutine.cr_code.co_filename, *(code.co_filename for code in codes)}
    found = {place for file in files for place in _calls_in(file, coroutine.__name__)}
    if len(found) == 1:
        return Origin(*found.pop(), certain=False)
    for code in codes:  # of several, the one in a function that was at work, the task's own first
        here = [place for place in found if (place[0], place[2]) == (code.co_filename, code.co_name)]
        if here:
            return Origin(*here[0], certain=False) if len(here) == 1 else None
    return None


def _codes_around(frame):
    """The code of the frames that ran when the coroutine died, and that of the task's own coroutine."""
    try:
        yield asyncio.current_task().get_coro().cr_code
    except (AttributeError, RuntimeError):
        pass
    for _ in range(MOST_FRAMES):
        if frame is None:
            return
        yield frame.f_code
        frame = frame.f_back


def _calls_in(file, name):
    """(file, line, function) of each call of `name` in a source whose value is kept, not awaited or handed on."""
    text = "".join(linecache.getlines(file))
    if not text or len(text) > LONGEST_SOURCE or name not in text:
        return []
    try:
        finder = _Finder(file, name)
        finder.visit(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return finder.found


class _Finder(ast.NodeVisitor):
    """Walks a source.  What is dropped on the spot has been told from there, and is none of these."""

    def __init__(self, file, name):
        self.file, self.name = file, name
        self.found = []
        self.functions = ["<module>"]

    def visit_FunctionDef(self, node):
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Call(self, node):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
        if name == self.name:
            self.found.append((self.file, node.lineno, self.functions[-1]))
        self.visit(called)  # its arguments are handed to somebody, who awaits them

    def _somebody_has_it(self, node):
        pass

    visit_Await = visit_Return = visit_Yield = visit_YieldFrom = visit_Expr = _somebody_has_it
