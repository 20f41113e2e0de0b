# `make search BOARD=pynq-z2` and `make test` are all the set-up there is: .venv is made on first use.
# Variables are read from the command line only (NAME and others are common in environments).
#
# make itself ends with status 2 when a command fails; where the exit code of `flow` matters (1: nothing feasible),
# call `.venv/bin/flow` directly.

SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules
BIN := .venv/bin
UV ?= uv

# $(call given,VAR): the value of VAR if it is on make's command line, unexpanded: a dollar stays a dollar.
given = $(if $(filter command override,$(origin $(1))),$(value $(1)))
# $(call quoted,text): one word for the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'
# $(call option,flag,VAR,default): --flag='value', or nothing without a value.
option = $(if $(call given,$(2))$(3),--$(1)=$(call quoted,$(or $(call given,$(2)),$(3))))

# $(call switch,flag,VAR): --flag if VAR is given and neither 0 nor no.
switch = $(if $(filter-out 0 no,$(call given,$(2))),--$(1))

SPEC = $(call option,dataset,DATASET) $(call option,space,SPACE) $(call option,lut,LUT) $(call option,fps,FPS) \
  $(call option,latency,LATENCY) $(call option,clock,CLOCK) $(call option,sampler,SAMPLER) $(call option,jobs,JOBS)

.PHONY: help search compare bitstream ci test lint format types benchmarks lock clean
.DEFAULT_GOAL := help

help:
	@echo "make search BOARD=pynq-z2   search networks for a board (flow boards lists them)"
	@echo "                            [DATASET= SPACE= LUT= FPS= LATENCY= CLOCK= TRIALS= TIME= SEED= NAME= SAMPLER= MODE= JOBS=]"
	@echo "                            with an HLS tool on PATH, or named, what could win is synthesized: [TOOL= SYNTH_JOBS= SYNTH_MEMORY=]"
	@echo "make bitstream              make the latest run's best winner run on its board: project, and bitstream with Vivado"
	@echo "                            [BOARD= WINNER= RUN= BACKEND= CLOCK= FPS= TOOL= OUT= SEED= TIMEOUT= EMIT_ONLY=1 ILA=1 FLASH=1]"
	@echo "make ci [BOARD=pynq-z2 ...] estimator only, fixed seed, JSON on stdout, within 3 minutes: for a CI job"
	@echo "make compare                joint, separate, nested and random search at one training budget, a table and plots:"
	@echo "                            20 minutes for a data set [DATASETS=digits,mnist,cifar10 BOARD= SEEDS= MODES= SAMPLER=]"
	@echo "make test                   ruff, mypy and all tests"
	@echo "make lint | format | types  one of them; format rewrites files"
	@echo "make benchmarks             measure the published figures"
	@echo "make lock                   resolve requirements*.lock again (needs uv)"
	@echo "make clean                  remove .venv, caches and builds; runs/ stays"
	@echo "PYTHON=python3.12           the Python that .venv is made with, 3.11 to 3.13"

search: $(BIN)/main.stamp
	@$(BIN)/flow search $(call option,board,BOARD) $(SPEC) $(call option,trials,TRIALS) $(call option,time,TIME) \
	  $(call option,seed,SEED) $(call option,name,NAME) $(call option,mode,MODE) $(call option,tool,TOOL) \
	  $(call option,synth-jobs,SYNTH_JOBS) $(call option,synth-memory,SYNTH_MEMORY)

compare: $(BIN)/main.stamp
	@$(BIN)/flow compare $(call option,datasets,DATASETS) $(call option,board,BOARD) $(call option,seeds,SEEDS) \
	  $(call option,modes,MODES) $(call option,sampler,SAMPLER) $(call option,epochs-total,EPOCHS_TOTAL) \
	  $(call option,out,OUT) $(call option,docs,DOCS)

bitstream: $(BIN)/main.stamp
	@$(BIN)/flow bitstream $(if $(call given,WINNER),$(call quoted,$(call given,WINNER))) $(call option,board,BOARD) \
	  $(call option,run,RUN) $(call option,backend,BACKEND) $(call option,clock,CLOCK) $(call option,tool,TOOL) \
	  $(call option,out,OUT) $(call option,fps,FPS) $(call option,seed,SEED) $(call option,timeout,TIMEOUT) \
	  $(call switch,emit-only,EMIT_ONLY) $(call switch,ila,ILA) $(call switch,flash,FLASH)

ci: $(BIN)/main.stamp
	@$(BIN)/flow search $(call option,board,BOARD,pynq-z2) $(SPEC) $(call option,trials,TRIALS,16) --time 150 \
	  $(call option,seed,SEED,0) $(call option,name,NAME,ci) --overwrite --estimator-only --json

test: lint types
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(BIN)/dev.stamp
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || \
	  { echo "not formatted: run \`make format\`" >&2; $(BIN)/ruff format --check . >&2; exit 1; }

format: $(BIN)/dev.stamp
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

types: $(BIN)/dev.stamp
	@$(BIN)/mypy

benchmarks: $(BIN)/main.stamp
	@shopt -s nullglob; files=(benchmarks/bench_*.py); \
	  if [ $${#files[@]} = 0 ]; then echo "no benchmarks/bench_*.py" >&2; exit 1; fi; \
	  for file in "$${files[@]}"; do echo "== $$file"; $(BIN)/python "$$file" || exit; done

LOCK = $(UV) pip compile pyproject.toml --quiet --extra search --extra hls --extra rtl --universal --python-version 3.11 \
  --fork-strategy fewest --generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
lock:
	@$(LOCK) --upgrade --output-file requirements.lock
	@$(LOCK) --upgrade --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean:
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +

# A Python counts if it runs (pyenv has shims for versions that don't), is a supported version and has venv and pip.
# What is installed goes to stderr: stdout belongs to the command.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
$(BIN)/main.stamp: requirements.lock pyproject.toml
	@set -eu; \
	works() { "$$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; }; \
	if ! { works $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1; }; then \
	  python=; \
	  for candidate in $(if $(PYTHON),$(call quoted,$(PYTHON)),python3.11 python3.12 python3.13 python3); do \
	    if works "$$candidate"; then python="$$candidate"; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "no Python 3.11 to 3.13 with venv and pip found$(if $(PYTHON), as PYTHON): install one (on Debian: python3 python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making .venv with $$("$$python" --version) and installing 2.5 GB of packages: some minutes, only once" >&2; \
	  "$$python" -m venv --clear .venv; \
	fi; \
	$(PIP) install --require-hashes -r requirements.lock >&2; \
	$(PIP) install --no-deps --editable . >&2; \
	touch $@

$(BIN)/dev.stamp: requirements-dev.lock $(BIN)/main.stamp
	@$(PIP) install --require-hashes -r requirements-dev.lock >&2
	@touch $@
