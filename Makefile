# Each target sets up what it needs; see README.md.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test unit live lint format bench bench-small docs clean system

help:
	@echo "make demo          the whole product on a real Slurm on this machine; leaves build/demo/"
	@echo "make test          all tests, those on the real Slurm included"
	@echo "make unit          the fast tests only"
	@echo "make live          the tests on the real Slurm only"
	@echo "make lint          ruff, mypy, import-linter"
	@echo "make bench         benchmarks; leaves build/bench/*.json"
	@echo "make bench-small   a few cells of one: every one ends, none is falsely ok"
	@echo "make docs          write the generated pages of docs/reference again"
	@echo "make clean         remove build/ and the virtual environment"

$(INSTALLED): pyproject.toml constraints.txt | system
	@echo "== Python packages into $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,compress,openvino,web,dev]'
	@touch $@

system:
	@setup_cluster/install-system

demo: $(INSTALLED)
	@$(BIN)/python examples/demo/demo.py

test: unit live

unit: $(INSTALLED)
	tests/run tests -m "not live" -n 2

live: $(INSTALLED)
	tests/run tests/live -m live -n 3 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	@mkdir -p build/bench
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

bench-small: $(INSTALLED)
	$(BIN)/python benchmarks/compress_digits.py --work build/compress-digits-small --models cnn --check-portable \
	    --recipes auto int8-static int8-dynamic fp16

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py

clean:
	rm -rf build dist $(VENV)
