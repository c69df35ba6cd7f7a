# jobsd: everything a developer types. Needs Python 3.11+ with venv, and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo dev fmt lint types layers check test mutants expressions chaos bench bench-quick bench-long bench-limits bench-hog bench-schedules bench-docs flame clean

help:  ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything the project needs

# Installed aside and stamped last: an interrupted install is repeated, not believed.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11; name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: setup  ## the main job on real input, start to end, in under a minute
	@$(BIN)/python -m demo

dev: setup  ## the demo's shop with the daemon left running
	@$(BIN)/python -m demo --keep

fmt: setup  ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet . || true

lint: setup  ## ruff: format and rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: setup  ## basedpyright, strict, over jobsd/, tasks/ and the calls that must pass
	@$(BIN)/basedpyright --level error

layers: setup  ## import contracts between the floors
	@$(BIN)/lint-imports --no-cache

check: lint types layers  ## what CI checks before the tests, in its order

test: setup  ## the test suite, on a real Valkey and a real Postgres
	@$(BIN)/pytest -n 2 --dist worksteal

mutants: setup  ## every fault that the model-based test is to see, also those that it seldom meets
	@JOBSD_MODEL_MUTANTS=all $(BIN)/pytest tests/model/test_mutants.py

expressions: setup  ## when schedules are due, around every change of every zone's clock, in twenty minutes
	@JOBSD_EXPRESSIONS=all $(BIN)/pytest -n 2 -s tests/expressions/test_against_a_scanner.py

chaos: setup  ## the long runs with faults, in half an hour
	@$(BIN)/python -m tests.chaos

bench: setup  ## how fast it is beside arq, in one run of some minutes
	@$(BIN)/python -m benchmarks

bench-quick: setup  ## the same with less of everything, in under two minutes
	@$(BIN)/python -m benchmarks --quick

bench-long: setup  ## a backlog of a million jobs, with records and without
	@$(BIN)/python -m benchmarks --only long --rounds 1

bench-limits: setup  ## what limits cost that never bite, in seven rounds
	@$(BIN)/python -m benchmarks --only limits --rounds 7

bench-hog: setup  ## what others feel of a job that takes a CPU, in five rounds
	@$(BIN)/python -m benchmarks --only hog --rounds 5

bench-schedules: setup  ## 10,000 schedules in a daemon, and how late runs begin, in twenty minutes
	@$(BIN)/python -m benchmarks --only schedules,lateness --rounds 1

bench-docs: setup  ## the last run's figures into docs/performance.md
	@$(BIN)/python -m benchmarks --write-docs

flame: setup  ## a flame graph of a worker's hot path
	@$(BIN)/python -m benchmarks.flame

clean:  ## remove .venv, caches and the demo's data
	@rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .demo .jobsd build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
