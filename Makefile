# `make run` opens the program, `make test` checks it, `make quick` in under a minute; each sets up what it needs in .venv.
PYTHON ?= python3
ARGS ?=
# A C++ compiler for every system, only for releases.
ZIG := ziglang==0.17.0
VENV := .venv/bin

QUICK := tests/session tests/runs tests/video tests/metrics tests/test_imports.py tests/ops/test_ops_golden.py \
         tests/networks/test_stylegan2.py tests/networks/test_stylegan3.py tests/networks/test_sampling.py

.PHONY: run quick test bench kernels format soak clean
export OMP_WAIT_POLICY = passive

run:
	@$(PYTHON) tools/setup.py
	@$(VENV)/python visualizer.py $(ARGS)

quick:
	@$(PYTHON) tools/setup.py --tests
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	OMP_NUM_THREADS=1 $(VENV)/python -m pytest -n 2 $(QUICK)

test:
	@$(PYTHON) tools/setup.py --tests
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/basedpyright
	OMP_NUM_THREADS=1 $(VENV)/python -m pytest -n 2 --dist loadfile

bench:
	@$(PYTHON) tools/setup.py
	$(VENV)/python -m benchmarks $(ARGS)

kernels:
	@$(PYTHON) tools/setup.py
	$(VENV)/python -m pip install --quiet --disable-pip-version-check $(ZIG)
	$(VENV)/python -m ops.kernels.cpu.cross_build

format:
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .

soak:
	@$(PYTHON) tools/setup.py --tests
	OMP_NUM_THREADS=1 $(VENV)/python -m pytest -m soak

clean:
	rm -rf .venv out .pytest_cache .ruff_cache
