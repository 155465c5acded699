"""`when_imported` calls back once, at the first import that succeeds, and costs no import of its own."""

import importlib
import importlib.util
import json
import sys

import pytest

from clearloop.cli import when_imported as hooks


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(hooks, "_waiting", {})
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.modules.pop("awaited_module", None)


def test_called_after_the_import_and_once(folder):
    (folder / "awaited_module.py").write_text("value = 1")
    seen = []
    hooks.when_imported("awaited_module", lambda module: seen.append(module.value))
    assert seen == [] and "awaited_module" not in sys.modules
    importlib.reload(importlib.import_module("awaited_module"))
    assert seen == [1]


def test_looking_for_the_module_is_not_importing_it(folder):
    (folder / "awaited_module.py").write_text("value = 1")
    seen = []
    hooks.when_imported("awaited_module", seen.append)
    assert importlib.util.find_spec("awaited_module") is not None
    assert seen == []
    assert [importlib.import_module("awaited_module")] == seen


def test_an_import_that_fails_leaves_it_waiting(folder):
    source = folder / "awaited_module.py"
    source.write_text("1/0")
    seen = []
    hooks.when_imported("awaited_module", seen.append)
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("awaited_module")
    source.write_text("value = 'longer than before'")
    importlib.invalidate_caches()
    assert [importlib.import_module("awaited_module")] == seen


def test_a_module_that_is_there_already(folder):
    seen = []
    hooks.when_imported("json", seen.append)
    assert seen == [json]


def test_a_module_that_does_not_exist(folder):
    hooks.when_imported("awaited_module", pytest.fail)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("awaited_module")
