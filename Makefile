# make demo | demo-once | test | check | bench | fuzz | clean
# Each target does its own set-up: .venv, hash-pinned requirements and, where root runs it, Debian packages.
# Another interpreter: make test PYTHON=python3.12 · arguments for the program behind a target: make test ARGS="-k imap"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
ARGS ?=
PIP := .venv/bin/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore
IMAPFLOW := tests/interop/imap/imapflow
PINNED := $(PIP) --require-hashes --only-binary :all:
# published as a source archive alone: built with the tools of requirements/build.txt
SOURCE_ONLY := --no-binary dkimpy --no-build-isolation

.PHONY: help demo demo-once test check bench fuzz clean

help:
	@sed -n '1,3s/^# //p' Makefile

demo: .venv/.run
	@.venv/bin/pli demo --dir .demo $(ARGS)

demo-once: .venv/.run
	@.venv/bin/pli demo --once --dir .demo $(ARGS)

test: .venv/.dev
	@scripts/debian-packages test
	@$(MAKE) $(IMAPFLOW)/node_modules/.package-lock.json
	@.venv/bin/python -m pytest --numprocesses auto --dist loadgroup $(ARGS)

check: .venv/.dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/python -m pytest tests/architecture $(ARGS)

bench: .venv/.dev
	@scripts/debian-packages bench
	@.venv/bin/python -m bench $(ARGS)

fuzz: .venv/.fuzz
	@.venv/bin/python tests/fuzz/explore.py $(ARGS)

clean:
	@rm -rf .venv .demo .work build dist pli.egg-info $(IMAPFLOW)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/pip:
	@PYTHON=$(PYTHON) scripts/make-venv

.venv/.run: requirements/build.txt requirements/run.txt requirements/run.in pyproject.toml | .venv/bin/pip
	@echo "installing what Pli runs on"
	@$(PINNED) -r requirements/build.txt -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.run requirements/dev.txt
	@echo "installing what the checks and tests run on"
	@$(PINNED) $(SOURCE_ONLY) -r requirements/dev.txt
	@touch $@

.venv/.fuzz: .venv/.dev requirements/fuzz.txt
	@echo "installing what searches for octets that fail"
	@$(PINNED) -r requirements/fuzz.txt
	@touch $@

$(IMAPFLOW)/node_modules/.package-lock.json: $(IMAPFLOW)/package-lock.json
	@echo "installing the mail client that tests run under Node.js"
	@npm ci --silent --prefix $(IMAPFLOW)
	@touch $@
