# Every target does all its own set-up: a virtual environment in .venv with the versions of
# requirements.lock. What follows ## is what `make help` prints.

.DEFAULT_GOAL = help

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

# of `make bench`: cores, and the file that it keeps; what is not whole stays beside it
THREADS ?= 1
JSON ?= results/local/bench.json
PART = $(JSON).partial

.PHONY: help
help: ## say what each target does
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-16s %s\n' "$$target" "$$text"; done

# two runs at a time, each on a core of its own, where there are two cores
PAIR = $(shell [ "$$(nproc 2>/dev/null || echo 1)" -lt 2 ] || echo --workers 2)

.PHONY: run
run: $(INSTALLED) ## run every optimizer in both frameworks on two small problems, about six minutes
	$(BIN)/optbench run quick $(PAIR)

.PHONY: test-fast test test-all
test-fast: $(INSTALLED) ## test what is quick, in about 90 seconds: what plain pytest does
	$(PINNED) $(BIN)/pytest -n 2 -q

test: $(INSTALLED) ## test all but the slow ones; `make browser latex` before it, or their tests are skipped
	$(PINNED) $(BIN)/pytest -n 2 -q -m "not slow"

test-all: $(INSTALLED) ## test all, the slow ones too
	$(PINNED) $(BIN)/pytest -n 2 -q -m ""

.PHONY: references
references: $(INSTALLED) ## compute solutions on grids again, and say how far they are from those kept
	$(PINNED) $(BIN)/python -m optbench.problems.references.allen_cahn build/allen_cahn_1d.npz

.PHONY: gallery
gallery: $(INSTALLED) ## write the registry's facts and the best results into docs/gallery.md
	$(BIN)/python docs/made/gallery_page.py

.PHONY: baselines-page
baselines-page: $(INSTALLED) ## write who our baselines are compared with, and the certificates, into docs/methods/baselines.md
	$(BIN)/python docs/made/baselines_page.py

.PHONY: choose-page
choose-page: $(INSTALLED) ## write the numbers of docs/choose.md again, from the tables they stand in
	$(BIN)/python docs/made/choose_page.py

.PHONY: bench
bench: $(INSTALLED) ## compare the frameworks by steps and their parts: docs/guides/asv.md
	@mkdir -p $(dir $(JSON)) && rm -f $(PART)
	OMP_NUM_THREADS=$(THREADS) OPENBLAS_NUM_THREADS=$(THREADS) MKL_NUM_THREADS=$(THREADS) $(BIN)/pytest -q \
		benchmarks/bench/bench_*.py --threads=$(THREADS) --benchmark-json=$(PART) \
		--benchmark-group-by=param:problem,param:optimizer --benchmark-columns=median,iqr,min,rounds $(ARGS) \
		&& mv $(PART) $(JSON) \
		|| { echo "not whole: what was measured, if anything, is in $(PART); $(JSON) is as it was" >&2; exit 1; }

# On a machine that is had for minutes, without a network: its own Python with PyTorch and JAX, and
# the wheels that `make gpu-pack` has brought along from one with a network.
MINUTES ?= 8
RESULTS ?= results
PACK = build/gpu
LACKING = annotated-types pydantic pydantic_core tomli_w typing-inspection
.PHONY: gpu gpu-pack
gpu: tree ## measure on a GPU for MINUTES (8), the most telling first; goes on where it was
	@python=$$(ls $(BIN)/python python3 2>/dev/null | head -1); python=$${python:-python3}; \
	if ls $(PACK)/*.whl >/dev/null 2>&1; then $$python -m pip install --quiet --no-index --no-deps --no-compile \
		--upgrade --target build/gpu-site $(PACK)/*.whl; fi; \
	PYTHONPATH=build/tree:build/gpu-site $$python -m optbench gpu --minutes $(MINUTES) --results $(RESULTS) $(ARGS)

gpu-pack: ## fetch for Python 3.12 on Linux what a machine with PyTorch and JAX may lack, into build/gpu
	@rm -rf $(PACK) && mkdir -p $(PACK)
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_17_x86_64 \
		--dest $(PACK) $$(for name in $(LACKING); do grep -i "^$$name==" requirements.lock; done)

# apart from .venv: of what they need, some has other versions here
PEERS = build/peers/.installed
.PHONY: peers
peers: $(INSTALLED) $(PEERS) ## a step of ours beside DeepXDE's and jinns's, about six minutes
	PYTHONPATH=build/peers $(BIN)/python -m benchmarks.peers $(ARGS)

$(PEERS): benchmarks/peers/requirements.lock
	@rm -rf build/peers
	$(BIN)/pip install --quiet --no-deps --target build/peers -r benchmarks/peers/requirements.lock
	@touch $@

.PHONY: browser latex
browser: ## install Chromium (Debian, as root) for the tests of pages
	@command -v chromium chromium-browser google-chrome >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium; }

latex: ## install pdflatex (Debian, as root) for the test of the LaTeX tables
	@command -v pdflatex >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends texlive-latex-recommended; }

# for tools that find a module by its place; pip maps the folders itself
.PHONY: tree
tree: ## lay the package as one tree of links in build/tree
	@rm -rf build/tree
	@find optbench problems implementations benchmarks -name '*.py' | while read -r file; do \
		link=build/tree/optbench/$${file#optbench/}; mkdir -p $$(dirname $$link); ln -s $(CURDIR)/$$file $$link; done

.PHONY: lint imports
lint: $(INSTALLED) imports ## check formatting, style, imports, types and the citation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/cffconvert --validate

imports: $(INSTALLED) tree ## check that a room imports what lies below it, and the twins nothing of each other
	cd build/tree && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml

# all fresh: setuptools puts into a wheel what an older build left or listed
.PHONY: wheel wheel-test
wheel: $(INSTALLED) ## build the wheel into dist
	@rm -rf build/lib build/bdist.* dist pinn_optbench.egg-info
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

wheel-test: wheel ## install the wheel into environments without the repository, and use it there
	$(PINNED) $(BIN)/pytest -q tests/installed_wheel.py

# What make installs and results name. A result of other versions is another result: made again
# on purpose only. CUDA's packages are left out: they come with PyTorch on Linux alone.
.PHONY: lock
lock: ## make requirements.lock again: the newest versions that pyproject.toml's extras allow
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --editable '.[all,gpu,dev]'
	sed -n '/^#/p' requirements.lock >build/requirements.lock
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' \
		| grep -Ev '^(cuda|nvidia-[a-ln-z]|triton)' >>build/requirements.lock
	mv build/requirements.lock requirements.lock

# asv's exit code does not tell whether all of it was measured: asv-check does. Calibration is measured before and after.
.PHONY: asv asv-regressions asv-selftest asv-publish
asv: $(INSTALLED) ## measure a step at the newest commit, at most half an hour; BENCH="step.*kfac" for a part
	@machine=$$($(BIN)/optbench asv-machine) && asv="$(BIN)/asv run --machine $$machine --show-stderr --record-samples" && \
	{ $$asv $(SELECTED) HEAD^!; $$asv --append-samples --bench calibration HEAD^!; } ; \
	$(BIN)/optbench asv-check $(SELECTED)

asv-regressions: $(INSTALLED) ## say whether HEAD is worse than BASE (HEAD^ if not given)
	$(BIN)/optbench regressions $(BASE) $(HEAD)

asv-selftest: $(INSTALLED) ## plant commits and see that these commands find them
	$(BIN)/python -m benchmarks.selftest

asv-publish: $(INSTALLED) ## make asv's site of all results in .asv/html, which opens offline
	$(BIN)/asv publish
	$(BIN)/optbench asv-site
	@echo "to look at it: $(BIN)/asv preview"

# Its browser test is skipped without Chromium. Without a history to publish it has no pages of asv.
.PHONY: site docs-lock
site: $(DOCS) tree ## make documentation, results and asv's pages one site, in .site, and test it
	@rm -rf .asv/html
	@$(MAKE) --no-print-directory asv-publish >build/asv-publish.log 2>&1 || { cat build/asv-publish.log; \
		echo "ASV'S PAGES ARE MISSING OR DO NOT SHOW ALL: why is above"; }
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(PINNED) $(BIN)/pytest -q -m "" tests/docs/test_site.py
	@echo "to look at it: $(BIN)/python -m http.server --directory .site"

docs-lock: ## make requirements-docs.lock again: what the extra docs needs beside requirements.lock
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --constraint requirements.lock --editable '.[docs]'
	sed -n '/^#/p' requirements-docs.lock >build/requirements-docs.lock
	build/lock/bin/pip freeze --exclude-editable | grep -vxFf requirements.lock >>build/requirements-docs.lock
	mv build/requirements-docs.lock requirements-docs.lock

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
