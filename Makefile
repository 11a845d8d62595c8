# Each target sets up what it needs in a fresh clone; nothing is installed outside .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test lint docs figures slow bench bench-history
help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/'

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

docs: $(BIN)/pushforward  ## the site, into runs/site, with warnings as errors
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

figures: $(BIN)/pushforward  ## the toys' gaps to their entropies (half an hour)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/models.py 8gaussians circles rings moons swissroll 2spirals pinwheel checkerboard \
		--models plane naf bnaf_plane mixture_cdf_plane --seconds 45

slow: $(BIN)/pushforward  ## training to stated figures, kill and resume, compile, ONNX, Pyro, sbi and nflows, the site
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,adapters,docs,onnx,app,ray,browser]'
	$(BIN)/pip install -q -c constraints.txt --no-deps nflows  # it would bring tensorboard, which it never imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 tests/test_convert.py
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -n 2 --dist worksteal

.venv-peers/bin/pytest: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install -q -c constraints.txt -e '.[bench]'
	@touch $@

.venv-jax/ready: benchmarks/constraints-jax.txt
	$(PYTHON) -m venv .venv-jax
	.venv-jax/bin/pip install -q -c $< flowjax optax
	@touch $@

bench: .venv-peers/bin/pytest .venv-jax/ready  ## times beside other libraries, into benchmarks/RESULTS.md (a quarter of an hour); ARGS="--only 'nsf*'"
	PYTHONPATH=benchmarks .venv-peers/bin/python -W ignore -m speed $(ARGS)

bench-history: .venv-peers/bin/pytest  ## our own times, stored and compared with the run before
	.venv-peers/bin/pytest benchmarks/test_history.py -o pythonpath=benchmarks -W ignore \
		--benchmark-storage=benchmarks/history --benchmark-autosave --benchmark-compare --benchmark-columns=median,iqr,rounds
