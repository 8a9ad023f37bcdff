# Fine-tune Studio. `make studio` is all that is needed to start; `make test` checks everything.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable
DOCUMENTABLE := $(VENV)/.documentable
RECIPE := pyproject.toml constraints.txt scripts/install.sh

WORKFLOWS := tests/browser/test_workflows_counted.py
IN_PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: studio setup test-setup test test-quick test-matrix test-faults test-workflows test-exports test-security load-test image-check audit lint bench pictures docs docs-site clean help

studio: setup  ## set up what is missing and open the studio in the browser
	$(BIN)/studio

setup: $(INSTALLED)  ## a virtual environment with the studio and the starter models
	@$(BIN)/python -m studio.models

test-setup: $(TESTABLE)  ## what the tests need on top, a browser included

test: setup test-setup lint  ## everything that is checked
	$(BIN)/python -m pytest tests/browser tests/real tests/faults tests/unit tests/security $(IN_PARALLEL) --ignore $(WORKFLOWS)

test-quick: setup test-setup lint  ## the linters and the quick tests, in about three minutes
	$(BIN)/python -m pytest tests/unit -m "not slow" $(IN_PARALLEL)

test-matrix: setup test-setup  ## every task by every method on every family of models that it is on offer for
	STUDIO_MATRIX=all $(BIN)/python -m pytest -q --numprocesses 2 --dist load tests/real/test_matrix.py
	STUDIO_MATRIX=all $(BIN)/python -m pytest -q tests/real/test_processes.py tests/real/test_space_export.py tests/real/test_script_export.py \
	    tests/real/test_export.py tests/real/test_serve_api.py tests/real/test_worker_starters.py

test-workflows: setup test-setup  ## three workflows of a first-time user, with counted actions and whole trainings
	$(BIN)/python -m pytest $(WORKFLOWS)

test-faults: setup test-setup  ## a run under every fault, and the table of docs/background/failures.md
	STUDIO_FAULTS=all $(BIN)/python -m pytest -q --numprocesses 2 --dist load tests/faults

test-exports: setup test-setup  ## exports in the programs that use them; installs these in build/ and compiles llama.cpp
	$(BIN)/python -m pytest -q tests/exports

test-security: setup test-setup  ## the attack suite, as a table; status 1 when an attack succeeded
	$(BIN)/python -m tests.security

load-test: setup test-setup  ## a demo with 30 visitors of whom one is hostile: what the others wait for
	$(BIN)/python benchmarks/load.py

image-check: $(BIN)/python  ## the steps of the Dockerfile without a container engine, as root: IMAGE="--target cuda" for the other target
	$(BIN)/python scripts/image.py $(IMAGE)

audit: setup  ## known vulnerabilities of the packages that are installed
	$(BIN)/python scripts/audit.py

lint: setup test-setup  ## style, types and the order of layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup test-setup  ## speed and size beside plain libraries, in figures
	@failed=; for each in $$(grep -l __main__ benchmarks/*.py); do $(BIN)/python $$each || failed="$$failed $$each"; done; \
	if [ -n "$$failed" ]; then echo "Not met, or ended with an error:$$failed" >&2; exit 1; fi

pictures: setup test-setup  ## the pictures of the README, from the real page
	$(BIN)/python scripts/pictures.py

docs: setup test-setup  ## the tables in docs/ that are made from the code
	$(BIN)/python scripts/docs.py

docs-site: $(DOCUMENTABLE)  ## the docs as a searchable site in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## remove what can be made again, but not the virtual environment
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

$(BIN)/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Making $(VENV) with $$python" >&2; exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "The studio needs Python 3.11 or newer (and, on Debian and Ubuntu, python3-venv)." >&2; exit 1

$(INSTALLED): $(RECIPE) | $(BIN)/python
	@scripts/install.sh $(VENV)
	@touch $@

$(TESTABLE): $(RECIPE) scripts/chromium.sh | $(INSTALLED)
	@scripts/install.sh $(VENV) test
	@scripts/chromium.sh $(VENV)
	@touch $@

$(DOCUMENTABLE): $(RECIPE) | $(INSTALLED)
	@scripts/install.sh $(VENV) docs
	@touch $@
