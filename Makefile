# The interpreter that `.venv` is made with: make PYTHON=python3.12 test
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
REFERENCE := $(VENV)/reference/.ready
TOOLS := $(VENV)/tools/.ready
LIBRARIES := $(VENV)/libraries/.ready
FUZZER := $(VENV)/fuzzer/.ready
ELK := elkjs@0.12.1
CORPUS := tests/hostile/corpus
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

# Tests start hundreds of processes, each of which would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test properties lint format types check bench bench-quick hostile fuzz kills meshes import-survey export-survey elk vscode clean

help:
	@echo "make run      train specs/digits.yaml and save the model"
	@echo "make test     lint, types and all tests"
	@echo "make properties  property tests with 500 examples each; make test draws 200"
	@echo "make lint     ruff: rules and format; the form of specs"
	@echo "make format   let ruff mend what it can, and write specs in their form"
	@echo "make types    mypy, strict"
	@echo "make check    lint and types"
	@echo "make bench    speed and memory beside modules by hand; renews docs/benchmarks.md; BASE=REVISION compares"
	@echo "make bench-quick  the same in less than two minutes, only printed"
	@echo "make hostile  mutated specs without end; goes on where it was stopped"
	@echo "make fuzz     a coverage-guided fuzzer, for FUZZ_SECONDS (600), from $(CORPUS) on"
	@echo "make kills    trainings that are killed, or whose disk is full, at every moment; renews docs/interrupted.md"
	@echo "make import-survey  timm, torchvision and transformers imported, SAMPLE (100) models of each, JOBS (1) at a time; renews docs/import.md"
	@echo "make export-survey  the zoo exported to ONNX; renews docs/export.md"
	@echo "make elk      fetch the layout engine of pictures, $(ELK), again from npm"
	@echo "make meshes   models of the zoo trained on 2 and 4 processes, beside one; renews docs/mesh.md"
	@echo "make vscode   the extension for VS Code, out/blockprint.vsix, which starts the language server; needs node and npm"
	@echo "make clean    remove .venv, caches and build leftovers"
	@echo "Each sets up .venv first if it is missing or out of date."

run: $(READY)
	$(BIN)/python -m compiler run specs/digits.yaml

test: check $(REFERENCE) $(TOOLS) $(LIBRARIES)
	$(BIN)/python -m pytest -n auto --dist worksteal

properties: $(READY)
	HYPOTHESIS_PROFILE=full $(BIN)/python -m pytest -n auto --dist worksteal tests/properties

check: lint types

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m compiler fmt --check specs

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m compiler fmt specs

types: $(READY)
	$(BIN)/mypy

install: $(READY)

# torch goes first and alone: it is most of the download, and its exact pin keeps a later step from replacing the build.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit( \
		"Blockprint needs Python 3.11 to 3.13, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12")'
	@echo "Setting up $(VENV) (once; again when pyproject.toml or constraints.txt change)"
	@$(PYTHON) -m venv $(VENV)
	@echo "  1/2 torch: a large download, some minutes on a slow line"
	@$(PIP_INSTALL) "$$(grep '^torch==' constraints.txt)"
	@echo "  2/2 the project with its extras, and its other dependencies: about a minute"
	@$(PIP_INSTALL) --quiet --editable '.[all,dev]'
	@touch $@

# A torchvision that fits another build of torch breaks what imports it, so that only the tests of the zoo may see this one.
$(REFERENCE): $(READY) tests/zoo/references.txt
	@echo "Fetching what specs/zoo is compared with"
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(@D) \
		--requirement tests/zoo/references.txt && touch $@ \
		|| echo "torchvision cannot be had here: the tests that compare with it are skipped"

# peft and accelerate change what transformers does where they are found, so that only the tools that need them may.
$(TOOLS): $(READY) tests/tools/packages.txt
	@echo "Fetching what tools of PyTorch need"
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(@D) \
		--requirement tests/tools/packages.txt && touch $@ \
		|| echo "onnx and peft cannot be had here: the tests of tools that need them are skipped"

# With BASE=REVISION the packages of that revision are measured too, in turns, and a row that is slower now fails.
bench: $(READY)
	$(BIN)/python -m benchmarks $(addprefix --base ,$(BASE))

bench-quick: $(READY)
	$(BIN)/python -m benchmarks --quick $(addprefix --base ,$(BASE))

# Other packages do something else where these are found, so that only surveys of the import see them.
$(LIBRARIES): $(READY) tests/runtime/importing/libraries.txt
	@echo "Fetching the libraries of models that are imported"
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(@D) \
		--requirement tests/runtime/importing/libraries.txt && touch $@ \
		|| echo "timm and torchvision cannot be had here: the tests that import their models are skipped"

# What was tried stands in out/import, and is not tried again: a survey that was stopped goes on.
import-survey: $(LIBRARIES)
	PYTHONPATH=$(dir $(LIBRARIES)) $(BIN)/python -m compiler import --check timm --check torchvision --check transformers \
		--sample $(or $(SAMPLE),100) --jobs $(or $(JOBS),1) --output docs/import.md

# What was tried stands in out/export, and is not tried again.
export-survey: $(REFERENCE)
	PYTHONPATH=. $(BIN)/python -W ignore -m tests.zoo.export_table

hostile: $(READY)
	$(BIN)/python -m tests.hostile.endless

$(FUZZER): $(READY) tests/hostile/fuzzer.txt
	@echo "Fetching the fuzzer"
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(@D) \
		--requirement tests/hostile/fuzzer.txt
	@touch $@

# What is new is collected in out/fuzz; what reaches something of its own is kept in the corpus.
fuzz: $(FUZZER)
	@mkdir -p out/fuzz
	PYTHONPATH=$(dir $(FUZZER)) $(BIN)/python -m tests.hostile.fuzz out/fuzz $(CORPUS) \
		-max_total_time=$(or $(FUZZ_SECONDS),600) -max_len=600 -timeout=10 -artifact_prefix=out/fuzz-
	PYTHONPATH=$(dir $(FUZZER)) $(BIN)/python -m tests.hostile.fuzz -set_cover_merge=1 -max_len=600 $(CORPUS) out/fuzz

kills: $(READY)
	$(BIN)/python -m tests.runtime.kills.survey

# What is fetched is committed, with its licence: who draws needs neither npm nor a network.
elk:
	@folder=$$(mktemp -d) && cd $$folder && npm pack --silent $(ELK) && tar xzf elkjs-*.tgz \
		&& cp package/lib/elk.bundled.js "$(CURDIR)/compiler/drawing/assets/elk.bundled.js" \
		&& cp package/LICENSE.md "$(CURDIR)/compiler/drawing/assets/elk.LICENSE.md" && rm -rf $$folder

meshes: $(READY)
	$(BIN)/python -m tests.runtime.mesh.survey

# Not published: code --install-extension out/blockprint.vsix
vscode:
	@command -v npm >/dev/null || { echo "make vscode needs node and npm, which are not installed"; exit 2; }
	@mkdir -p out
	cp LICENSE editors/vscode
	cd editors/vscode && npm ci --no-audit --no-fund --ignore-scripts && npm run package -- ../../out/blockprint.vsix

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
