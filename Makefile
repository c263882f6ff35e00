# `make` lists the targets. What needs Postgres and RabbitMQ gets private ones from deploy/local.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# cargo uses all cores by itself; `check` must run its parts in order, the tests last.
.NOTPARALLEL:

SERVICES := deploy/local/with-services --
# Tests kill processes at named points, which a normal build has not.
FEATURES := --features ems-sync/failpoints
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

.PHONY: help toolchain build demo test sim campaign check fmt lint bench up down clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

toolchain: ## Check for cargo and a C compiler
	@deploy/local/toolchain

build: toolchain ## Build everything (BUILD_ARGS, e.g. --release)
	cargo build --workspace --locked $(BUILD_ARGS)

demo: toolchain ## Play the story against private services and simulated remotes (DEMO_ARGS)
	cargo build --locked -p ems-sync --bin ems-sync --example demo
	cargo build --locked -p ems-sync-remotes
	$(SERVICES) cargo run --quiet --locked -p ems-sync --example demo -- $(DEMO_ARGS)

test: toolchain ## Run every test against private services (TEST_ARGS, e.g. a test's name)
ifneq ($(NEXTEST),)
	cargo test --workspace --locked $(FEATURES) --doc
	cargo nextest run --workspace --locked $(FEATURES) --no-run
	$(SERVICES) cargo nextest run --workspace --locked $(FEATURES) $(TEST_ARGS)
else
	cargo test --workspace --locked $(FEATURES) --no-run
	$(SERVICES) cargo test --workspace --locked $(FEATURES) $(TEST_ARGS)
endif

sim: toolchain ## Simulate the protocol with 100,000 seeds on all cores (SIM_SEEDS; EMS_SYNC_SIM_SEED=n repeats one)
	cargo test --locked -p ems-sync $(FEATURES) --test it --no-run
	EMS_SYNC_SIM_SEEDS=$(or $(SIM_SEEDS),100000) EMS_SYNC_SIM_THREADS=$(or $(SIM_THREADS),$(shell nproc)) \
		cargo test --locked -p ems-sync $(FEATURES) --test it -- --nocapture sim::

campaign: toolchain ## The fault tests at full length, some hours (CAMPAIGN_ARGS, e.g. a test's name)
	cargo test --locked -p ems-sync $(FEATURES) --test it --no-run
	EMS_SYNC_CAMPAIGN=full EMS_SYNC_HOLD_SECONDS=60 $(SERVICES) cargo test --locked -p ems-sync $(FEATURES) --test it -- \
		--nocapture --include-ignored --test-threads 1 \
		$(or $(CAMPAIGN_ARGS),kills:: lost_answers:: outages:: postgres_faults:: broker_faults:: late_writes:: rolling:: five:: each_target:: \
			both_sides:: mailchimp::orders chatwoot::engine runsignup::inbound_deaths explain:: dead_letters:: chromium::)

check: fmt lint test ## Everything CI checks: format, lints, documentation, licences, tests

fmt: toolchain ## Check the format (cargo fmt repairs it)
	cargo fmt --all --check

lint: toolchain ## Clippy, documentation, and with the tools that are installed dependencies and deploy/
	cargo clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	@if command -v cargo-deny >/dev/null; then echo cargo deny check && cargo deny check; \
	else echo 'cargo deny check: skipped, cargo-deny is not installed'; fi
	deploy/check

bench: toolchain ## Run the benchmarks against private services (BENCH_ARGS)
	cargo bench --locked -p ems-sync --bench pipeline --no-run
	$(SERVICES) cargo bench --locked -p ems-sync --bench pipeline $(BENCH_ARGS)

up: ## Start Postgres and RabbitMQ for development and print their addresses
	@deploy/local/up

down: ## Stop what `make up` started; the data stay
	@deploy/local/down

clean: ## Stop the development services, remove their data and the build
	@deploy/local/down --delete
	cargo clean
