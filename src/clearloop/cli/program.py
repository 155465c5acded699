"""Becomes the program: `__main__`, `sys.argv` and `sys.path` as `python SCRIPT` set them, then its code.

There is no public call that does what the interpreter does with its own command line: `runpy.run_path` leaves
itself in tracebacks and takes `__main__` away again at the end, when threads and exit handlers may still need
it. So the module is made here, for good. A module run by `-m` goes through the same function of runpy that
`python -m` uses, frames included.
"""

from __future__ import annotations

import builtins
import os
import sys
import types
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from typing import Any

from clearloop.cli.traces import without_ours
from clearloop.cli.usage import UsageError

Start = Callable[[], None]


def find(words: list[str]) -> Start:
    """What starts the program that `words` name; its arguments are part of them.

    Raises UsageError when there is no such file, or the option has nothing after it. Whether a module exists
    is known only while it is being started: finding it imports its packages.
    """
    first, rest = words[0], words[1:]
    if first == "-":
        return lambda: _run_stdin(words)
    for option, run, missing in (("-m", _run_module, "a module"), ("-c", _run_code, "the code")):
        if first.startswith(option):
            joined = first[2:]
            if not joined and not rest:
                raise UsageError(f"{option} needs {missing} after it")
            name, arguments = (joined, rest) if joined else (rest[0], rest[1:])
            return lambda: run(name, arguments)
    return _find_script(first, words)


# -- the kinds of program --


def _find_script(path: str, argv: list[str]) -> Start:
    if os.path.isdir(path) or _is_zip(path):
        return lambda: _run_container(path, argv)
    # Absolute but not normalised, as the interpreter has it; tracebacks and __file__ show it.
    full = os.path.join(os.getcwd(), path)
    try:
        if path.endswith(".pyc"):
            loader: Any = SourcelessFileLoader("__main__", full)
            source = loader.get_code("__main__")
        else:
            loader = SourceFileLoader("__main__", full)
            source = loader.get_data(full)
    except OSError as error:
        raise UsageError(f"can't open file {path!r}: {error.strerror}") from None
    except ImportError as error:
        raise UsageError(f"can't run {path!r}: {error}") from None

    def run() -> None:
        sys.argv[:] = argv
        # The folder of the file that a link leads to.
        _set_path(os.path.dirname(os.path.realpath(path)))
        _execute(source, full, _new_main(__file__=full, __loader__=loader, __cached__=None))

    return run


def _is_zip(path: str) -> bool:
    if path.endswith((".py", ".pyc")) or not os.path.isfile(path):
        return False
    import zipimport

    try:
        zipimport.zipimporter(path)
    except zipimport.ZipImportError:
        return False
    return True


def _run_container(path: str, argv: list[str]) -> None:
    sys.argv[:] = argv
    _set_path(os.path.join(os.getcwd(), path), always=True)
    _new_main()
    _execute_module("__main__", alter_argv=False)


def _run_module(name: str, arguments: list[str]) -> None:
    # "-m" is what sys.argv holds while the module is looked for; runpy then puts its file there.
    sys.argv[:] = ["-m", *arguments]
    _set_path(os.getcwd())
    _new_main()
    _execute_module(name, alter_argv=True)


def _run_code(code: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-c", *arguments]
    _set_path("")
    if sys.version_info >= (3, 14) and code[:1].isspace():
        import textwrap

        code = textwrap.dedent(code)

    _execute(code, "<string>", _new_main())


def _run_stdin(argv: list[str]) -> None:
    sys.argv[:] = argv
    _set_path("")
    scope = _new_main(__file__="<stdin>", __cached__=None)
    _execute(sys.stdin.buffer.read(), "<stdin>", scope)


# -- what they share --


def _set_path(first: str, always: bool = False) -> None:
    """Put `first` where the interpreter put the folder of our own script."""
    if not sys.flags.safe_path:
        sys.path[0] = first
    elif always:
        sys.path.insert(0, first)


def _new_main(**names: object) -> dict[str, Any]:
    """Make a new `__main__`, with the names that this Python gives it, and return its dictionary."""
    main = types.ModuleType("__main__")
    scope = main.__dict__
    scope.update({"__builtins__": builtins, "__loader__": BuiltinImporter} | names)
    if sys.version_info >= (3, 15):
        scope.pop("__cached__", None)
    elif sys.version_info < (3, 14):
        scope["__annotations__"] = {}
    sys.modules["__main__"] = main
    return scope


def _show_lines(text: str, code: types.CodeType) -> None:
    """Let tracebacks show the lines of -c, as they do from 3.13 on."""
    import linecache

    # Kept by code object, in the first releases of 3.13 by file name.
    key = code if hasattr(linecache, "_interactive_cache") else code.co_filename
    linecache._register_code(key, text, code.co_filename)  # type: ignore[attr-defined]


# The frames of the next two are the last of ours: the program's tracebacks begin below them.


def _execute(source: str | bytes | types.CodeType, filename: str, scope: dict[str, Any]) -> None:
    try:
        if not isinstance(source, types.CodeType):
            text, source = source, compile(source, filename, "exec", dont_inherit=True)
            if isinstance(text, str) and sys.version_info >= (3, 13):
                _show_lines(text, source)
        exec(source, scope)
    except BaseException:
        without_ours(_execute.__code__)
        raise


def _execute_module(name: str, alter_argv: bool) -> None:
    import runpy

    try:
        runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]
    except SystemExit as error:
        here = error.__traceback__
        if here is not None and here.tb_next is not None and here.tb_next.tb_next is None:
            # Raised by runpy itself, not by the program: there is no such module.
            raise UsageError(str(error.__context__)) from None
        raise
    except BaseException:
        without_ours(_execute_module.__code__)
        raise
