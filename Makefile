# The README's commands. Each installs what it needs: .venv is made anew whenever the constraints or pyproject.toml change. To compile all that is
# installed takes minutes, so Python compiles what is imported (--no-compile), and keeps it: where the environment forbids that, as many images of
# containers do, every command would compile MLflow and torch anew.
export PYTHONDONTWRITEBYTECODE :=
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run install test test-lowest check docs site tutorials wheel sbom alone bench bench-gpu mutants mutations fuzz faults clean

run: $(STAMP)
	$(BIN)/csa run

install: $(STAMP)

# Three at a time on two cores: a fifth of the time of whole pipelines is waiting.
test: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# The quick tests, once, on the lowest versions that pyproject.toml allows, in an environment of their own.
LOWEST := .lowest
test-lowest:
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check uv==0.13.9
	$(LOWEST)/bin/python tests/support/lowest.py $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check -c $(LOWEST)/constraints.txt -e '.[all]' \
		hypothesis playwright pytest pytest-timeout pytest-xdist scikit-learn statsmodels
	HF_HUB_OFFLINE=1 $(LOWEST)/bin/python -m pytest -m "not pipeline and not registry" --ignore tests/packaging/test_pins.py

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vermin --quiet --no-tips --violations --target=3.11- --eval-annotations csa tests docs benchmarks
	$(BIN)/python -m docs.generate --check

# The wheel and the source archive. The same commit gives the same bytes: times are the commit's, and nothing of an earlier build is left.
wheel: $(STAMP)
	rm -rf build dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python tests/support/archive.py dist $$(git log -1 --format=%ct)
	sha256sum dist/*

# What `make install` installs, as a CycloneDX bill of materials, checked against the pins. The tool has an environment of its own, so that
# the bill does not list it; once that is there, no network is needed. The same pins give the same bytes.
SBOM := .sbom
sbom: $(STAMP)
	test -x $(SBOM)/bin/cyclonedx-py || ($(PYTHON) -m venv $(SBOM) && \
		$(SBOM)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check cyclonedx-bom==7.5.0)
	mkdir -p dist
	$(SBOM)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --spec-version 1.6 --validate \
		--output-file dist/sbom.cdx.json
	CSA_SBOM=dist/sbom.cdx.json $(BIN)/python -m pytest -q tests/packaging/test_pins.py

docs: $(STAMP)
	$(BIN)/python -m docs.generate

# All pages as a site in dist/site, which needs no network: open dist/site/index.html. A broken link or a missing docstring is an error.
SITE := .site
site: $(SITE)/.installed
	$(SITE)/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs/site --doctree-dir $(SITE)/doctrees . dist/site

$(SITE)/.installed: docs/site/constraints.txt constraints.txt pyproject.toml
	test -x $(SITE)/bin/python || $(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -c docs/site/constraints.txt -e '.[docs]'
	touch $@

# Every tutorial, block by block, as a reader would: minutes. `test` does it with a csa that leaves out Prefect and figures.
tutorials: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m docs.walk docs/tutorials/your-table.md docs/tutorials/serve-and-search.md
	$(BIN)/python -m docs.walk docs/tutorials/few-pairs.md
	$(BIN)/python -m docs.walk docs/tutorials/nightly.md

# A registered model in an environment that has its requirements and not this package (minutes, 2 GB); .alone is kept for the next time.
alone: $(STAMP)
	CSA_ALONE=.alone HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -rs tests/packaging/test_model_alone.py

# The benchmarks without peers in environments of their own; benchmarks/README.md has those.
bench: $(STAMP)
	for name in moment_rate streaming_memory crossfit_cost asif precision; do \
		env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks.$$name || exit 1; \
	done

# What a GPU makes of embedding, moments and search: eight minutes at most, installs nothing, writes gpu.json.
bench-gpu:
	$(BIN)/python -m benchmarks.gpu

# Small faults in a copy of the method and the gate: do the tests notice? Minutes, so not part of `test`.
mutants: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python tests/mutants.py

# A shared cache with one thing changed, 200 times over all stages, with and without dvc.lock: nothing of it may be believed.
mutations: $(STAMP)
	HF_HUB_OFFLINE=1 CSA_MUTATIONS=$(or $(COUNT),200) $(BIN)/python -m pytest tests/attacks/test_mutations.py

# Damaged parameters, arguments of every command, and data sets of every kind: no traceback, no hang.
fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/params.py --minutes 1
	$(BIN)/python tests/fuzz/commands.py --minutes $(or $(MINUTES),5)
	$(BIN)/python tests/fuzz/readers.py --minutes $(or $(MINUTES),5)

# A whole run that is killed, or meets a full or a broken disk, at every change of a file; EVERY=40 tries each fortieth. Hours.
faults: $(STAMP)
	$(BIN)/python tests/faults/run.py --every $(or $(EVERY),1)
	$(BIN)/python tests/faults/run.py --every $(or $(EVERY),1) --databases

$(STAMP): constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -W ignore -c 'import dvc.repo, mlflow, prefect.flows, torch'
	touch $@

clean:
	rm -rf .venv .alone .lowest .sbom .site build dist .csa data/features data/evaluation data/openmoji data/*.parquet data/*.json data/*.safetensors dvc.lock
