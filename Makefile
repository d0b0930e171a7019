# The developer's interface. A stamp in the virtual environment says that its set-up is done; it is
# done again when setup.cfg or pyproject.toml changes.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=

py := $(VENV)/bin/python
pip_install := $(py) -m pip install --quiet --disable-pip-version-check
input := {"start": "2026-01-01", "end": "2026-01-31"}

.PHONY: run test check check-code check-tests bench bench-quick docs clean

run: $(VENV)/.ready-flows  ## January x 250 countries on 16 processes
	$(py) -m garcon.pool flows.metrics --procs 16 --engine local --input '$(input)'

test: $(VENV)/.ready-test  ## the whole suite
	$(py) -m pytest $(PYTEST_ARGS)

check: $(VENV)/.ready-dev  ## format, lint, types, the site of docs/, pure tests; two at a time
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-tests check-code

check-code:
	$(py) -m ruff format --check .
	$(py) -m ruff check .
	$(py) -m mypy
	$(py) -m mkdocs build --strict

check-tests:
	$(py) -m pytest -q tests/unit

bench: $(VENV)/.ready-bench  ## the figures of docs/, against others: 45 minutes of a quiet machine
	$(py) -m benchmarks

bench-quick: $(VENV)/.ready-bench  ## the same with few instances and one run: whether all of it works
	$(py) -m benchmarks --quick

docs: $(VENV)/.ready-dev  ## the parts of docs/ made from the code, then all of it in build/site
	$(py) -m docs.make
	$(py) -m mkdocs build --strict

clean:  ## forget the virtual environment
	rm -rf $(VENV)

$(VENV)/.made:
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@# An editable install from pyproject.toml needs pip 21.3; early Python 3.10 brings 21.2.
	@$(pip_install) 'pip >= 22'
	@touch $@

$(VENV)/.ready-flows: extras := flows
$(VENV)/.ready-test: extras := flows,test
$(VENV)/.ready-bench: extras := flows,test,bench
$(VENV)/.ready-dev: extras := flows,test,dev

$(VENV)/.ready-%: $(VENV)/.made setup.cfg pyproject.toml
	@echo "installing garcon[$(extras)] into $(VENV)"
	@$(pip_install) --editable '.[$(extras)]'
	@touch $@
