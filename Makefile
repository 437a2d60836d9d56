# Every target does all its own set-up: a virtual environment in .venv with the versions of requirements.lock.
#   make run    every optimizer in both frameworks on two small problems, about five minutes after the install
#   make test   the test suite, `make test-all` with the slow ones, `make test-fast` those of less than two minutes; `make browser latex` before it installs Chromium and pdflatex (Debian, as root) for the tests of the page and of the LaTeX tables
#   make bench  frameworks side by side: steps and their parts, a table a problem and optimizer: docs/benchmarking.md
#   make lint   formatting, style, imports, types
#   make asv    what a step costs at the newest commit, at most half an hour; BENCH="step.*kfac" for a part of it
#   make asv-regressions  whether HEAD is worse than BASE (HEAD^ if not given)
#   make asv-selftest  plant commits and see that these commands find them
#   make site   the documentation, the results and asv's pages as one site, in .site: any static server shows it, offline too
#   make asv-publish  the site of all results, in .asv/html: any static server shows it, offline too

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
BIN = .venv/bin
INSTALLED = .venv/.installed
DOCS = .venv/.docs
PINNED = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

BENCH ?=
BASE ?= HEAD^
HEAD ?= HEAD
SELECTED = $(if $(BENCH),--bench "$(BENCH)" --bench calibration)

# of `make bench`: cores, and the file that it keeps
THREADS ?= 1
JSON ?= results/local/bench.json

.PHONY: run test-fast test test-all browser latex lint bench asv asv-publish asv-regressions asv-selftest

run: $(INSTALLED)
	$(BIN)/optbench run quick

test-fast: $(INSTALLED)
	$(PINNED) $(BIN)/pytest -n 2 -q

test: $(INSTALLED)
	$(PINNED) $(BIN)/pytest -n 2 -q -m "not slow"

test-all: $(INSTALLED)
	$(PINNED) $(BIN)/pytest -n 2 -q -m ""

bench: $(INSTALLED)
	@mkdir -p $(dir $(JSON))
	OMP_NUM_THREADS=$(THREADS) OPENBLAS_NUM_THREADS=$(THREADS) MKL_NUM_THREADS=$(THREADS) $(BIN)/pytest -q \
		benchmarks/bench/bench_*.py --threads=$(THREADS) --benchmark-json=$(JSON) \
		--benchmark-group-by=param:problem,param:optimizer --benchmark-columns=median,iqr,min,rounds $(ARGS)

# the tests of the report page are skipped without a browser
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium; }

# the test that the LaTeX tables compile is skipped without pdflatex
latex:
	@command -v pdflatex >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends texlive-latex-recommended; }

# the package as one tree, a link for each file, for tools that find a module by its place; pip maps the folders itself
.PHONY: tree
tree: $(INSTALLED)
	@rm -rf build/tree
	@find optbench problems implementations benchmarks -name '*.py' | while read -r file; do \
		link=build/tree/optbench/$${file#optbench/}; mkdir -p $$(dirname $$link); ln -s $(CURDIR)/$$file $$link; done

lint: tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd build/tree && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml
	$(BIN)/basedpyright
	$(BIN)/cffconvert --validate

# asv's exit code does not tell whether all of it was measured: asv-check does. Calibration is measured before and after.
asv: $(INSTALLED)
	@machine=$$($(BIN)/optbench asv-machine) && asv="$(BIN)/asv run --machine $$machine --show-stderr --record-samples" && \
	{ $$asv $(SELECTED) HEAD^!; $$asv --append-samples --bench calibration HEAD^!; } ; \
	$(BIN)/optbench asv-check $(SELECTED)

asv-regressions: $(INSTALLED)
	$(BIN)/optbench regressions $(BASE) $(HEAD)

asv-selftest: $(INSTALLED)
	$(BIN)/python -m benchmarks.selftest

asv-publish: $(INSTALLED)
	$(BIN)/asv publish
	$(BIN)/optbench asv-site
	@echo "to look at it: $(BIN)/asv preview"

# the browser test is skipped without Chromium: `make browser`
.PHONY: site docs-lock
site: $(DOCS) tree
	@rm -rf .asv/html
	@$(MAKE) --no-print-directory asv-publish >build/asv-publish.log 2>&1 || { cat build/asv-publish.log; \
		echo "THE SITE IS MADE WITHOUT ASV'S PAGES: why is above, and the site says so"; }
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(PINNED) $(BIN)/pytest -q -m "" tests/docs/test_site.py
	@echo "to look at it: $(BIN)/python -m http.server --directory .site"

# the newest versions of what the site is made with
docs-lock: $(INSTALLED)
	$(BIN)/pip install --quiet --upgrade --constraint requirements.lock --editable '.[docs]'
	@head -1 requirements-docs.lock >build/docs.lock
	@$(BIN)/pip freeze --exclude-editable | sed 's/+.*//' | grep -vxFf requirements.lock >>build/docs.lock
	@mv build/docs.lock requirements-docs.lock

$(DOCS): requirements-docs.lock $(INSTALLED)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-docs.lock
	@touch $@

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found: make PYTHON=/path/to/python"; exit 1; }
	@echo "installing requirements.lock into .venv with $(PYTHON): the first time it downloads PyTorch and JAX"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
