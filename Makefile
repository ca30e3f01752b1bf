# Every target sets itself up: `make run` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt
# One process for each core, up to four (a gigabyte each); a file's tests share its fixtures.
PYTEST := $(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile
BENCHMARKS := $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py))

help:                  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: setup             ## a full report on a real model: MobileNetV2 in int8, on a microcontroller and on a GPU
	$(BIN)/fxcost report torchvision:mobilenet_v2 -i 'N,3,H,W' --at N=1,H=224,W=224 \
	  --activations int8 --weights int8 --accounting fused --target stm32h743 --target t4

test: setup            ## every test but the slow ones
	$(PYTEST)

test-slow: setup       ## the slow tests only (pytest leaves with 5 when there are none)
	$(PYTEST) -m slow || [ $$? -eq 5 ]

test-all: setup        ## every test
	$(PYTEST) -m ""

check: setup           ## format, lint, types, and whether the wheel holds what the tree holds
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_packaging.py

fix: setup             ## format, and repair what the linter can repair
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: setup           ## measurements against peers, one script after the other
	@for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

browser:               ## what the slow tests of pages need: Chromium, and with npm what drives it and looks for barriers
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || apt-get install -y --no-install-recommends chromium
	npm ci --prefix tests/browser --no-audit --no-fund

readme: setup          ## put what its commands print now into README.md, the index and the pictures into examples/
	$(BIN)/python -m tests.support.readme
	$(BIN)/python -m tests.support.tour
	$(BIN)/python -m tests.support.screenshots

docs: setup            ## the reference of every module from its docstrings, in build/docs; a warning is an error
	$(BIN)/python -m tests.support.reference

fuzz: setup            ## ten minutes of fuzzing the readers of graphs and formulas
	$(BIN)/python -m tests.fuzz.run --seconds 600

clean:                 ## remove caches and build products; .venv stays
	rm -rf .fuzz build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

setup: .venv/.ready    ## make .venv (the other targets do it by themselves)

# torchvision and timm come without their dependencies: they would ask for another torch than the CPU build.
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps torchvision timm
	touch $@

.PHONY: help run test test-slow test-all check fix bench browser fuzz clean setup
