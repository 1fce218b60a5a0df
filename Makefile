# Every target but clean first makes a virtual environment in .venv and installs the tested versions there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of `fuzz`: cases of each parser, the seed (by default a random one), and a failing case to run again.
CASES ?= 10000
SEED ?=
REPLAY ?=
# Of `soak`: SEED and REPLAY, a test's name as pytest prints it; further flags of the training runs.
FLAGS ?=

.PHONY: demo test fuzz soak lint clean
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
	@echo "To draw yourself: $(BIN)/python tools/serve.py, and open http://127.0.0.1:8000"

test: $(VENV)/.installed
	$(BIN)/python -m pytest

# Damages files and flags at random; failing cases are saved in fuzz_failures/. `test` runs 50 cases of each parser.
fuzz: $(VENV)/.installed
	rm -f fuzz_failures/counts.jsonl
	@seed=$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')); \
	echo "these cases again: make fuzz CASES=$(CASES) SEED=$$seed"; \
	P2P_FUZZ_CASES=$(CASES) P2P_FUZZ_SEED=$$seed P2P_FUZZ_FOLDER=fuzz_failures P2P_FUZZ_REPLAY='$(REPLAY)' \
	  $(BIN)/python -m pytest tests/fuzz -s

# Kills programs, fills disks and lets calls fail, at points that a seed decides. `test` runs a case of each kind.
soak: $(VENV)/.installed
	rm -rf soak_failures && mkdir soak_failures
	@seed=$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')); \
	echo "these cases again: make soak SEED=$$seed; one of them: REPLAY='tests/soak/...'"; \
	P2P_SOAK_SEED=$$seed P2P_SOAK_FOLDER=$(CURDIR)/soak_failures P2P_SOAK_TRAINING_FLAGS='$(FLAGS)' \
	  $(BIN)/python -m pytest '$(or $(REPLAY),tests/soak)'

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) node_modules demo fuzz_failures soak_failures build dist *.egg-info .import_linter_cache .mypy_cache .ruff_cache .pytest_cache
