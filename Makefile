# Everything a developer or CI does. Needs Python 3.11+, make and a package index; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"
ARGS ?=
N ?= 1000

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-engines test-lowest test-newest prove prove-mutations soak check lint types infra-check synth diff deploy lock lock-check schemas dashboards pictures docs format bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/installed ## a .venv with this project; the local AWS goes into the user's cache

# The local AWS pins its own botocore, so it lives in an environment of its own, the same that a user of the wheel gets.
$(VENV)/installed: requirements/dev.txt requirements/uv.txt medallion_assets/local/emulator.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; found $$($(PYTHON) -V). Say which: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(UV) pip sync -q --python $(BIN)/python --require-hashes requirements/dev.txt requirements/uv.txt
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'from medallion_assets.local.emulator_environment import emulator_command; emulator_command()'
	@touch $@

# What checks and synthesises infra/; it brings Node for the CDK's kernel along.
.venv-infra/installed: $(VENV)/installed requirements/infra.txt requirements/uv.txt
	@$(PYTHON) -m venv --without-pip .venv-infra
	@$(UV) pip sync -q --python .venv-infra/bin/python --require-hashes requirements/infra.txt requirements/uv.txt
	@touch $@

# Spark for make test-engines.
.venv-engines/installed: $(VENV)/installed requirements/engines.txt requirements/uv.txt
	@$(PYTHON) -m venv --without-pip .venv-engines
	@$(UV) pip sync -q --python .venv-engines/bin/python --require-hashes requirements/engines.txt requirements/uv.txt
	@touch $@

# What builds the docs site.
.venv-docs/installed: $(VENV)/installed requirements/docs.txt requirements/uv.txt
	@$(PYTHON) -m venv --without-pip .venv-docs
	@$(UV) pip sync -q --python .venv-docs/bin/python --require-hashes requirements/docs.txt requirements/uv.txt
	@touch $@

demo: install ## the whole system on this machine, with live traffic (ARGS=--once stops by itself)
	@exec $(BIN)/medallion demo $(ARGS)

# Every core; a worker that has nothing left takes tests from the others. Times go to build/*.xml and to the end of the output.
PYTEST = $(BIN)/python -m pytest -n auto --dist worksteal --durations 40 --durations-min 1
# Without bytecode every process that a test starts compiles the package again: 2 s of a core.
export PYTHONDONTWRITEBYTECODE :=

test: install ## the fast tests on every core (ARGS="-k word" for a part)
	@$(PYTEST) --junitxml build/test.xml $(ARGS)

test-slow: install .venv-infra/installed ## the other tests: more seeds, Glue twins, whole stacks, soak, deployment
	@$(PYTEST) --junitxml build/test-slow.xml -m slow $(ARGS)

# One process: each engine is started once and takes 2 GB and both cores. Maven downloads them on first use (docs/architecture.md).
test-engines: .venv-engines/installed ## Trino and Spark on the tables that we write (Java 17 and 24 or newer, Maven; 1.2 GB on first use)
	@$(BIN)/python -m medallion_assets_tests.real_engines.java
	@$(BIN)/python -m pytest --durations 20 --durations-min 1 --junitxml build/test-engines.xml -m engines $(ARGS)

# What users of the package install, and what a release of a dependency would break. The rooms that touch a dependency.
RANGE_TESTS = $(addprefix medallion_assets_tests/, contracts capture checks engines lake silver gold cli test_settings.py test_walls.py \
  defs/test_definitions.py defs/test_dagster_private.py defs/test_sensors.py)
test-lowest: RESOLUTION = lowest-direct
test-newest: RESOLUTION = highest

test-lowest test-newest: install ## the fast tests of the core with the oldest, or the newest, versions that pyproject.toml allows
	@$(PYTHON) -m venv --clear --without-pip build/$@
	@$(UV) pip compile -q --python build/$@/bin/python --resolution $(RESOLUTION) --extra local --extra simulation --extra trino --extra telemetry pyproject.toml -o build/$@/versions.txt
	@$(UV) pip install -q --python build/$@/bin/python -r build/$@/versions.txt --group test --editable .
	@build/$@/bin/python -m pytest -n auto --dist worksteal $(RANGE_TESTS) $(ARGS)

prove: install ## N=1000 seeded histories with faults through the whole pipeline, judged (Ctrl-C stops, again goes on)
	@exec $(BIN)/medallion simulate --histories $(N) $(ARGS)

prove-mutations: install ## plant bugs in the pipeline, and see which seed finds each
	@$(BIN)/python -m medallion_assets_tests.simulation.mutations $(ARGS)

soak: install ## ten minutes of traffic while processes are killed with -9, then eight writers on one table
	@$(BIN)/python -m medallion_assets_tests.soak $(ARGS)

check: lint types lock-check infra-check ## lint, type check, lock check, and everything about infra/ that needs no account

lint: install
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: install
	@$(BIN)/mypy

# Synthesising runs cdk-nag. The folder of a former synthesis would keep stacks that are gone.
infra-check: .venv-infra/installed
	@$(BIN)/mypy --python-executable .venv-infra/bin/python --follow-imports silent --exclude infra/docker infra
	@rm -rf build/cdk && .venv-infra/bin/python -m infra.app dev stg prod > /dev/null
	@.venv-infra/bin/cfn-lint --config-file infra/checks/cfn-lint.yaml build/cdk/*/*.template.json
	@.venv-infra/bin/cfn-lint infra/github/roles.yaml
	@.venv-infra/bin/checkov -d build/cdk --framework cloudformation --compact --quiet --skip-download
	@INFRA_BUILD=$(CURDIR)/build $(BIN)/python -m pytest -q -m templates medallion_assets_tests/infra

ENV ?= dev
CDK = .venv-infra/bin/python -m infra.cdk --env $(ENV)

synth: .venv-infra/installed ## the CloudFormation templates of ENV=dev, stg, prod, below build/cdk (IMAGE=…@sha256:… for one that is built)
	@rm -rf build/cdk/$(ENV) && .venv-infra/bin/python -m infra.app $(ENV) $(if $(IMAGE),--image $(IMAGE))

diff: synth ## what deploying ENV would change
	@$(CDK) diff

deploy: synth ## deploy ENV with the AWS credentials of this shell (STACKS="Lake Capture" for a part); docs/deploy.md
	@$(CDK) deploy $(or $(STACKS),--all)

lock: install ## pin the requirements anew after a change in pyproject.toml
	@$(LOCK) pyproject.toml -o requirements/runtime.txt
	@$(LOCK) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	@$(LOCK) pyproject.toml --extra aws --extra trino --extra telemetry --group image -c requirements/runtime.txt -o requirements/image.txt
	@$(LOCK) --group pyproject.toml:function -c requirements/runtime.txt -o requirements/function.txt
	@$(LOCK) --group pyproject.toml:function-telemetry -c requirements/dev.txt -o requirements/function-telemetry.txt
	@$(LOCK) --group pyproject.toml:function-ingest -c requirements/dev.txt -o requirements/function-ingest.txt
	@$(LOCK) --group pyproject.toml:infra -o requirements/infra.txt
	@$(LOCK) --group pyproject.toml:docs -o requirements/docs.txt
	@$(LOCK) --group pyproject.toml:engines -o requirements/engines.txt
	@$(LOCK) requirements/emulator.in -o medallion_assets/local/emulator.txt
	@$(LOCK) requirements/uv.in -o requirements/uv.txt

# Compiling again with today's pins as preferences changes nothing unless pyproject.toml asks for something else.
lock-check: install
	@mkdir -p build/requirements && cp requirements/*.txt build/requirements/
	@$(LOCK) pyproject.toml -o build/requirements/runtime.txt
	@$(LOCK) pyproject.toml --all-extras --group dev -o build/requirements/dev.txt
	@$(LOCK) pyproject.toml --extra aws --extra trino --extra telemetry --group image -c requirements/runtime.txt -o build/requirements/image.txt
	@$(LOCK) --group pyproject.toml:function -c requirements/runtime.txt -o build/requirements/function.txt
	@$(LOCK) --group pyproject.toml:function-telemetry -c requirements/dev.txt -o build/requirements/function-telemetry.txt
	@$(LOCK) --group pyproject.toml:function-ingest -c requirements/dev.txt -o build/requirements/function-ingest.txt
	@$(LOCK) --group pyproject.toml:infra -o build/requirements/infra.txt
	@$(LOCK) --group pyproject.toml:docs -o build/requirements/docs.txt
	@$(LOCK) --group pyproject.toml:engines -o build/requirements/engines.txt
	@diff -r -x '*.in' requirements build/requirements || { echo "The requirements do not match pyproject.toml: run make lock."; exit 1; }
	@! grep -nE 'https?://|--index-url' requirements/*.txt medallion_assets/local/emulator.txt || { echo "The requirements name an index; they must not."; exit 1; }

dashboards: install ## Grafana's dashboards, alerts and provisioning (ARGS="--domain PATH --out FOLDER" for another domain)
	@$(BIN)/python -m grafana $(ARGS)

pictures: install ## the README's pictures of the dashboards (needs npm, Chromium and 600 MB; ARGS="--of-demo ." while a demo runs)
	@$(BIN)/python -m medallion_assets_tests.grafana.pictures $(ARGS)

# The page of the command line is written from the command line. MkDocs reads the API from the sources, so it needs no package.
docs: .venv-docs/installed ## the docs site, in build/site (open build/site/index.html)
	@mkdir -p build
	@$(BIN)/python -m typer medallion_assets.cli.main utils docs --name medallion --title "Command line" --output build/cli.md > /dev/null
	@awk '/^Examples:$$/ {print; print ""; next} /^  medallion/ {print "  " $$0; next} {print}' build/cli.md > docs/reference/cli.md
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --quiet --strict

schemas: install ## the JSON Schemas of contracts and marts for editors
	@$(BIN)/medallion contracts schema --write medallion_assets/contracts

format: install ## format the code
	@$(BIN)/ruff check --fix-only -q . && $(BIN)/ruff format .

bench: install ## speed and memory beside the alternative (ARGS="--only merge-10m" for one)
	@$(BIN)/python -m medallion_assets_tests.bench $(ARGS)

clean: ## remove the environments and all local state
	rm -rf .venv .venv-infra .venv-docs .venv-engines .medallion build *.egg-info
