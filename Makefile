# `make demo` and `make test` are the two commands; each prepares all it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
ARGS ?=

.PHONY: demo test check soak bench clean
.DEFAULT_GOAL := test

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Calliope needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready  ## three replicas, three processes: lost, killed, healed, compared; ARGS="--input FILE …"
	$(BIN)/python -m examples.demo $(ARGS)

test: $(VENV)/.ready  ## everything that ends within five minutes on two cores
	$(BIN)/python -m pytest -n $(WORKERS) -m "not soak" $(ARGS)

soak: $(VENV)/.ready  ## what takes longer: many examples, kill and damage sweeps
	$(BIN)/python -m pytest -n $(WORKERS) -m soak $(ARGS)

check: $(VENV)/.ready  ## ruff, mypy --strict, the arrows between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready  ## tables of ratios against peers and physical limits, all in one run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
