# `make demo` and `make test` work from a bare clone: each sets up .venv first.
PYTHON ?= python3
VENV := .venv
# Processes of the tests; each takes up to 2 GB.
TEST_JOBS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test bench check lint types format docs lock audit clean

help:
	@echo "make setup   create $(VENV) with the pinned set"
	@echo "make demo    phantom patients through every stage, with reports"
	@echo "make test    the tests (under ten minutes on two cores)"
	@echo "make bench   measure against other libraries, write docs/benchmarks.md (ONLY=\"metrics scaling\": these)"
	@echo "make check   format, lint, import rules, types, tests, docs"
	@echo "make docs    build docs/_build/html"
	@echo "make lock    write requirements.lock: the core set with digests (asks the package index)"
	@echo "make audit   look for known vulnerabilities in requirements.lock (asks the network)"
	@echo "make clean   remove $(VENV) and build products"

setup: $(READY)

# torch comes first: a CPU wheel must be in place before anything that depends on torch is resolved.
# dynamic-network-architectures (an oracle of the tests) depends on torchvision and timm, whose wheels
# do not import beside a CPU build of torch, so it is installed without its dependencies.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps dynamic-network-architectures
	touch $@

demo: setup
	$(BIN)/lymphct demo

# Code is kept compiled: two processes collect the tests, and many tests start the program.
test: setup
	env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal

bench: setup
	$(BIN)/python benchmarks/suite.py $(if $(ONLY),--only $(ONLY))

check: lint types test docs

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# Tools with a surface of their own live apart from what they look at.
$(VENV)/tools/bin/%: | $(READY)
	test -x $(VENV)/tools/bin/python || $(PYTHON) -m venv $(VENV)/tools
	$(VENV)/tools/bin/python -m pip install --quiet --disable-pip-version-check $*

lock: $(VENV)/tools/bin/uv
	$(PYTHON) benchmarks/lock.py --uv $(VENV)/tools/bin/uv

# Strict: a release that could not be looked up is a finding, too.
audit: $(VENV)/tools/bin/pip-audit
	$(VENV)/tools/bin/pip-audit --strict --require-hashes --disable-pip -r requirements.lock

clean:
	rm -rf $(VENV) build docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
