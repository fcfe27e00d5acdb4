# The whole developer interface. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
SOURCES := schemas service producer consumer ops deploy/local deploy/grafana docs tests benchmarks
STACK3 := kafka1 kafka2 kafka3 cassandra1 cassandra2 cassandra3
SETUP := @deploy/local/setup
COMPILER := @command -v cc >/dev/null || { echo "installing a C compiler for the generator of logins: gcc, libc6-dev"; apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; }
IF_SET_UP := [ -x $(BIN)/python ] || { echo "nothing is set up here, so nothing runs"; exit 0; };
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r t d; do printf '  make %-14s %s\n' "$$t" "$$d"; done

.PHONY: setup
setup: ## install what is missing (it says what before it does)
	$(SETUP)

.PHONY: demo
demo: ## real Dovecot, Kafka and Cassandra: log in, deliver, show the row (DEMO_KEEP=1 leaves it all running)
	$(SETUP)
	@exec $(BIN)/python -m lastlogin_stack.demo

.PHONY: audit-drill
audit-drill: ## kill the servers under logins, plant losses: the audit names them, the replay mends what it can (4 minutes)
	$(SETUP)
	@exec $(BIN)/python -m lastlogin_stack.drill

.PHONY: outage-demo
outage-demo: ## stop Cassandra, then Kafka for a minute under logins: what alerts, what waits, a picture of it (OUT=FILE; 6 minutes)
	$(SETUP)
	@exec $(BIN)/python -m lastlogin_stack.outage

.PHONY: test
test: test-unit ## every test: those without servers, then those against real ones that it starts and stops, in two halves at once
	@exec $(BIN)/python -m tests.support.beside

.PHONY: test-cluster
test-cluster: ## three Kafka brokers, three Cassandra nodes: killed, halted, cut off and too few of them (25 minutes at most)
	$(SETUP)
	@exec timeout --foreground --signal=INT --kill-after=60 1440 $(BIN)/python -m pytest tests/cluster

.PHONY: test-unit
test-unit: ## the tests that need no server, with coverage of the pure modules
	$(SETUP)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest tests/unit
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=100 --include='*/lastlogin_schemas/*,*/dictproto/*,*/dict_keys.py,*/events.py,*/doctor/doveconf.py,*/doctor/dovecot.py,*/doctor/report.py,*/doctor/replicas.py,*/fields.py,*/keys.py,*/rules.py,*/spool/pages.py,*/decode.py,*/compact.py,*/counting.py,*/batches.py,*/ring.py,*/breaker.py,*/burst.py,*/outcome.py,*/watchdog.py,*/histogram.py,*/lag.py,*/dovecot/syntax.py,*/dovecot/connection.py,*/dovecot/maps.py,*/dovecot/table.py,*/dovecot/imported.py,*/dovecot/key_patterns.py,*/offsets.py,*/second_reading.py,*/places.py,*/moments.py,*/replay/stretches.py,*/replay/words.py,*/skip/gaps.py,*/set_aside.py,*/quarantined.py,*/letters.py,*/replaying.py,*/audit/events.py,*/audit/metrics.py,*/audit/report.py,*/audit/retention.py,*/audit/sequences.py,*/audit/verdicts.py,*/lastlogin_ops/doctor/clocks.py,*/lastlogin_ops/doctor/group.py,*/lastlogin_ops/doctor/keeping.py,*/lastlogin_ops/doctor/table.py'

.PHONY: bench-producer
bench-producer: ## the producer against the limit of the machine (12 minutes; nothing else should run)
	$(SETUP)
	$(COMPILER)
	@exec $(BIN)/python -m benchmarks.producer $(BENCH)

.PHONY: bench-consumer
bench-consumer: ## the consumer against single INSERTs and against a bare loop (15 minutes; nothing else should run)
	$(SETUP)
	@exec $(BIN)/python -m benchmarks.consumer $(BENCH)

.PHONY: bench-latency
bench-latency: ## from the login to its row, through both services (4 minutes; nothing else should run)
	$(SETUP)
	$(COMPILER)
	@exec $(BIN)/python -m benchmarks.latency $(BENCH)

.PHONY: bench-metrics
bench-metrics: ## what a scrape takes, and what counting costs of a batch (1 minute; nothing else should run)
	$(SETUP)
	$(COMPILER)
	@exec $(BIN)/python -m benchmarks.metrics $(BENCH)

.PHONY: bench-audit
bench-audit: ## the audit of ten million events and a million rows (20 minutes; nothing else should run)
	$(SETUP)
	@exec $(BIN)/python -m benchmarks.audit $(BENCH)

.PHONY: test-faults
test-faults: ## kill -9, outages, damage and floods under load, with real imap processes; long cases scaled down (25 minutes at most)
	$(SETUP)
	@exec timeout --foreground --signal=INT --kill-after=60 1440 $(BIN)/python -m pytest tests/faults

.PHONY: test-soak
test-soak: ## the same, whole: 1,000 kills, 10,000 imap logins, an hour without Kafka beside the rest; 100 minutes at most
	$(SETUP)
	@exec $(BIN)/python -m tests.support.soak

.PHONY: lint
lint: ## formatting, style, docstrings, types, import contracts
	$(SETUP)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fmt
fmt: ## format the code and mend what can be mended
	$(SETUP)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.PHONY: dist
dist: ## the wheel, and an archive for each role that installs without internet
	$(SETUP)
	@deploy/dist/build

.PHONY: docs
docs: ## write the generated pages of docs/ and the dashboards of deploy/grafana/ anew
	$(SETUP)
	@$(BIN)/python -m lastlogin_docs
	@$(BIN)/python -m lastlogin_dashboards

.PHONY: stack-up
stack-up: ## start Kafka, Cassandra, both services and Dovecot
	$(SETUP)
	@exec $(BIN)/python -m lastlogin_stack up

.PHONY: stack-status
stack-status: ## what of the stack is running
	@$(IF_SET_UP) $(BIN)/python -m lastlogin_stack status || case $$? in 3|141) ;; *) exit 1 ;; esac

.PHONY: stack-down
stack-down: ## stop the stack, keep its data
	@$(IF_SET_UP) $(BIN)/python -m lastlogin_stack down

.PHONY: stack3-up
stack3-up: ## start three Kafka brokers and three Cassandra nodes beside the stack, topics and table on all of them
	$(SETUP)
	@exec $(BIN)/python -m lastlogin_stack up $(STACK3)

.PHONY: stack3-down
stack3-down: ## stop the three brokers and the three nodes, keep their data
	@$(IF_SET_UP) $(BIN)/python -m lastlogin_stack down $(STACK3)

.PHONY: lock
lock: ## resolve the dependencies anew, with hashes
	$(SETUP)
	@for extra in producer consumer ops dev; do $(UV_COMPILE) pyproject.toml --extra $$extra --output-file requirements/$$extra.txt; done

.PHONY: clean
clean: ## remove everything that the commands above made in this directory
	@$(IF_SET_UP) $(BIN)/python -m lastlogin_stack down --wipe
	rm -rf .venv .cache .stack dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
