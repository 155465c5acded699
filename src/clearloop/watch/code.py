"""From frames to lines: which frame is the program's own, and what exactly is called there."""

import ast
import linecache
import opcode
import os
import sys
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
        self.method = implied(code, lasti)
        self.code = source_of(self.file, line, end_line, column, end_column, self.method)
        self.call = None


# What an instruction calls although the program does not write it
_IMPLIED = {
    "BEFORE_WITH": "__enter__",
    "WITH_EXCEPT_START": "__exit__",
    "GET_ITER": "__iter__",
    "FOR_ITER": "__next__",
    "BINARY_SUBSCR": "__getitem__",
    "BINARY_SLICE": "__getitem__",
    "STORE_SUBSCR": "__setitem__",
    "STORE_SLICE": "__setitem__",
    "DELETE_SUBSCR": "__delitem__",
    "CONTAINS_OP": "__contains__",
}
_OPERATORS = [name for name, _ in getattr(opcode, "_nb_ops", ())]
_SUBSCRIPT = _OPERATORS.index("NB_SUBSCR") if "NB_SUBSCR" in _OPERATORS else -1
_CALL_UNITS = 3 if sys.version_info < (3, 12) else 1  # from a CALL back to what was loaded before: 3.11 has a PRECALL


def implied(code, lasti):
    """The special method that an instruction calls, "__enter__" for a `with`; None for one that calls what it names."""
    text = code.co_code
    name = opcode.opname[text[lasti]]
    if name == "BINARY_OP" and 0 <= _SUBSCRIPT == text[lasti + 1]:  # from 3.14 on
        return "__getitem__"
    if name != "CALL" or lasti < 2 * _CALL_UNITS:
        return _IMPLIED.get(name)
    before = opcode.opname[text[lasti - 2 * _CALL_UNITS]]
    if before == "LOAD_SPECIAL":  # from 3.14 on
        return "__enter__"
    if before in ("LOAD_CONST", "LOAD_COMMON_CONSTANT"):
        # the three None that __exit__ gets stand at no place of their own
        if positions(code, lasti - 2 * _CALL_UNITS) == positions(code, lasti):
            return "__exit__"
    return None


def source_of(file, line, end_line, column, end_column, method=None):
    """The exact text of an expression, whose `method` is called; columns count bytes of UTF-8."""
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
    if sys.version_info < (3, 13) and method in ("__enter__", "__exit__", "__iter__", "__next__"):
        text = head_of(text, column)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def whole_line(file, line):
    """A line of a source as it stands there."""
    return linecache.getline(file, line).strip()[:_LONGEST] if line else None


def one_line(text):
    return " ".join(text.split())


def called(loop, depth, frames, where):
    """The dotted name of what is called in the expression, or None."""
    code, lasti, namespace = frames[depth]
    chain = chain_of(where.code, where.method)
    if chain is None:
        return below(frames, depth)
    found = looking.resolve(loop, depth, code, lasti, chain) if loop is not None else None
    if found is None and chain[0] not in code.co_varnames + code.co_cellvars + code.co_freevars:
        found = looking.resolve_global(namespace, chain)  # the frame has gone on; its module has not
    return found or below(frames, depth)


def below(frames, depth):
    """The name of the library's function that the line has called, when the line itself does not tell."""
    if depth == 0:
        return None
    code, _, namespace = frames[depth - 1]
    module = namespace.get("__name__") if type(namespace) is dict else None
    return f"{module}.{code.co_qualname}" if type(module) is str and "<" not in code.co_qualname else None


def head_of(text, column):
    """Of a `with` or `for`, whose place is the whole statement up to Python 3.12: what it enters, or goes over."""
    try:
        tree = ast.parse("if 1:\n" + " " * column + text if column else text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            return ", ".join(ast.unparse(item.context_expr) for item in node.items)
        if isinstance(node, (ast.For, ast.comprehension)):
            return ast.unparse(node.iter)
    return text


def chain_of(text, method=None):
    """("time", "sleep") of "time.sleep(1)", ("lock", "__enter__") of "lock" with that method.

    None when what is called is not a name with attributes.
    """
    if text is None:
        return None
    try:
        node = ast.parse(f"({text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(node, ast.Await):
        node = node.value
    chain = []
    if method in ("__getitem__", "__setitem__", "__delitem__"):
        node = node.value if isinstance(node, ast.Subscript) else None
        chain.append(method)
    elif method == "__contains__":
        node = node.comparators[0] if isinstance(node, ast.Compare) else None
        chain.append(method)
    elif isinstance(node, ast.Call):
        if method in ("__enter__", "__exit__"):
            return None  # of what the call has made
        node = node.func
    elif method is not None:
        chain.append(method)
    else:
        return None
    while isinstance(node, ast.Attribute):
        chain.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    chain.append(node.id)
    return tuple(reversed(chain))
