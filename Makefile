# Each target sets up what it needs in a fresh clone; nothing is installed outside .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test lint figures slow
help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

$(BIN)/pushforward: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(BIN)/pushforward  ## fit a flow to embedded real data and draw the report (a few minutes)
	$(BIN)/pushforward fit digits --out runs/demo --overwrite --time-limit 90s

test: $(BIN)/pushforward  ## the laws over every layer, and the rest of the default suite
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

lint: $(BIN)/pushforward  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

figures: $(BIN)/pushforward  ## the toys' gaps to their entropies and sampling times of the README (half an hour)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/models.py 8gaussians circles rings moons swissroll 2spirals pinwheel checkerboard \
		--models plane naf bnaf_plane mixture_cdf_plane --seconds 45
	$(BIN)/python benchmarks/sampling.py

slow: $(BIN)/pushforward  ## training to stated figures, kill and resume, compile, Pyro and sbi
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,adapters]'
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -n 2
