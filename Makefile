# `make demo`, `make pretrain` and `make test` do everything from a fresh clone: virtual environment,
# installation, run. Needs Python 3.11 or newer with venv and pip: PYTHON=python3.12 make test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A process per core, though each may take 4 GB; a file's tests share what they set up.
WORKERS := -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.PHONY: demo pretrain test test-slow lint lock clean

demo: $(VENV)/installed
	$(BIN)/python main.py --config=configs/demo.py --workdir=runs/demo

pretrain: $(VENV)/installed
	$(BIN)/python main.py --config=configs/pretrain.py --workdir=runs/pretrain

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(WORKERS)

# Runs of several processes, the demo, every data set, objective and experiment from end to end, the
# largest networks, versions of rendered hands, benchmarks at toy size, the fuzz, ResNet-18 on eight
# devices, learning from photographs: `pytest -m slow --collect-only` lists them. Exit code 5 of
# pytest means that no test was selected.
test-slow: $(VENV)/installed-test
	$(BIN)/python -m pytest $(WORKERS) -m slow || [ $$? -eq 5 ]

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "peclr_jax needs Python 3.11 or newer; name one: PYTHON=python3.12 make" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/installed-test: requirements-test.txt $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-test.txt
	touch $@

# Both lock files anew from the ranges in pyproject.toml, for every platform and Python we support.
# The larger one first: TFDS's command line, which the tests run, wants some older versions.
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --no-annotate --no-header
lock: $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check uv
	$(BIN)/$(LOCK) --upgrade --extra tfds --group test -o requirements-test.txt
	$(BIN)/$(LOCK) --upgrade -c requirements-test.txt -o requirements.txt

clean:
	rm -rf $(VENV) runs
