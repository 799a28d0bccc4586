SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# A Python 3.11 under either name; `make PYTHON=/path/to/python3.11` chooses another.
is-python-3.11 = -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
PYTHON ?= $(shell for p in python3.11 python3; do $$p $(is-python-3.11) && echo $$p && break; done)

BIN := .venv/bin
# Named after what it was made from: a changed pin or dependency asks for a new one.
STAMP := .venv/.stamp-$(firstword $(shell cat constraints.txt pyproject.toml | cksum))
# Tests wait for a third of their time, so that two cores are busy with three at once.
WORKERS := 3
# For every platform, with the hashes of all their files and no address in it.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate

.PHONY: help demo test lint serve bench protos fmt setup pins

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Push 10,000 contacts to two simulated CRMs and balance the account
	$(BIN)/crmsync-server demo

test: $(STAMP) ## Run the tests but the slow ones; ARGS="-k lease" narrows, ARGS="-m slow" runs those
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow" $(ARGS)

lint: $(STAMP) ## Check style, types, import direction, dependencies and the contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/python protos/lint.py
	$(BIN)/python protos/generate.py --check

serve: $(STAMP) ## Run the server on this machine, with simulated CRMs
	$(BIN)/crmsync-server serve --sandbox $(ARGS)

bench: $(STAMP) ## Measure against peers and print the ratios
	$(BIN)/python -m benchmarks $(ARGS)

protos: $(STAMP) ## Regenerate generated/ from protos/
	$(BIN)/python protos/generate.py

fmt: $(STAMP) ## Format Python and protos in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write protos

setup: $(STAMP) ## Create .venv with every tool, at the pinned versions

pins: $(STAMP) ## Pin the newest versions that pyproject.toml allows
	$(PIN) --upgrade --extra server --extra dev -o constraints.txt pyproject.toml
	$(PIN) --extra server -c constraints.txt -o constraints-server.txt pyproject.toml
	$(PIN) -c constraints.txt -o constraints-build.txt - <<<$$'hatchling\nsetuptools\nwheel'

$(STAMP):
	@[[ -n "$(PYTHON)" ]] || { echo "crmsync needs Python 3.11: neither python3.11 nor python3 is one." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r constraints-build.txt
	$(BIN)/pip install --quiet --require-hashes --no-build-isolation -r constraints.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f .venv/.stamp-*
	@touch $@
