# `make demo` and `make test` set up everything on a fresh machine with Python and make.
PYTHON ?= python3
VENV := .venv
# Windows keeps a virtual environment's programs in Scripts.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# The wheel that pip's index offers; for another build say e.g.
#   make TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu" test
TORCH ?= torch==2.13.0
# One process for each core, four at most, each with one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: demo test test-slow test-all lint types results install clean

demo: install
	@echo "==> Making images, training, evaluating on unseen images"
	$(BIN)/blemish demo --output demo --overwrite

test: install
	@echo "==> Running the tests"
	$(PYTEST) -m "not slow"

test-slow: install
	@echo "==> Running the slow tests"
	$(PYTEST) -m slow

test-all: install
	@echo "==> Running all tests, the slow ones too"
	$(PYTEST)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

results: install
	$(BIN)/python benchmarks/results.py

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "==> Creating $(VENV) and installing Blemish with its extras train, timm and dev"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,timm,dev]"
	@touch $@

clean:
	rm -rf $(VENV) demo build dist src/*.egg-info
