# Flow Nexus on this machine. `make up` needs Python 3.11 or newer, a JDK 17 or newer and Maven.
# Variables: DEVICES=3  MODELS=folder  PORTS=free  FLOWNEXUS_GATEWAY_PORT=8080  LESHAN 8090  COAP 5683  COAPS 5684
# DATABASE 5433  NATS 4222 (each FLOWNEXUS_<NAME>_PORT)  FLOWNEXUS_HOME=.flownexus
# TLS=1: the console and the REST API over HTTPS, FLOWNEXUS_TLS_PORT=8443  TLS_CERTIFICATE, TLS_KEY, TLS_CA=files of your own
# BOOTSTRAP=1: a bootstrap server for devices too, FLOWNEXUS_BOOTSTRAP_PORT=5784
# FLOWNEXUS_DATABASE_URL, FLOWNEXUS_NATS_URL: servers of your own, instead of those started here.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
UV_VERSION := 0.13.9
TOOLS := .flownexus
VENV := $(TOOLS)/venv
RUN := $(VENV)/bin/python
UV := $(TOOLS)/uv/bin/uv
STAMP := $(VENV)/.synchronized
MVN := mvn -B -q -f leshan/pom.xml

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: up status logs down clean
up: prerequisites $(STAMP) ## start everything, and return when all parts are ready
	@$(RUN) -m tools.assets || echo "the console starts without charts and live updates" >&2
	@$(RUN) -m local up

.PHONY: assets
assets: ## fetch the console's third-party scripts and styles, by functions/console/package-lock.json
	@$(PYTHON) -m tools.assets

.PHONY: prerequisites
# What FLOWNEXUS_PARTS leaves out needs nothing.
prerequisites:
	@local/prerequisites.sh "$(PYTHON)" "$(if $(FLOWNEXUS_PARTS),$(if $(findstring leshan,$(FLOWNEXUS_PARTS)),java),java)"

# Where nothing has run yet, there is nothing to show, so nothing is installed for it.
ASK := if [ ! -x $(RUN) ]; then echo "nothing has run yet: make up$(if $(FLOWNEXUS_HOME), FLOWNEXUS_HOME=$(FLOWNEXUS_HOME))" >&2; exit 1; fi;

status: ## show the state of each part
	@$(ASK) $(RUN) -m local status

logs: ## print the logs: make logs ARGS='-f connector'
	@$(ASK) $(RUN) -m local logs $(ARGS)

down: ## stop everything that `make up` started
	@if [ -x $(RUN) ]; then $(RUN) -m local down; else echo "not running"; fi

ifeq ($(FLOWNEXUS_HOME),)
REMOVE_TOOLS = rm -rf $(VENV) $(TOOLS)/browser $(TOOLS)/manifests $(TOOLS)/manifests-programs $(TOOLS)/openfaas $(TOOLS)/uv $(TOOLS)/uv-*.lock; \
	rmdir $(TOOLS) 2>/dev/null || true; echo "removed the Python environment"
else
REMOVE_TOOLS = echo "kept the Python environment, which other worlds may use"
endif
clean: ## stop everything and remove data, logs, secrets and the Python environment; asks first on a terminal
	@if [ ! -e $(TOOLS) ]; then echo "nothing to remove: Flow Nexus has not run here yet"; exit; fi; \
	if [ -t 0 ] && [ -e $(STAMP) ]; then \
		read -r -p "remove all data, logs and secrets of $${FLOWNEXUS_HOME:-$(TOOLS)}? [y/N] " answer; \
		[ "$$answer" = y ] || { echo "kept"; exit 1; }; fi; \
	if [ -e $(STAMP) ]; then $(RUN) -m local clean; fi; \
	$(REMOVE_TOOLS)

.PHONY: backup restore install uninstall
NEED_FOLDER = $(if $(ARGS),,echo "error: the backup's folder is missing: make $@ ARGS=/srv/backups/monday" >&2; exit 1;)
backup: $(STAMP) ## save everything into a new folder: make backup ARGS=/srv/backups/monday
	@$(NEED_FOLDER) $(RUN) -m local backup $(ARGS)

restore: $(STAMP) ## restore a backup after make down: make restore ARGS=/srv/backups/monday
	@$(NEED_FOLDER) $(RUN) -m local restore $(ARGS)

install: prerequisites $(UV) assets ## install or upgrade the service on this server, as root; ARGS=--dry-run only prints the steps
	@$(TOOLS)/uv/bin/python -m deploy.server.install install $(ARGS)

uninstall: ## remove the service; ARGS=--purge also removes its data
	@$(PYTHON) -m deploy.server.install uninstall $(ARGS)

.PHONY: test unit manifests integration acceptance browser java-test spool-stress
test: unit manifests integration acceptance browser java-test ## run all tests

unit: $(STAMP) ## run the tests that need no service
	$(RUN) -m pytest -n 2 tests/unit

manifests: $(UV) ## validate deploy/k3s against Kubernetes 1.30 and the newest version
	@# The fixtures of conftest.py need packages that this environment does not have.
	TMPDIR="$(CURDIR)/$(TOOLS)" UV_PROJECT_ENVIRONMENT=$(TOOLS)/manifests UV_PYTHON_DOWNLOADS=never \
		$(UV) run -q --locked --only-group manifests --python $(TOOLS)/uv/bin/python \
		python -m pytest --noconftest tests/manifests

integration: $(STAMP) ## run the tests with real PostgreSQL, NATS and functions
	$(RUN) -m pytest -n 2 --dist loadfile tests/integration

acceptance: $(STAMP) assets ## run the tests of the whole world
	$(RUN) -m pytest -n 2 --dist loadfile tests/acceptance

IN_BROWSER := TMPDIR="$(CURDIR)/$(TOOLS)" UV_PROJECT_ENVIRONMENT=$(TOOLS)/browser UV_PYTHON_DOWNLOADS=never \
	$(UV) run -q --locked --group browser --python $(TOOLS)/uv/bin/python python
browser: $(UV) assets ## test the console in a browser, Debian's chromium
	$(IN_BROWSER) -m pytest tests/browser

screenshots: $(UV) assets ## take the screenshots in docs/images, from a separate world, with Debian's chromium
	$(IN_BROWSER) -m tests.browser.screenshots
.PHONY: screenshots

java-test: ## run the Java tests and checks
	mvn -B -T 2 -f leshan/pom.xml verify

fuzz: $(STAMP) ## send each route of the REST API 100 valid and 100 invalid requests: make fuzz CASES=1000
	FUZZ_CASES=$(or $(CASES),100) FUZZ_TIMEOUT=7200 $(RUN) -m pytest tests/integration/test_fuzz.py
.PHONY: fuzz

spool-stress: ## start Leshan's spool 1,000 times under load, count lost and duplicate items: make spool-stress STARTS=100
	$(MVN) -pl server test -Dtest=SpoolStressTest -Dspool.starts=$(or $(STARTS),1000)

test-openfaas: $(STAMP) assets ## build the images, run them as containers behind OpenFaaS's gateway (root): docs/testing.md
	$(RUN) -m tests.openfaas $(ARGS)
.PHONY: test-openfaas

# What REGISTRY and TAG of stack.yml are, and so what `faas-cli deploy -f stack.yml` asks for.
.PHONY: images push
images: $(STAMP) assets ## build all images: make images REGISTRY=... TAG=... OFFLINE=1 (docs/images.md)
	@$(RUN) -m deploy.images build --engine "$(ENGINE)" --base "$(BASE)" --java-base "$(JAVA_BASE)" \
		--flags="$(BUILD_FLAGS)" --only "$(ONLY)" $(if $(OFFLINE),--archives build/images)

push: $(STAMP) ## push all images to REGISTRY
	@$(RUN) -m deploy.images push --engine "$(ENGINE)" --flags="$(PUSH_FLAGS)" --only "$(ONLY)"

.PHONY: bench soak
bench: $(STAMP) ## run all benchmarks and write benchmarks/RESULTS.md and results.json
	$(RUN) -m benchmarks

bench-gateway: $(STAMP) ## measure ingest-single behind OpenFaaS's gateway (root, Go 1.24); prints only
	$(RUN) -c 'from tests.openfaas.prepare import build_programs; build_programs("gateway")'
	unshare --net sh -c 'ip link set lo up && exec "$$@"' sh $(RUN) -m benchmarks gateway
.PHONY: bench-gateway

soak: $(STAMP) ## run for an hour at half of the maximum load, and write benchmarks/SOAK.md; shorter: make soak ARGS='--minutes 10 --every 10'
	$(RUN) -m benchmarks.soak $(ARGS)

.PHONY: test-server
test-server: $(STAMP) ## measure one small server in a container, as root; writes benchmarks/SERVER.md: ARGS='--minutes 1 --rows 1000'
	$(RUN) -m benchmarks.server $(ARGS)

.PHONY: chaos outage full-disk upgrade
chaos: $(STAMP) ## kill parts under load for ten minutes, then audit: make chaos ARGS='--seconds 60 --seed 7'
	$(RUN) -m chaos kills $(ARGS)

outage: $(STAMP) ## stop PostgreSQL under load for five minutes, then audit: make outage ARGS='--seconds 60'
	$(RUN) -m chaos outage $(ARGS)

full-disk: $(STAMP) ## fill the disk of Leshan's spool, a small tmpfs, then audit: make full-disk ARGS='--seconds 10'
	$(RUN) -m chaos full-disk $(ARGS)

upgrade: $(STAMP) ## upgrade a loaded world from an earlier version, then audit: make upgrade ARGS='--from v1.0 --seconds 30'
	$(RUN) -m chaos upgrade $(ARGS)

.PHONY: check format
TYPED := flownexus cli connector downloads deploy local tools benchmarks chaos tests
check: $(STAMP) ## check format, lint, types and imports, Python and Java
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/mypy --explicit-package-bases $(TYPED)
	@# Each of these is its own program: its modules are named alike.
	for handler in functions/*/handler.py; do $(VENV)/bin/mypy $$handler; done
	cd template/python3-flownexus && "$(CURDIR)/$(VENV)/bin/mypy" --config-file "$(CURDIR)/pyproject.toml" \
		--cache-dir "$(CURDIR)/.mypy_cache/template" .
	$(MVN) spotless:check

format: $(STAMP) ## format the sources
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(MVN) spotless:apply

requirements: $(STAMP) ## write the images' requirements.txt from uv.lock
	$(UV) export -q --locked --no-default-groups --no-emit-project --no-header --no-annotate \
		-o template/python3-flownexus/requirements.txt
	$(UV) export -q --locked --only-group connector --no-emit-project --no-header --no-annotate \
		-o deploy/images/connector-requirements.txt
.PHONY: requirements

schema: $(STAMP) ## generate docs/schema.md from the migrations
	$(RUN) -m tools.diagram
.PHONY: schema

MODELS_JAR := leshan/server/target/leshan-server.jar
object-models: $(STAMP) ## write a migration with the object models of Leshan's jar: MIGRATION=sql/migrations/NNN_object_models.sql
	@[ -n "$(MIGRATION)" ] || { echo "error: name the new file: MIGRATION=sql/migrations/NNN_object_models.sql" >&2; exit 1; }
	$(MVN) -pl server -am package -DskipTests
	$(RUN) -m tools.models $(MIGRATION) $(MODELS_JAR)
.PHONY: object-models

dashboards: $(STAMP) ## write Grafana's dashboards, deploy/grafana/dashboards
	$(RUN) -m deploy.grafana.generate
.PHONY: dashboards

# The Python environment: made once, made anew when its description changes.
$(STAMP): pyproject.toml uv.lock | $(UV)
	@echo "synchronizing the Python environment"
	@TMPDIR="$(CURDIR)/$(TOOLS)" UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON_DOWNLOADS=never $(UV) sync -q --locked --python $(TOOLS)/uv/bin/python || { \
		echo "error: the Python packages could not be fetched; behind a proxy with its own certificate authority, use:" \
			"UV_SYSTEM_CERTS=1 make ..." >&2; exit 1; }
	@touch $@

$(UV):
	@local/prerequisites.sh "$(PYTHON)"
	@echo "making the Python environment"
	@rm -rf $(TOOLS)/uv && mkdir -p -m 700 $(TOOLS)
	@$(PYTHON) -m venv $(TOOLS)/uv
	@$(TOOLS)/uv/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION) || { \
		rm -rf $(TOOLS)/uv; echo "error: cannot install uv: is the package index reachable?" >&2; exit 1; }
