# Two commands are enough: `make demo` and `make test`. Each does all set-up on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
INPUTS ?= 100000

.PHONY: setup demo test test-slow faults docs lint clean help

help:
	@echo "make demo   learn the solar system from the real ephemeris and judge the simulator (about 2 minutes)"
	@echo "make test   the whole test suite, lint, types and import contracts; in two processes, or WORKERS=8"
	@echo "make test-slow  the tests that take longest: whole examples, long orbits, a real compilation"
	@echo "make faults  every fault of the table, forty trainings killed at random moments, and 100 000 spoilt inputs"
	@echo "make docs   the documentation as a site for the file system: site/index.html"
	@echo "make setup  only the environment: $(VENV)"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "simlearn needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no ensurepip, so it cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv"; exit 6; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,ephemeris,graph,parquet,powergrid]"
	@touch $@

demo: $(STAMP)
	@SIMLEARN=$(BIN)/simlearn sh examples/solar_system.sh

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

faults: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults --kills 40
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.fuzz --inputs $(INPUTS) --out

docs: $(STAMP)
	@$(BIN)/python -c 'import material' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
