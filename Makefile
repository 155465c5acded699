# What a contributor types.  Everything is installed into $(VENV), nothing into the system; PYTHON chooses the
# interpreter: make test PYTHON=python3.13.  When it names another version than $(VENV) was made with, $(VENV) is
# made anew.

candidates = python3 python3.14 python3.13 python3.12 python3.11 python3.15 python
recent = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(candidates); do $$p -c '$(recent)' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV ?= .venv
ARGS ?=
# up to so many tests of a group that failed are run once more, alone, and named if they pass then
AGAIN ?= 0

version := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
python := $(VENV)/bin/python
pip := $(python) -m pip --disable-pip-version-check -qq
made := $(VENV)/.made-by-$(version)
sources := $(shell find src -name '*.py' -o -name '*.pxd' -o -name '*.pyi' -o -path '*/show/timeline/*') setup.py pyproject.toml

# What has to hold on every Python, in groups of about the same length; the programs in the other folders need packages
# that newer Pythons may lack.
programs := tests/apps/ tests/stress/ tests/examples/
core := tests/engine/ tests/net/ tests/offload/
cpython := tests/conformance/
around := $(filter-out $(programs) $(core) $(cpython) tests/watch/, $(wildcard tests/*/))
groups = "$(core)" $(cpython) "$(around)" then tests/watch

# Minutes each, and the same on every Python: once is enough.
long := --ignore=tests/offload/test_jobs_under_fault.py --ignore=tests/net/test_failing_system_calls.py

# A process each: what real programs leave in memory and in threads is nothing for tests that collect garbage, count
# threads, or watch.  Two of them run side by side (tools/run_groups.py); tests that watch what blocks run alone.
pytest = $(python) tools/run_groups.py --again $(AGAIN) $(1) -- $(2) $(ARGS)

.PHONY: demo test test-engine bench lint docs build check-wheel clean
.DEFAULT_GOAL := test

demo: $(VENV)/.installed  ## run a program that blocks the loop, and see which task did it
	@$(python) tools/demo.py

test: $(VENV)/.installed $(VENV)/.group-test $(VENV)/.group-apps  ## run all tests; ARGS='-k name' some
	$(call pytest,"$(core)" "$(programs)" $(cpython) "$(around)" then tests/watch)

test-engine: $(VENV)/.installed $(VENV)/.group-test  ## the loop itself and CPython's own tests of it
	$(call pytest,$(groups),$(long))

bench: $(VENV)/.installed $(VENV)/.group-apps $(VENV)/.peers  ## measure against asyncio and other loops; ARGS=--quick
	$(python) benchmarks/run.py $(ARGS)

lint: $(VENV)/.installed $(VENV)/.group-test $(VENV)/.group-lint  ## ruff, mypy, and the type stubs against the modules
	$(python) -m ruff check .
	$(python) -m mypy
	$(python) tools/check_stubs.py

docs: $(VENV)/.installed $(VENV)/.group-docs  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(python) -m mkdocs build --strict --quiet

build: $(made)  ## a source distribution and a wheel in dist/
	$(pip) install build
	$(python) -m build

check-wheel: $(made)  ## what the source distribution and the wheel hold, and what a missing compiler says
	$(pip) install build
	$(python) tools/check_wheel.py

clean:
	rm -rf $(VENV) build dist site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src \( -name '*.so' -o -name '*.c' \) -delete

$(made):
	@$(PYTHON) tools/check_machine.py
	$(PYTHON) -m venv --clear $(VENV)
	$(pip) install -U 'pip>=25.1'
	@touch $@

# The package is installed as a user would have it, not editable: what is tested is what a wheel holds.
$(VENV)/.installed: $(made) $(sources)
	@echo "building clearloop (some minutes the first time)"
	@rm -rf build/lib*  # files that were renamed would stay in the wheel
	$(pip) install --force-reinstall --no-deps .
	@touch $@

$(VENV)/.group-%: $(made) pyproject.toml
	$(pip) install --group $*
	@touch $@

# Other loops are compared with when they can be had, and left out when they cannot.
$(VENV)/.peers: $(made) pyproject.toml
	$(pip) install --group peers || echo "not all of the other loops could be installed: the table has those that are"
	@touch $@
