# Needs make and Python 3.11 or later with its venv module; everything else goes into .venv.

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# Some machines forbid it, and then each command of the tests compiles all of barfill anew.
export PYTHONDONTWRITEBYTECODE :=
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(PYTHON) -m pip --quiet

.PHONY: help setup demo test check bench bench-smoke torture torture-short mutations docs

help:
	@echo "make setup        .venv with barfill and its tools (.venv/bin/barfill)"
	@echo "make demo         a filled database from a simulated exchange, or from Alpaca with your keys"
	@echo "make test         all tests"
	@echo "make check        format, lint, types, layers, references, then all tests"
	@echo "make bench        speed and calls, measured (bench-smoke: the short form)"
	@echo "make torture      kills, freezes, cuts and lies while work flows (torture-short: the short form)"
	@echo "make mutations    takes away what keeps the data right, piece by piece: a named test must fail for each"
	@echo "make docs         writes the generated references in docs/reference"

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml scripts/find-python
	@python=$$(sh scripts/find-python) && { test -x $(PYTHON) || "$$python" -m venv $(VENV); }
	@echo "Installing barfill and its tools into $(VENV) ..."
	@$(PIP) install --no-deps --require-hashes -r requirements.lock  # the lock is whole: nothing is left to resolve
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) check
	@touch $@
	@echo "Ready: $(VENV)/bin/barfill --help"

demo: setup
	@$(PYTHON) scripts/demo.py

# The core is pure, so its own tests must cover it; tracing the others, too, would take a quarter longer.
# These wait for other processes a third of the time: three at once keep two cores busy.
test: setup
	$(PYTHON) -m pytest -n 2 -q --cov --cov-report=term tests/core
	$(PYTHON) -m pytest -n 3 -q --dist worksteal --durations=25 --ignore=tests/core

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) scripts/write_references.py --check
	$(MAKE) test

bench: setup
	$(PYTHON) -m bench

bench-smoke: setup
	$(PYTHON) -m bench --smoke

torture: setup
	$(PYTHON) -m torture

torture-short: setup
	$(PYTHON) -m torture --short $(SCENARIOS:%=--scenario %)

mutations: setup
	$(PYTHON) -m torture.mutations

docs: setup
	$(PYTHON) scripts/write_references.py
