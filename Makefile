# `make demo` and `make test` do everything, from a fresh clone, on a machine with Python 3.11 or newer and nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Any of these that is 3.11 or newer and can make a virtual environment; `make PYTHON=... install` names another.
PYTHONS := python3.11 python3.12 python3 python3.13
PYTHON ?= $(shell for p in $(PYTHONS); do \
	"$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
# Pins are made by this version, in an environment of its own. It is handed a plain list, because it drops the platform
# markers of what it reads out of pyproject.toml.
PIP_TOOLS := pip-tools==7.6.2
DIRECT := import tomllib; toml = tomllib.load(open("pyproject.toml", "rb")); \
	extras = toml["project"]["optional-dependencies"]; \
	print(*toml["project"]["dependencies"], *extras["server"], *extras["push"], *extras["cpu"], *extras["analytics"], *extras["pull"], *extras["local"], *toml["dependency-groups"]["dev"], sep="\n")

.PHONY: help install test lint types imports unit soak fuzz bench demo docs format requirements clean

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## everything into .venv; does nothing when nothing has changed

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv and ensurepip is here (looked for: $(PYTHONS))" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Only what is pinned by hash is installed, and nothing from any other place.
$(VENV)/.pinned: requirements.txt | $(BIN)/python
	$(PIP) install --quiet --require-hashes --no-deps --requirement requirements.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.pinned pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

test: lint types imports unit  ## lint, types, import contracts, then every test that does not take minutes

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports --no-logo

unit: install
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not soak and not alone'
	$(BIN)/python -m pytest -m alone

soak: install  ## the tests that take minutes: kills under load, memory, long runs
	$(BIN)/python -m pytest -m soak --timeout 3600 --session-timeout 7200

fuzz: install  ## changed golden files against every parser, SECONDS=20 for each
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(SECONDS),20)

bench: install  ## every benchmark, quickly, and what was reached
	$(BIN)/python -m benchmarks

demo: install  ## servers and three robots for a minute, then what they left, over the API
	$(BIN)/python -m datamanager.simulator.demo

docs: install  ## writes the README's tables of kinds and settings anew
	$(BIN)/python docs/readme_tables.py

format: install  ## puts the code in the project's form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

requirements:  ## pins requirements.txt anew from pyproject.toml, by hash, for every platform; UPGRADE=--upgrade takes newer ones
	work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	$(PYTHON) -m venv "$$work" && \
	"$$work/bin/python" -m pip --disable-pip-version-check install --quiet --upgrade pip '$(PIP_TOOLS)' && \
	"$$work/bin/python" -c '$(DIRECT)' >"$$work/direct.in" && \
	"$$work/bin/pip-compile" --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		$(UPGRADE) --output-file requirements.txt "$$work/direct.in"

clean:  ## removes all that was made here, the environment included
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
