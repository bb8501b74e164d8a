# From a bare clone: `make demo`, `make test`. All that they need is put into .venv; system packages
# by apt-get when run as root, else the missing ones are named.
#
#   PYTHON=python3.12        the Python to build for. If it has torch, that torch is used
#   TORCH=torch==2.13.0      what to install if it has none
#   TORCH_INDEX=<url>        where from, e.g. PyTorch's CPU wheel index; default: pip's own index
PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
VENV ?= .venv
JOBS ?= $(shell nproc)
ARGS ?=

BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

.PHONY: help demo build test lint bench install clean distclean
help:
	@echo "make demo       a real model, stock and on polyops"
	@echo "make test       build and run all tests, with sanitizers too"
	@echo "make lint       clang-format, ruff, mypy"
	@echo "make bench      all shapes against stock (ARGS='--op softmax --json FILE')"
	@echo "make build      polyops into $(VENV), editable"
	@echo "make install    polyops into the environment of PYTHON ($(PYTHON))"
	@echo "make clean      removes what was built; distclean: $(VENV) too"

demo: build $(VENV)/.demo
	polyops demo $(ARGS)

build: $(VENV)/.build
	$(BIN)/python -m pip install -q --no-build-isolation -e .

# oneDNN first, which comes with what tests need: the build finds it there.
test: $(VENV)/.test build $(VENV)/.demo
	.ci/test

lint: $(VENV)/.build $(VENV)/.lint
	pre-commit run --all-files

bench: build
	polyops bench --suite full --confirm $(ARGS)

install: $(VENV)/.build
	rm -rf dist
	$(BIN)/python -m pip wheel --no-build-isolation --no-deps -w dist .
	$(PYTHON) -m pip install --force-reinstall --no-deps dist/polyops-*.whl
	$(PYTHON) -m pip install dist/polyops-*.whl

clean:
	rm -rf build dist src/*.egg-info src/polyops/lib src/polyops/include src/polyops/_build.py
	rm -f src/polyops/_C*.so

distclean: clean
	rm -rf $(VENV)

# --- the virtual environment, in steps -----------------------------------------------------------

$(VENV)/.torch: .ci/venv .ci/system-packages
	.ci/system-packages "$(PYTHON)"
	.ci/venv "$(PYTHON)" "$(VENV)" "$(TORCH)" "$(TORCH_INDEX)"
	touch $@

$(VENV)/.build $(VENV)/.test $(VENV)/.lint: $(VENV)/.%: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install -q --group $*
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml | build
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[demo]'
	touch $@
