# `make lab` opens the notebooks, `make test` runs all tests, `make docs` builds the documentation.
# Each sets up what it needs in $(VENV) first; a set-up that was interrupted goes on where it stopped.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab test docs check format clean

VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
# Arguments for pytest, for instance: make test ARGS="tests/test_cli.py -x"
ARGS ?=
# Notebooks in the documentation: "force" runs all, "cache" those that changed, "off" none.
EXECUTE ?= force
# Processes that share the tests; each computes with one thread.
JOBS ?= 2

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

lab: $(VENV)/.lab-ready  ## open JupyterLab on the notebooks, with the built-in model
	@echo "Starting JupyterLab; it opens in the browser within some seconds, Ctrl-C here ends it."
	@$(RUN) -m workbench.cli lab

test: $(VENV)/.dev-ready  ## run all tests: package, notebooks, and JupyterLab in a browser
	@echo "Running $(if $(ARGS),pytest $(ARGS),all tests with $(JOBS) processes: fast ones first, then slow ones, notebooks and the browser)."
	@$(RUN) -m pytest $(if $(ARGS),$(ARGS),-n $(JOBS) --dist loadfile --nbmake --nbmake-timeout=300 --timeout=600 tests notebooks)

docs: $(VENV)/.dev-ready  ## build the documentation with executed notebooks; EXECUTE=off leaves them out
	@echo "Building docs/_build/html$(if $(filter force,$(EXECUTE)), (running all notebooks takes some minutes)) ..."
	@DOCS_EXECUTE=$(EXECUTE) $(RUN) -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

check: $(VENV)/.dev-ready  ## lint and format of code and notebooks, types of the public API
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: $(VENV)/.dev-ready  ## put code and notebooks into the common format
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

clean:  ## remove the environment, caches and built files
	rm -rf $(VENV) build dist docs/_build docs/gallery .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted set-up is taken up again. Everything stands in one
# environment: what the tests need is added to what the lab needs.
$(VENV)/.lab-ready: pyproject.toml constraints.txt tools/venv.sh
	@tools/venv.sh "$(VENV)" .
	@touch $@

$(VENV)/.dev-ready: pyproject.toml constraints.txt tools/venv.sh
	@tools/venv.sh "$(VENV)" ".[dev,serve]"
	@touch $@ $(VENV)/.lab-ready
