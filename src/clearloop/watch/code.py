"""From frames to lines: which frame is the program's own, and what exactly is called there."""

import ast
import linecache
import os
import sysconfig

from clearloop.engine import looking

_OURS = os.path.dirname(os.path.dirname(looking.__file__)) + os.sep
_STANDARD = tuple(
    {
        path.rstrip(os.sep) + os.sep
        for path in (
            os.path.dirname(os.__file__),
            sysconfig.get_path("stdlib"),
            sysconfig.get_path("platstdlib"),
        )
    }
)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
# Frames of a debugger that waits for its user, whatever it traces with
_DEBUGGERS = ("/bdb.py", "/pdb.py", "/pydevd", "/_pydevd", "/debugpy/", "/pudb/", "/ipdb/", "/celery/contrib/rdb.py")
_LONGEST = 500  # characters of code

USER, LIBRARY, STANDARD, OURS = range(4)


def kind_of(path):
    """Whose code a file is."""
    if path.startswith(_OURS):
        return OURS
    if any(part in path for part in _INSTALLED):
        return LIBRARY
    if path.startswith(_STANDARD) or path.startswith("<frozen "):
        return STANDARD
    return USER


def choose(frames):
    """The place of the innermost frame of the program's own, else of a library's, else the innermost; None: no frame.

    Frames are (code, instruction, globals), innermost first.
    """
    best = None
    for place, (code, _, _) in enumerate(frames):
        kind = kind_of(code.co_filename)
        if kind == USER:
            return place
        if best is None or kind < best[0]:
            best = (kind, place)
    return best[1] if best is not None else None


def end_of(loop):
    """The code of run_forever: frames outside of it are not the step's."""
    for base in type.__dict__["__mro__"].__get__(type(loop)):
        found = base.__dict__.get("run_forever")
        if found is not None and base.__module__ == "clearloop.loop":
            return found.__code__
    return None


def in_debugger(frames):
    """Whether a debugger has stopped the thread."""
    return any(part in code.co_filename for code, _, _ in frames[:60] for part in _DEBUGGERS)


def positions(code, lasti):
    """(line, end line, column, end column) of an instruction; each may be None."""
    wanted = lasti // 2
    for place, found in enumerate(code.co_positions()):
        if place == wanted:
            return found
    return (code.co_firstlineno, None, None, None)


def frame_of(code, lasti):
    """(file, line, function)"""
    return (code.co_filename, line_of(code, lasti), code.co_qualname)


def line_of(code, lasti):
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno


class Where:
    """A line of the program, and the expression in it that runs."""

    def __init__(self, code, lasti):
        line, end_line, column, end_column = positions(code, lasti)
        self.file = code.co_filename
        self.function = code.co_qualname
        self.line = line if line is not None else line_of(code, lasti)
        self.code = source_of(self.file, line, end_line, column, end_column)
        self.call = None


def source_of(file, line, end_line, column, end_column):
    """The exact text of an expression; columns count bytes of UTF-8."""
    if line is None or end_line is None or column is None or end_column is None:
        return None
    lines = linecache.getlines(file)[line - 1 : end_line]
    if len(lines) != end_line - line + 1:
        return None
    try:
        encoded = [text.encode() for text in lines]
        encoded[-1] = encoded[-1][:end_column]
        encoded[0] = encoded[0][column:]
        text = b"".join(encoded).decode().strip()
    except UnicodeError:
        return None
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def whole_line(file, line):
    """A line of a source as it stands there."""
    return linecache.getline(file, line).strip()[:_LONGEST] if line else None


def one_line(text):
    return " ".join(text.split())


def called(loop, depth, code, lasti, namespace, where):
    """The dotted name of what is called in the expression, or None."""
    chain = chain_of(where.code)
    if chain is None:
        return None
    found = looking.resolve(loop, depth, code, lasti, chain) if loop is not None else None
    if found is None and chain[0] not in code.co_varnames + code.co_cellvars + code.co_freevars:
        found = looking.resolve_global(namespace, chain)  # the frame has gone on; its module has not
    return found


def chain_of(text):
    """("time", "sleep") of "time.sleep(1)"; None when what is called is not a name with attributes."""
    if text is None:
        return None
    try:
        node = ast.parse(f"({text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(node, ast.Await):
        node = node.value
    if not isinstance(node, ast.Call):
        return None
    node = node.func
    chain = []
    while isinstance(node, ast.Attribute):
        chain.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    chain.append(node.id)
    return tuple(reversed(chain))
