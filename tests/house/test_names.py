"""The public names: all of asyncio's, clearloop's own instead where it has them, and types for every one of them."""

import ast
import asyncio
import importlib
import importlib.util
from pathlib import Path

import pytest

import clearloop

PACKAGE = Path(clearloop.__file__).parent
STUB = PACKAGE / "__init__.pyi"
NAMES = dict(clearloop._OWN)


@pytest.mark.parametrize("name", asyncio.__all__)
def test_every_name_of_asyncio_is_here(name):
    assert getattr(clearloop, name) is not None


@pytest.mark.parametrize("name", sorted(NAMES))
def test_own_names_are_clearloops(name):
    value = getattr(clearloop, name)
    assert value is getattr(importlib.import_module(NAMES[name]), name)
    assert value.__module__.startswith("clearloop") or value is getattr(asyncio, name, None)


def stub_names():
    found = {}
    for node in ast.walk(ast.parse(STUB.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.update({name.asname or name.name: node.module for name in node.names})
    return found


def test_own_names_are_typed_as_clearloops():
    typed = stub_names()
    assert {name for name in NAMES if not typed.get(name, "").startswith("clearloop")} == set()


def test_every_name_of_asyncio_is_typed():
    assert set(asyncio.__all__) - set(stub_names()) == set()


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


def test_stubs_stand_beside_a_module():
    for stub in PACKAGE.rglob("*.pyi"):
        module = ".".join(("clearloop", *stub.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        assert importlib.util.find_spec(module) is not None, stub
