# make run   set up and run the study `quickstart`
# make test  set up and run the tests
# make test-cluster  the tests on a throw-away SLURM (root, and Debian's packages: see docs/cluster.md)
# make bench what the capture costs, as ratios
# make calibrate how often intervals and verdicts are right, where the truth is known
# All need Python 3.11 or 3.12 and make; PYTHON=... picks an interpreter.

SUPPORTED = 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c $(SUPPORTED) >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: run test test-cluster bench calibrate lint format docs clean

# Another study: make run STUDY=<name>. More options for Snakemake: make run ARGS='--forceall'
STUDY ?= quickstart
run: $(VENV)/run.stamp
	$(BIN)/snakemake --cores all $(ARGS) --config study=$(STUDY)
	@$(BIN)/attention-wavelets summary results/studies/$(STUDY)

# One test to a core, four at most: each may hold a model of 0.5 GB. One file: ARGS=tests/config/test_fuzz.py
test: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

# A SLURM of its own on the loopback device, so one test at a time; `make test` skips these.
test-cluster: $(VENV)/test.stamp
	REQUIRE_SLURM=1 $(BIN)/python -m pytest tests/cluster $(ARGS)

# Cost of the capture as ratios within one run; docs/performance.md explains the table.
bench: $(VENV)/run.stamp
	PYTHONPATH=benchmarks $(BIN)/python benchmarks/bench.py $(ARGS)
	PYTHONPATH=benchmarks $(BIN)/python benchmarks/gpu.py
	PYTHONPATH=benchmarks $(BIN)/python benchmarks/inference.py --size full
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/ablation.py
	$(BIN)/python benchmarks/stages.py
	$(BIN)/python benchmarks/plan.py

# Simulations with a known truth, for minutes; docs/calibration.md explains the tables.
# A first look: make calibrate ARGS='--simulations 200 --engine 50'
calibrate: $(VENV)/run.stamp
	PYTHONPATH=benchmarks $(BIN)/python benchmarks/calibrate.py $(ARGS)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check --compact-diff Snakefile workflow
	$(BIN)/python -m pytest tests/workflow/test_lint.py

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# The tables inside docs/ that are written from the code.
docs: $(VENV)/test.stamp
	$(BIN)/python docs/generate.py

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 is needed; make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/run.stamp

# What was installed and cached here; results/ and the fetched models stay.
clean:
	rm -rf $(VENV) .snakemake .pytest_cache .mypy_cache .ruff_cache build src/*.egg-info
