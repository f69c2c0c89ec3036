# Two commands to begin with: `make demo` and `make test`. Both set up what they need in .venv/.
# TORCH may name another build, for example the CPU-only one:
#   make demo TORCH="torch==2.13.0 --index-url <address of PyTorch's CPU wheels>"
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint labs book student grade bench clean

help:  ## what each target does
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(READY)  ## the virtual environment with everything (the other targets call it)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "factorkit needs Python 3.11 to 3.13, $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing packages into $(VENV) (a few minutes, once)"
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: $(READY)  ## a whole course round on a sample class: release, grade, leaderboard, feedback, site
	$(BIN)/autograder demo

test: $(READY) lint  ## every check: style, drift of the labs, unit, lab, site and whole-course tests
	$(BIN)/python -m pytest --numprocesses $$($(PYTHON) -c 'import os; print(min(os.cpu_count() + 1, 4))') --dist loadfile

lint: $(READY)  ## style, lab sources, drift between solutions/ and labs/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/autograder lint

labs: $(READY)  ## regenerate labs/ from solutions/
	$(BIN)/autograder build

book: $(READY)  ## build the site into _build/html
	$(BIN)/autograder site

student: $(READY)  ## write what students get into _build, as a folder and a zip
	$(BIN)/autograder student

grade: $(READY)  ## grade one lab: make grade LAB=lab01_convolutions
	$(BIN)/autograder grade $(LAB)

bench: $(READY)  ## measure the kit beside its peers (installs them first)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## remove built output (keeps .venv and grading/)
	rm -rf _build *.egg-info .pytest_cache .ruff_cache .hypothesis
