# The README's commands. Each installs what it needs: .venv is made anew whenever the constraints or pyproject.toml change.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: fuzz run install test check docs bench clean

run: $(STAMP)
	$(BIN)/csa run

install: $(STAMP)

test: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m docs.generate --check

docs: $(STAMP)
	$(BIN)/python -m docs.generate

# The benchmarks without peers in environments of their own; benchmarks/README.md has those.
bench: $(STAMP)
	for name in moment_rate streaming_memory crossfit_cost asif precision; do \
		env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks.$$name || exit 1; \
	done

fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/readers.py --minutes $(or $(MINUTES),5)

$(STAMP): constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pipeline,dev]'
	touch $@

clean:
	rm -rf .venv .csa data/features data/evaluation data/openmoji data/*.parquet data/*.json data/*.safetensors dvc.lock
