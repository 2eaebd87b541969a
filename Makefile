# Everything needs Python >= 3.11 and make, nothing else: see `make help`.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
# Tests start hundreds of processes: what these import is compiled once, whatever the machine's habit.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help env demo check test test-long test-all docs linkcheck lock changelog clean

FIND_PYTHON = for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)' 2>/dev/null && break; done
PYTHON := $(or $(PYTHON),$(shell $(FIND_PYTHON)))
# The uv on PATH if it runs, else a private one.
UV := $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),$(CURDIR)/.uv/bin/uv)
BIN := .venv/bin
WHEEL_INPUTS := pyproject.toml README.md LICENSE $(shell find src -name __pycache__ -prune -o -print)
PYTEST := $(BIN)/python -m pytest -n 2
SPHINX := $(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet
LONG_BUDGET ?= 10
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(UPGRADE)
CLIENT_RELEASES := 0.13.0 0.13.2

help:
	@echo 'make demo       load a real data set through a real server and read it back'
	@echo 'make test       lint, types, tests: about eleven minutes on two cores'
	@echo 'make test-all   the same, then everything slow, PostgreSQL, and the long suites'
	@echo 'make env        only the environment: .venv, with maxlake installed from its wheel'
	@echo 'make docs       the guide, as HTML in build/docs (make linkcheck: do its links lead somewhere?)'
	@echo 'make lock       write requirements/*.txt again (UPGRADE=--upgrade takes newer releases)'
	@echo 'make changelog  turn news/ into CHANGELOG.md (VERSION=x.y.z)'
	@echo 'make clean      remove what the other targets made'

env: .venv/wheel.stamp

$(CURDIR)/.uv/bin/uv: requirements/uv.txt tools/get_uv.py
	@test -n '$(PYTHON)' || { echo 'maxlake needs Python 3.11 or newer, named python3 or python3.X' >&2; exit 1; }
	$(PYTHON) tools/get_uv.py .uv requirements/uv.txt

.venv/requirements.stamp: requirements/dev.txt requirements/build.txt | $(UV)
	@test -n '$(PYTHON)' || { echo 'maxlake needs Python 3.11 or newer, named python3 or python3.X' >&2; exit 1; }
	$(UV) venv --quiet --clear --python '$(PYTHON)' .venv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --only-binary :all: -r requirements/build.txt
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --no-build-isolation requirements/dev.txt
	@touch $@

# The wheel, not an editable install: PyODPS is a regular package, so only an installed
# wheel can lay odps/apis/storage_api_v2 into it (docs/design.md).
.venv/wheel.stamp: .venv/requirements.stamp $(WHEEL_INPUTS)
	rm -rf build/wheel
	$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir build/wheel
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --reinstall build/wheel/maxlake-*.whl
	@touch $@

demo: env
	$(BIN)/maxlake demo

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

test: check
	$(PYTEST) -m 'not slow and not long'

# What `make test` left out: what is slow, and the suites that work for as long as they are given.
test-long: env
	MAXLAKE_TEST_BUDGET='$(LONG_BUDGET)' $(PYTEST) -m 'slow or long'

test-all: test test-long

docs: env
	$(SPHINX) -b html docs build/docs

# Asks every site that the guide links to: not for CI, which must not depend on them.
linkcheck: env
	$(SPHINX) -b linkcheck docs build/linkcheck

lock: | $(UV)
	echo uv | $(LOCK) - -o requirements/uv.txt
	$(LOCK) pyproject.toml --all-extras --group dev requirements/build.in -o requirements/dev.txt
	$(LOCK) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/client.txt
	$(LOCK) pyproject.toml --extra server --extra postgresql -c requirements/dev.txt -o requirements/server.txt
	for release in $(CLIENT_RELEASES); do \
		echo "pyodps==$$release" | $(LOCK) - requirements/clients.in -o requirements/clients-$$release.txt || exit 1; done

changelog: env
	$(BIN)/towncrier build --yes --version '$(VERSION)'

clean:
	rm -rf .venv .uv .cache build
