# Everything that can be done here, one target each; CI runs the same (.ci/run).
# Python 3.11 or newer and make are all that is needed: the rest goes into .venv.

PYTHON ?= python3
ARGS ?=
MINUTES ?= 10
SEEDS ?= 100
FIRST ?= 0
RUNS ?= 200
PARTITIONS = $(if $(filter file,$(origin RUNS)),20,$(RUNS))

VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# A progress line; bold on a terminal only.
say = @if [ -t 1 ] && [ -z "$${NO_COLOR:-}" ]; then printf '\033[1m==> %s\033[0m\n' "$(1)"; \
	else printf '==> %s\n' "$(1)"; fi

# The lock of what $(1) asks for, at the versions of constraints.txt, for every system and Python 3.11 on.
locked = { echo '\# Written by `make hashes`. Not edited by hand; pip installs it with --require-hashes.'; \
	build/hashes/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --constraint constraints.txt $(1); \
	} > build/$(2).txt && mv build/$(2).txt requirements/$(2).txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo serve sandbox test simulate guards crash partition chaos fuzz proofs soak mutants bench lint check format generate breaking check-clients test-clients clients-tools interop interop-tools wheel hooks lock hashes sbom clean

help: ## This list
	@echo 'usage: make TARGET [ARGS="..."] [PYTHON=python3.12]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Using it ---------------------------------------------------------------------------------

demo: $(VENV)/.runtime ## Server and sandboxes through every scenario; fails if anything differs
	@$(BIN)/smart-connectors demo $(ARGS)

serve: $(VENV)/.runtime ## The server, in sandbox mode unless configured: make serve ARGS="--config my.toml"
	@exec $(BIN)/smart-connectors serve $(ARGS)

sandbox: $(VENV)/.runtime ## Every platform's sandbox as a process of its own
	@exec $(BIN)/smart-connectors sandbox $(ARGS)

# --- Proving it -------------------------------------------------------------------------------

test: $(VENV)/.dev ## All tests, short versions: make test ARGS="-k window", ARGS="-n0 --pdb"
	$(call say,tests)
	@$(BIN)/python -m pytest -q -n auto --dist loadfile $(ARGS)

simulate: $(VENV)/.dev ## Whole worlds by number: make simulate SEEDS=1000 [FIRST=0], or SEED=42 to see one
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) \
		--first $(FIRST)) $(ARGS)

guards: $(VENV)/.dev ## Takes each guard of the money away; the simulated worlds must notice
	@$(BIN)/python -m tests.simulation --guards $(ARGS)

crash: $(VENV)/.dev ## kill -9 at every failpoint, restart, compare: make crash RUNS=400 ARGS="--seed 7"
	@$(BIN)/python -m tests.crash --runs $(RUNS) $(ARGS)

chaos: $(VENV)/.dev ## Stops, starvation, shortages, lost platforms, old copies, held requests: make chaos RUNS=52
	@$(BIN)/python -m tests.chaos --runs $(RUNS) $(ARGS)

partition: $(VENV)/.dev ## The network cut while a change is on its way, with the cure and without: make partition RUNS=20
	@$(BIN)/python -m tests.partition --runs $(PARTITIONS) $(if $(SEED),--seed $(SEED)) $(ARGS)

proofs: $(VENV)/.dev ## The long proofs: many rounds, many more examples
	$(call say,long proofs)
	@TEST_PROFILE=soak $(BIN)/python -m pytest -q -m 'soak or hypothesis' $(ARGS)

fuzz: $(VENV)/.dev ## Whatever platforms, callers and files may say: make fuzz MINUTES=5 TARGET=answers
	@$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES) $(if $(TARGET),--target $(TARGET)) $(ARGS)

soak: $(VENV)/.dev ## Load and faults for MINUTES: flat memory, nothing lost or doubled
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

mutants: $(VENV)/.dev ## Small mistakes in what guards the money, and who notices: make mutants ONLY=window
	$(call say,mutants)
	@$(BIN)/python -m tests.mutation.sweep $(ONLY) $(ARGS)

bench: $(VENV)/.dev ## Ratios against a bare echo server, in one run (wants h2load)
	@$(BIN)/python bench/run.py $(ARGS)

lint: $(VENV)/.dev ## Style, types, who imports whom, protos, Dockerfile, what must not be committed
	$(call say,ruff)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo 'not formatted; run: make format'; exit 1; }
	$(call say,mypy)
	@$(BIN)/mypy
	$(call say,imports)
	@$(BIN)/lint-imports --no-logo
	$(call say,protos)
	@$(BIN)/buf lint
	$(call say,Dockerfile)
	@$(BIN)/hadolint Dockerfile
	$(call say,repository)
	@$(BIN)/python .ci/hygiene.py

check: lint breaking ## lint, generated code against protos/, protos against the last release
	$(call say,generated code)
	@$(BIN)/python clients/generate.py --check
	@$(BIN)/python clients/reference.py --check

check-clients: $(VENV)/.dev clients-tools ## Go's and TypeScript's stubs against protos/
	$(call say,stubs of Go and TypeScript)
	@npm --prefix clients/typescript ci --silent
	@$(BIN)/python clients/stubs.py --check

test-clients: check-clients ## Clients in Python, Go, TypeScript and Java: their tests, one scenario, their READMEs tried
	$(call say,Python)
	@$(BIN)/python -m pytest -q tests/clients
	$(call say,Go)
	@cd clients/go && go vet ./... && go test ./...
	$(call say,TypeScript)
	@npm --prefix clients/typescript test --silent
	$(call say,Java)
	@mvn --batch-mode --quiet --file clients/java/pom.xml test
	$(call say,one scenario in every language)
	@$(BIN)/python -m tests.conformance.clients
	$(call say,the first steps of each README)
	@$(BIN)/python -m tests.interop.readmes

clients-tools:
	@missing=; for tool in go node npm java mvn; do \
		command -v $$tool > /dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
		echo "The clients need$$missing, which this machine does not have; everything else works without."; \
		exit 3; fi
	@go version | awk '{ split($$3, v, /[o.]/); exit !(v[2] > 1 || v[3] >= 21) }' || { \
		echo "The Go client needs Go 1.21 or newer, which fetches what its go.mod names; this is $$(go version)."; \
		exit 3; }
	@node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' || { \
		echo "The TypeScript client needs Node 20 or newer; this is $$(node --version)."; exit 3; }
	@java -version 2>&1 | awk -F '[".]' 'NR == 1 { exit !($$2 >= 17) }' || { \
		echo "The Java client needs Java 17 or newer; this is $$(java -version 2>&1 | head -n 1)."; exit 3; }

interop: $(VENV)/.dev interop-tools ## grpcurl, ghz and others as they come; restarts behind HAProxy and nginx
	$(call say,standard tools)
	@$(BIN)/python -m tests.interop.tools $(ARGS)
	$(call say,two servers restarted in turn behind each proxy)
	@$(BIN)/python -m tests.interop.rolling $(ARGS)

interop-tools:
	@missing=; PATH="$$PATH:/usr/sbin:/usr/local/sbin"; for tool in go haproxy nginx; do \
		command -v $$tool > /dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
		echo "What is tried with other programs needs$$missing, which this machine does not have."; \
		echo 'Go is 1.21 or newer; for the others, on Debian and Ubuntu: apt-get install haproxy nginx-light'; \
		exit 3; fi

breaking: $(VENV)/.dev ## Whether protos/ breaks callers of the last release
	$(call say,callers of the last release)
	@tag=$$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null) || tag=; \
	if [ -z "$$tag" ]; then echo 'no release tag here, so there is nothing to compare with'; exit 0; fi; \
	rm -rf build/released && mkdir -p build/released && \
	git archive --output build/released.tar "$$tag" buf.yaml protos && \
	tar -xf build/released.tar -C build/released && \
	$(BIN)/buf breaking --against build/released && echo "protos/ breaks nothing since $$tag"

wheel: $(VENV)/.dev ## Build the wheel, install it into an empty environment, serve from there
	$(call say,build)
	@rm -rf dist build/wheel-check
	@$(BIN)/python -m build --no-isolation --outdir dist . > build.log 2>&1 || { cat build.log; exit 1; }
	@rm -f build.log
	$(call say,install $$(ls dist/*.whl) into an empty environment)
	@$(BIN)/python -m venv build/wheel-check
	@build/wheel-check/bin/pip install -q --no-compile --require-hashes -r requirements/server.txt
	@build/wheel-check/bin/pip install -q --no-compile --no-deps dist/*.whl
	@cd build && wheel-check/bin/smart-connectors --help > /dev/null
	@cd build && wheel-check/bin/python -c 'import smartconnectors.google_ads.v1.google_ads_service_pb2_grpc'
	$(call say,serve from there)
	@$(BIN)/python .ci/serves.py build/wheel-check/bin
	@rm -rf build/wheel-check

# --- Working on it ----------------------------------------------------------------------------

format: $(VENV)/.dev ## Format code and protos, and fix what can be fixed
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .
	@$(BIN)/buf format --write protos --exclude-path protos/buf

generate: $(VENV)/.dev ## Write the stubs and the reference from protos/; Go's and TypeScript's where their tools are
	@$(BIN)/python clients/generate.py
	@$(BIN)/python clients/generate.py --check
	@$(BIN)/python clients/reference.py
	@if command -v npm > /dev/null; then npm --prefix clients/typescript ci --silent; fi
	@$(BIN)/python clients/stubs.py

hooks: $(VENV)/.dev ## Check each commit before it is made (pre-commit)
	@$(BIN)/pre-commit install

lock: $(VENV)/.python ## Write constraints.txt and requirements/ anew: the newest that pyproject.toml allows
	$(call say,a clean install of the newest)
	@rm -rf build/lock
	@$(BIN)/python -m venv build/lock
	@build/lock/bin/pip install -q --no-compile -e '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; build/lock/bin/pip freeze --exclude-editable; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt
	@rm -rf build/lock
	@$(MAKE) --no-print-directory hashes

hashes: $(VENV)/.python ## Write requirements/ anew: the hashes of every file of what constraints.txt pins
	$(call say,hashes)
	@rm -rf build/hashes
	@$(BIN)/python -m venv build/hashes
	@build/hashes/bin/pip install -q --no-compile 'uv>=0.9,<1'
	@$(call locked,requirements/build.in,build)
	@$(call locked,pyproject.toml,server)
	@$(call locked,pyproject.toml requirements/build.in --extra dev,dev)
	@rm -rf build/hashes

sbom: $(VENV)/.python ## build/sbom.cdx.json: what the server is made of, in CycloneDX, from its lock
	@rm -rf build/sbom
	@$(BIN)/python -m venv build/sbom
	@build/sbom/bin/pip install -q --no-compile 'cyclonedx-bom>=7,<8'
	@build/sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		--of JSON -o build/sbom.cdx.json requirements/server.txt
	@rm -rf build/sbom
	$(call say,build/sbom.cdx.json)

clean: ## Remove the environment, caches and builds; ledgers stay
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- The environment --------------------------------------------------------------------------
# Three steps in one .venv, each remembered by a file in it: the environment itself, what running
# needs, and what testing needs too.

$(VENV)/.python:
	@command -v $(PYTHON) > /dev/null || { \
		echo 'There is no $(PYTHON) here. Install Python 3.11 or newer, or say where one is:'; \
		echo '    make PYTHON=/path/to/python3 ...'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Say where one is:"; \
		echo '    make PYTHON=/path/to/python3 ...'; exit 1; }
	$(call say,$(VENV) with $$($(PYTHON) -V))
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { \
		echo 'Python has no venv module here; on Debian and Ubuntu: apt-get install python3-venv'; \
		rm -rf $(VENV); exit 1; }
	@touch $@

# Only files whose hashes are in requirements/ are installed, the tools that build the package included.
install = $(BIN)/pip install -q --no-compile --require-hashes $(1) && \
	$(BIN)/pip install -q --no-compile --no-deps --no-build-isolation -e .

$(VENV)/.runtime: $(VENV)/.python pyproject.toml requirements/build.txt requirements/server.txt
	$(call say,what running needs (half a minute))
	@$(call install,-r requirements/build.txt -r requirements/server.txt)
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml requirements/dev.txt
	$(call say,what testing needs (a minute))
	@$(call install,-r requirements/dev.txt)
	@touch $(VENV)/.runtime $@
