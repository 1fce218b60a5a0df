# Every target but clean first makes a virtual environment in .venv and installs the tested versions there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

$(VENV)/.installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

# Makes a small data set, trains on it, translates its test images, evaluates them, and names the page to open.
demo: $(VENV)/.installed
	$(BIN)/python data/make_facades.py --output_dir demo/facades --train 200 --test 12 --size 128
	$(BIN)/python tools/train.py --input_dir demo/facades/train --output_dir demo/run --crop_size 128 \
	  --ngf 32 --ndf 32 --max_steps 1000
	$(BIN)/python tools/test.py --input_dir demo/facades/test --checkpoint demo/run --output_dir demo/result
	$(BIN)/python tools/evaluate.py --results_dir demo/result
	@echo "Open $(CURDIR)/demo/result/index.html"

test: $(VENV)/.installed
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo build dist *.egg-info .import_linter_cache .mypy_cache .ruff_cache .pytest_cache
