"""asyncio's modules by clearloop's name: `clearloop.tasks` and its kin have what asyncio's have, clearloop's first."""

import asyncio
import importlib
import subprocess
import sys

import pytest

import clearloop

MODULES = clearloop._MODULES


@pytest.mark.parametrize("name", MODULES)
def test_the_module_is_clearloops_before_and_after_its_names_are_used(name):
    code = (
        f"import clearloop, asyncio; first = clearloop.{name}; "
        "[getattr(clearloop, each) for each in clearloop._OWN]; "
        f"import clearloop.{name}; assert first is clearloop.{name} is not asyncio.{name}"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


@pytest.mark.parametrize("name", MODULES)
def test_everything_of_asyncios_module_is_there(name):
    theirs = getattr(asyncio, name)
    ours = getattr(clearloop, name)
    for attribute in vars(theirs):
        if not attribute.startswith("__"):
            found = getattr(ours, attribute)
            if attribute not in vars(ours):
                own = attribute in clearloop._OWN
                assert found is (getattr(clearloop, attribute) if own else getattr(theirs, attribute)), attribute


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_the_same_by_either_way(name):
    for attribute in getattr(asyncio, name).__all__:
        if attribute in clearloop._OWN:
            assert getattr(getattr(clearloop, name), attribute) is getattr(clearloop, attribute)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("attribute", ["no_such_name", "__no_such_name__"])
def test_what_nobody_has_is_an_attribute_error(name, attribute):
    module = importlib.import_module(f"clearloop.{name}")
    with pytest.raises(AttributeError, match=f"'clearloop.{name}' has no attribute '{attribute}'"):
        getattr(module, attribute)
