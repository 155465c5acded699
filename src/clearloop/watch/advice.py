"""What to write instead: looks a stall's call up in advice.toml, and fills in the row that fits.

The call that the user's line makes is asked first, then the library frames below it, outermost first: a program that
calls `requests.get` should hear of requests, not of the socket that requests waits for.  When no row fits, the verdict
decides: threads are enough for what waits, other processes are needed for what computes.
"""

import ast
import functools
import os
import sysconfig
from pathlib import Path

from clearloop.watch import settings
from clearloop.watch.plain_text import one_line

TABLE = Path(__file__).with_name("advice.toml")
LONGEST_ARGUMENTS = 60

ELSE = {
    "blocking": "await clearloop.run_sync(function, …), which calls it in a thread",
    "compute": "await clearloop.run_sync(function, …, executor=pool) with a pool of processes or interpreters",
    "gc": "gc.freeze() after start-up, a higher gc.set_threshold(), or fewer objects that refer to each other",
    "gil": "do the other thread's work in a process or interpreter",
}

# Where the C half of a module has another name than the module that people import.
_PUBLIC = {"posix": "os", "pyexpat": "xml", "nt": "os"}

_OURS = str(Path(__file__).parents[1]) + os.sep

_own = {}


def advise(name, text):
    """Add a row of your own: `text` is what to write instead of `name`.

    Parameters:
        name: a callable, a class or a module, or its dotted name; a class also stands for its methods, a module for
            everything in it. The longest name that fits a call wins, and your own row wins over a built-in one.
        text: what reports say after "instead:". `{args}` stands for what the call had between its parentheses,
            `{object}` for what stood before the dot, `{method}` for the name behind it.

    Raises TypeError when `name` has no dotted name, or `text` is no string.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, not {type(text).__name__}")
    if not isinstance(name, str):
        name = _dotted_name(name)
    _own[name] = text
    _own[public_name(name)] = text


def advice_for(stall):
    """The text for a stall record; None when nothing can be said."""
    if stall.verdict in ("descheduled", "gc", "gil"):
        return ELSE.get(stall.verdict)
    rows = table()
    general = None
    for name in _names(stall):
        row = _longest(name, rows)
        if row is None:
            continue
        if public_name(name).startswith("io."):
            general = general or row  # a stream over something: what it is over knows better
        else:
            return _filled(row, stall)
    return _filled(general, stall) if general is not None else ELSE.get(stall.verdict)


def table():
    """All rows: the built-in ones, those of the file that CLEARLOOP_ADVICE names, and those that advise() added."""
    return {**_rows(TABLE), **(_rows(settings.advice) if settings.advice else {}), **_own}


def public_name(name):
    """The dotted name that people import: without the private modules that a class or function really lies in."""
    first, *rest = name.split(".")
    first = _PUBLIC.get(first, first.lstrip("_") or first)
    return ".".join([first, *(part for part in rest if not part.startswith("_") or part.startswith("__"))])


def module_of_file(file):
    """The dotted name of the installed module that a file holds; None for a file of the user's own."""
    for root in _library_roots():
        if file.startswith(root):
            parts = file[len(root) :].split(os.sep)
            if root is _OURS:
                parts.insert(0, "clearloop")
            break
    else:
        return file[8:-1] if file.startswith("<frozen ") else None
    if parts[0] in ("site-packages", "dist-packages", "lib-dynload"):
        parts = parts[1:]
    if not parts:
        return None
    parts[-1] = parts[-1].partition(".")[0]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


@functools.cache
def _library_roots():
    """Folders of installed modules, and our own wherever it lies, the deepest first."""
    paths = sysconfig.get_paths()
    roots = {os.path.realpath(paths[key]) for key in ("purelib", "platlib", "stdlib", "platstdlib")}
    roots |= {paths[key] for key in ("purelib", "platlib", "stdlib", "platstdlib")}
    return [_OURS, *sorted((root + os.sep for root in roots), key=len, reverse=True)]


@functools.cache
def _rows(path):
    import tomllib

    try:
        with open(path, "rb") as file:
            sections = tomllib.load(file)
        rows = {}
        for name, value in sections.items():
            if isinstance(value, dict):
                rows.update({key: text for key, text in value.items() if isinstance(text, str)})
            elif isinstance(value, str):
                rows[name] = value
        return rows
    except (OSError, ValueError) as error:
        from clearloop.watch.once import complain

        complain(f"the table of advice {path} cannot be read: {error}")
        return {}


def _dotted_name(value):
    name = getattr(value, "__qualname__", None)
    module = getattr(value, "__module__", None)
    if name is None:  # a module
        name, module = getattr(value, "__name__", None), None
    if not isinstance(name, str):
        raise TypeError(f"{value!r} has no dotted name")
    if module is None and hasattr(value, "__objclass__"):  # a method of a class written in C
        module = value.__objclass__.__module__
    return f"{module}.{name}" if module else name


def _names(stall):
    """What may stand in the table for this stall, the likeliest first."""
    if stall.call:
        yield stall.call
        if "." not in stall.call:
            yield f"builtins.{stall.call}"
        # as it stands in the line: asyncio.gather, which lies in asyncio.tasks
        written = _written(stall.code)
        if written is not None and _ends(written) == _ends(stall.call):
            yield written
    below = list(_below_the_user(stall))
    if not stall.call and not below:
        name = _written(stall.code)
        if name is not None:
            yield name if "." in name else f"builtins.{name}"
    for frame in below:
        module = module_of_file(frame.file)
        if module is not None:
            yield f"{module}.{frame.function}"


def _written(code):
    """The called name as it stands in the line, or None."""
    called = _call(code)
    named = called is not None and isinstance(called.func, (ast.Name, ast.Attribute))
    return ast.unparse(called.func) if named else None


def _ends(name):
    return name.partition(".")[0], name.rpartition(".")[2]


def _below_the_user(stall):
    """The frames that the named line has called, outermost first."""
    found = None
    for place, frame in enumerate(stall.stack):
        if frame.line == stall.line and frame.file == stall.file:
            found = place
    return stall.stack[found + 1 :] if found is not None else ()


def _longest(name, rows):
    """The row of the longest beginning of `name`, as it lies in its module or as people import it."""
    fits = [fit for fit in (_beginning(name, rows), _beginning(public_name(name), rows)) if fit]
    return rows[max(fits, key=lambda fit: fit.count("."))] if fits else None


def _beginning(name, rows):
    while name and name not in rows:
        name = name.rpartition(".")[0]
    return name


def _filled(row, stall):
    if "{" not in row:
        return row
    call = _call(stall.code)
    arguments = owner = method = "…"
    if call is not None:
        arguments = ", ".join(ast.unparse(part) for part in (*call.args, *call.keywords))
        if isinstance(call.func, ast.Attribute):
            owner, method = ast.unparse(call.func.value), call.func.attr
    elif stall.code and stall.call and stall.call.endswith("__"):
        owner = stall.code  # `for line in stream`: the line names nothing else
    if len(arguments) > LONGEST_ARGUMENTS:
        arguments = "…"
    for mark, value in (("{object}", owner), ("{method}", method), ("{args}", arguments)):
        row = row.replace(mark, one_line(value, LONGEST_ARGUMENTS))
    return row.replace(", )", ")").replace("(, ", "(")


def _call(code):
    try:
        expression = ast.parse(code.strip(), mode="eval").body
    except (SyntaxError, ValueError, AttributeError, MemoryError, RecursionError):
        return None
    if isinstance(expression, ast.Await):
        expression = expression.value
    return expression if isinstance(expression, ast.Call) else None
