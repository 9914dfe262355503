# `make demo` and `make test` need Python 3.11 or later and make; each makes .venv and installs into it if that is not done yet.

PYTHON ?= python3
BIN := .venv/bin
RUN := runs/demo
SAMPLES := examples/digits

.PHONY: demo test test-fast test-all test-keras-nightly lint docs coverage dist try-dist bench clean

demo: .venv/installed
	rm -rf $(RUN)
	$(BIN)/keras-senet train --config saved_models/seresnet20_digits/config.json --output $(RUN)
	$(BIN)/keras-senet export $(RUN)/last.keras $(RUN)/model.tflite
	$(BIN)/keras-senet export $(RUN)/last.keras $(RUN)/model_int8.tflite --quantize int8 --dataset digits
	$(BIN)/keras-senet export $(RUN)/last.keras $(RUN)/saved_model
	$(BIN)/keras-senet evaluate $(RUN)/last.keras --dataset digits
	$(BIN)/keras-senet evaluate $(RUN)/model_int8.tflite --dataset digits
	$(BIN)/keras-senet predict $(RUN)/model_int8.tflite $(SAMPLES) --picture $(RUN)/predictions.png

PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test: .venv/installed
	$(PYTEST) -m "not exhaustive"

test-fast: .venv/installed
	$(PYTEST) -m "not slow and not exhaustive"

test-all: .venv/installed
	$(PYTEST)

# The fast tests with the newest nightly build of Keras, in an environment of its own that adds only that build to .venv.
NIGHTLY := .venv-keras-nightly

test-keras-nightly: .venv/installed
	rm -rf $(NIGHTLY)
	$(BIN)/python -m venv $(NIGHTLY)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> $$($(NIGHTLY)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/base.pth
	$(NIGHTLY)/bin/python -m pip install --quiet --disable-pip-version-check --pre --no-deps --ignore-installed keras-nightly
	PYTHONPATH=$(CURDIR) $(NIGHTLY)/bin/python -c "import keras; print('Keras', keras.__version__, keras.__file__)"
	PYTHONPATH=$(CURDIR) $(NIGHTLY)/bin/python -m pytest --numprocesses 2 --dist worksteal -m "not slow and not exhaustive"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in docs/_build. Its examples are run, and the tables of its pages are counted: seven minutes and 5 GB at first.
docs: .venv/installed
	$(BIN)/python -m sphinx -W --keep-going docs docs/_build
	@echo "The site: docs/_build/index.html"

# Which lines the fast tests run: a page with all files, and a picture. There is no threshold.
coverage: .venv/installed
	mkdir -p runs/coverage
	$(BIN)/python -m coverage run --source keras_senet --data-file runs/coverage/data -m pytest -m "not slow and not exhaustive"
	$(BIN)/python -m coverage html --data-file runs/coverage/data --directory runs/coverage
	$(BIN)/python tests/coverage_picture.py runs/coverage/data runs/coverage/coverage.png

# The files of a release, in dist/.
dist: .venv/installed
	rm -rf dist
	$(BIN)/python -m build --outdir dist

# The wheel alone and with each extra, in environments of their own without constraints: half an hour.
try-dist: dist
	$(BIN)/python tests/try_wheel.py dist/*.whl dist/extras.md

# 15 minutes. TORCH_PYTHON=PATH, an interpreter that has torch and timm, adds the comparison with timm.
bench: .venv/installed
	$(BIN)/python benchmarks/all.py

clean:
	rm -rf .venv $(NIGHTLY) runs

.venv/installed: setup.cfg constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or later is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	touch $@
