# Gatepost: every command a developer needs. `make help` prints this list.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help dev demo test check fix interop bench torture bench-crypto bench-pki conformance fuzz docs clean

help: ## Print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Gatepost needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Some networks answer with a certificate of their own, known to the system but not to uv.
SYNC = export UV_PROJECT_ENVIRONMENT=$(VENV); set -- sync --quiet --locked --inexact --python $(BIN)/python

$(RUNS): pyproject.toml uv.lock | $(VENV)/bin/uv
	@$(SYNC) --no-dev; $(BIN)/uv "$$@" 2>/dev/null || $(BIN)/uv "$$@" --system-certs
	@touch $@

$(READY): pyproject.toml uv.lock | $(VENV)/bin/uv
	@$(SYNC); $(BIN)/uv "$$@" 2>/dev/null || $(BIN)/uv "$$@" --system-certs
	@touch $@ $(RUNS)

dev: $(READY) ## Build the virtual environment with the locked dependencies

demo: $(RUNS) ## Two companies on this machine: watch a mail leave encrypted and arrive verified
	$(BIN)/gatepost demo $(if $(PORT),--port $(PORT))

test: $(READY) ## Run the tests (those whose peer program is absent are skipped, with the reason)
	$(BIN)/pytest -n auto

check: $(READY) ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY) ## Format and repair what can be repaired by machine
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

interop: $(READY) ## Only the tests against independent programs (OpenSSL, gpgsm, NSS, BouncyCastle, Postfix)
	GATEPOST_REQUIRE_PEERS=1 $(BIN)/pytest -n auto -m peer

bench: $(READY) ## Measure against Postfix and the openssl pipe recipe, in one interleaved run
	$(BIN)/python -m benchmarks

bench-crypto: $(READY) ## Measure CMS against its primitives, and the memory for a mail of 1 GiB
	$(BIN)/python -m benchmarks.crypto

bench-pki: $(READY) ## Measure choosing certificates, a long revocation list, and a directory of a million (minutes)
	$(BIN)/python -m benchmarks.pki
	$(BIN)/python -m benchmarks.directory

torture: $(READY) ## Break everything on purpose, in full: kills, faults, parted nodes, crowds (over an hour; needs root)
	GATEPOST_TORTURE=full GATEPOST_REQUIRE_PEERS=1 $(BIN)/pytest -p no:randomly -o log_cli=true -o log_cli_level=info \
		--show-capture=no --durations=0 --durations-min=5 --session-timeout=5400 \
		tests/crash tests/load tests/contract/test_postgres_kill.py; broken=$$?; \
		$(BIN)/python -m tests.fuzz.smtp_sessions 1000000 && exit $$broken

conformance: $(READY) ## Run the message corpus and print a table per source
	$(BIN)/python -m tests.conformance

fuzz: $(READY) ## Search every parser with a coverage-guided fuzzer (MINUTES=30 of CPU time each)
	for one in ber mime header smime tnef certificate vault line lookup enrol record; do nice -n 19 $(BIN)/python -m tests.fuzz $$one --cpu-minutes $(or $(MINUTES),30) || exit 1; done

docs: $(READY) ## Regenerate the reference pages and the picture of the demo page
	$(BIN)/python scripts/make-docs

clean: ## Remove everything that can be rebuilt
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
