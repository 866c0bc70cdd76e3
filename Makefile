# Everything starts from a fresh clone: each target sets up .venv first, from the pinned requirements.lock.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV     := $(BIN)/uv
# Two files of tests at a time, long ones first: most of them wait for processes as much as they compute.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
# Debian packages that the tests use beside Python's own (grows with the engines).
SYSTEM_PACKAGES := git slurm-wlm slurmdbd munge mariadb-server
# What Debian would start with them, now and at every boot; the tests start their own.
SYSTEM_SERVICES := munge mariadb

.DEFAULT_GOAL := help
.PHONY: help setup demo slurm ray test test-full check format lock bench bench-slurm bench-ray bench-gpu wheel system clean

help:  ## what can be made
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z.-]+):.*## /\1\t/' | expand -t 14

setup: $(READY)  ## .venv with all that the lock names

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "Setting up $(VENV), once: about 6 GB, most of it PyTorch and its CUDA libraries; 5 to 10 minutes with a good line." >&2
	@echo "1/3 a virtual environment with uv, which installs the rest …" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^[^ ]/{take = /^uv==/} take' requirements.lock > $(VENV)/uv.lock
	@packages="up to $$(grep -c '^[a-z0-9]' requirements.lock) packages: this is what takes long"; project="3/3 orchestrator itself …"; \
	if $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock; then \
	  echo "2/3 $$packages …" >&2 \
	  && $(UV) pip install --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock \
	  && echo "$$project" >&2 \
	  && $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . ; \
	else \
	  echo "2/3 uv is not to be had; pip installs $$packages …" >&2; \
	  $(BIN)/python -m pip install --require-hashes --no-deps -r requirements.lock \
	  && echo "$$project" >&2 \
	  && $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . ; \
	fi
	@# Ranks, trials and commands are processes: where Python may not write bytecode, each would compile all this anew.
	@$(BIN)/python -m compileall -q orchestrator
	@touch $@
	@echo "Ready: source $(BIN)/activate" >&2

demo: setup  ## the main job: a RegNet search from YAML to EDF, on this machine
	@PATH="$(CURDIR)/$(BIN):$$PATH" orchestrator submit workloads/regnet_sweep.yaml --watch

slurm:  ## a real Slurm on this machine: docs/slurm.md
	@cluster/slurm/dev-cluster up

ray: setup  ## a real Ray of several nodes on this machine: docs/ray.md
	@cluster/ray/dev-cluster up

test: setup  ## the tests, as CI runs them
	@$(BIN)/python -m pytest $(PARALLEL)

test-full: setup  ## the tests with every matrix in full
	@ORCHESTRATOR_TEST_FULL=1 $(BIN)/python -m pytest $(PARALLEL)

check: setup  ## formatting, lint, types, layers
	@$(BIN)/ruff format --check --quiet . || { echo "make format mends the formatting" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup  ## format and mend what can be mended
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: setup  ## resolve all versions anew
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 --extra all --upgrade --output-file requirements.lock pyproject.toml
	@cp requirements.lock benchmarks/requirements.lock && $(UV) pip compile --quiet --universal --generate-hashes --no-header \
	  --no-annotate --python-version 3.11 --extra train --extra bench \
	  --override benchmarks/overrides.txt --output-file benchmarks/requirements.lock pyproject.toml

.venv-bench: setup benchmarks/requirements.lock  ## the peers that benchmarks/ measures, in an environment of their own
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $@
	@$(UV) pip install --quiet --python $@/bin/python --no-deps --require-hashes -r benchmarks/requirements.lock
	@$(UV) pip install --quiet --python $@/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

bench: .venv-bench  ## all benchmarks that need neither a GPU, Slurm nor a Ray cluster, beside their peers (takes long)
	@for script in cli_latency checkpoint elastic_overhead elastic_resize schedule; do $(BIN)/python benchmarks/$$script.py || exit 1; done
	@for script in benchmarks/data_*.py; do .venv-bench/bin/python $$script || exit 1; done

bench-slurm: setup  ## launches to a real Slurm on this machine, beside submitit and sbatch (needs make system)
	@$(BIN)/python benchmarks/slurm_submit.py

bench-ray: setup  ## launches and searches on a real Ray of several nodes on this machine, beside Ray alone
	@for script in ray_launch search_overhead; do $(BIN)/python benchmarks/$$script.py || exit $$?; done

bench-gpu: setup  ## training on this machine's GPU, beside a plain PyTorch loop
	@$(BIN)/python benchmarks/gpu_training.py

wheel: setup  ## dist/orchestrator-*.whl
	@$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python

system:  ## Debian packages that the tests use
	@missing=""; for p in $(SYSTEM_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing || exit 1; \
	  for s in $(SYSTEM_SERVICES); do case "$$missing" in *" $$s"*) \
	    if [ -d /run/systemd/system ]; then systemctl disable --quiet --now $$s || true; else service $$s stop >/dev/null 2>&1 || true; fi ;; esac; done; \
	else echo "as root: apt-get install$$missing" >&2; exit 1; fi

clean:  ## what was built; the state directory and its jobs stay
	@rm -rf $(VENV) .venv-bench dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
