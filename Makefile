# Every target sets up what it needs: a virtual environment in .venv, with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all lint format docs clean

help:                ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/base: setup.cfg pyproject.toml constraints.txt
	@echo "Setting up .venv; downloading and installing (torch among others) takes several minutes ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

.venv/dev: .venv/base
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/base     ## the whole chain on the demo market, from data to tear-sheet
	$(BIN)/ashare demo

test: lint           ## everything that must hold on every commit
	$(BIN)/pytest -n 2 -m 'not slow'

test-all: lint       ## the same with the long enumerations
	$(BIN)/pytest -n 2

lint: .venv/dev      ## style, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy engine bundles strategies benchmarks
	$(BIN)/lint-imports

format: .venv/dev    ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/base     ## the documentation as a site, in build/docs
	$(BIN)/pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs
	@echo build/docs/index.html

clean:               ## remove what the targets made, the demo's data too
	rm -rf .venv .demo .bench build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
