"""The arrows between the rooms: who may know whom, as ARCHITECTURE.md draws it, read from every import in the sources.

The sources are read, not imported, so an import inside a function counts as well, and so does a `cimport`.
"""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

# room: the rooms that it may know, besides itself.  "loop" is what lies in the package itself: the loop, and the
# functions and classes that programs call.
ARROWS = {
    "system": set(),
    "engine": {"system"},
    "net": {"engine", "system"},
    "process": {"net", "engine", "system"},
    "offload": {"engine", "system"},
    "loop": {"net", "process", "offload", "engine"},
    "watch": {"engine", "system"},
    "show": {"watch"},
    "cli": {"show", "watch", "loop", "engine"},
    "testing": {"loop", "engine", "watch"},
}

# What one module needs of a room that is not below it, and why that is no way back.
EXCEPTIONS = {
    ("clearloop.engine.gather", "loop"): "gather() with no loop running asks clearloop.get_event_loop(), by name",
}

# `cdef extern` outside system/, and why it calls nothing.
HINTS = {"clearloop.engine.ring": "a prefetch hint to the compiler"}

# Outside the package: what a room has no business with.
FORBIDDEN = {
    "engine": {"ssl", "argparse", "subprocess", "http", "urllib", "rich", "curses", "selectors"},
    "system": {"ssl", "argparse", "subprocess", "logging", "http", "urllib", "rich", "curses"},
    "net": {"argparse", "rich", "curses"},
    "loop": {"argparse", "rich", "curses"},
}


def room_of(module):
    if module == "clearloop.__main__":
        return "cli"  # `python -m clearloop`
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ARROWS else "loop"


def sources():
    for path in sorted((SOURCE / "clearloop").rglob("*")):
        if path.suffix in (".py", ".pxd"):
            parts = path.relative_to(SOURCE).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path):
    """The full names of the modules that a source names, `from package import module` included."""
    text = path.read_text()
    if path.suffix == ".pxd":
        found = re.findall(r"^\s*from\s+([\w.]+)\s+cimport|^\s*cimport\s+([\w.]+)", text, re.MULTILINE)
        return {first or second for first, second in found}
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module)
            if node.module == "clearloop":  # a room, or a public name
                found.update(f"clearloop.{name.name}" for name in node.names)
    return {name.removeprefix("cython.cimports.") for name in found}


EVERY = list(sources())


@pytest.mark.parametrize("module, path", EVERY, ids=[str(path.relative_to(SOURCE)) for _, path in EVERY])
def test_arrows(module, path):
    room = room_of(module)
    for name in imports(path):
        if name.split(".")[0] != "clearloop":
            assert name.split(".")[0] not in FORBIDDEN.get(room, ()), f"{module} imports {name}"
            continue
        known = room_of(name)
        if known == room or known in ARROWS[room] or (module, known) in EXCEPTIONS:
            continue
        pytest.fail(f"{module} knows {name}: the arrows from {room} lead to {sorted(ARROWS[room]) or 'nobody'}")


def test_only_system_calls_c():
    """`cdef extern` stands in system/ only: there the rest of the house finds every C function that is called."""
    outside = [
        module
        for module, path in EVERY
        if path.suffix == ".pxd" and "cdef extern" in path.read_text() and room_of(module) != "system"
    ]
    assert set(outside) <= set(HINTS)


def test_exceptions_are_still_needed():
    needed = {(module, room_of(name)) for module, path in EVERY for name in imports(path)}
    assert set(EXCEPTIONS) <= needed


def test_the_test_sees_an_arrow_that_leads_back(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from clearloop import cli\n    from cython.cimports.clearloop.net.peers import x\n")
    assert {room_of(name) for name in imports(wrong)} >= {"cli", "net"}
    wrong = tmp_path / "wrong.pxd"
    wrong.write_text("from clearloop.net.transport cimport StreamTransport\ncimport clearloop.cli\n")
    assert {room_of(name) for name in imports(wrong)} == {"net", "cli"}
