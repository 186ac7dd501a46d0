# Every target does its own set-up: a fresh machine needs Python 3.11 or newer, make and pip.
PYTHON ?= python3
BIN := .venv/bin
PROJECTS := core/pyproject.toml plait-all/pyproject.toml $(wildcard plugins/*/*/pyproject.toml)

.PHONY: help setup demo test interop bench check docs lock format clean

help:
	@echo "make setup    .venv with the command mesh and every plugin"
	@echo "make demo     watch requests pass through real sidecars"
	@echo "make test     the tests that need nothing but this checkout"
	@echo "make interop  install the real peers, then the tests against them"
	@echo "make bench    measure Plait beside Envoy, HAProxy, nginx and others"
	@echo "make check    ruff, mypy, import-linter"
	@echo "make docs     the documentation, into docs/_build"
	@echo "make lock     renew requirements.lock from the pyproject files"

setup: .venv/.stamp

.venv/.stamp: requirements.lock pyproject.toml $(PROJECTS) tools/setup
	@PYTHON="$(PYTHON)" tools/setup
	@touch $@

demo: setup
	$(BIN)/mesh demo

test: setup
	$(BIN)/python -m pytest -m "not interop"

interop: setup
	tools/peers
	$(BIN)/python -m pytest -m interop

bench: setup
	tools/peers
	$(BIN)/python -m bench

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/.stamp-docs: .venv/.stamp docs/requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r docs/requirements.lock
	@touch $@

docs: .venv/.stamp-docs
	$(BIN)/python -m sphinx -E -W --keep-going -b html docs docs/_build

lock:
	@PYTHON="$(PYTHON)" tools/lock

clean:
	rm -rf .venv .venv-bootstrap .venv-lock .peers docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
