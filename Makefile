# What people type. Every target says what it does: `make help`.

SHELL := /bin/bash
.DELETE_ON_ERROR:

# One target folder outside of the checkout, so that fresh clones share what is built.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/affluent/target
# The Python of the tests that ask other programs about our tables.
export AFFLUENT_PYTHON ?= $(HOME)/.cache/affluent/venv/bin/python

# Same features as the whole workspace: see docs/adr/0002-one-feature-set.md.
PROGRAM := -p app -p pins --bin affluent
AFFLUENT := $(CARGO_TARGET_DIR)/debug/affluent
DEMO_DIR ?= boutique
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
NEXTEST_PROFILE ?= default

.PHONY: help setup demo test test-long bench lint fmt doc

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what is missing for everything below
	@scripts/setup build test

demo: ## Build, make sample data, run the sample project end to end
	@scripts/setup build
	@scripts/say "building affluent (the first time takes 20 minutes or so; then seconds)"
	@cargo build $(PROGRAM)
	@$(AFFLUENT) demo $(DEMO_DIR)
	@scripts/say "to call it by its name: export PATH=$(dir $(AFFLUENT)):\$$PATH"

test: ## Run every test that CI needs
	@scripts/setup build test
ifneq ($(NEXTEST),)
	cargo nextest run --workspace --profile $(NEXTEST_PROFILE)
else
	@scripts/say "cargo-nextest is not installed: cargo test does the same, more slowly"
	cargo test --workspace --no-fail-fast
endif

test-long: export AFFLUENT_LONG_TESTS := 1
test-long: export AFFLUENT_BIG := 1
test-long: ## Run the long tests too: every fault of the crash harness, the big torture files
	@scripts/setup build test
ifneq ($(NEXTEST),)
	cargo nextest run --workspace --profile long
else
	cargo test --workspace --no-fail-fast
endif

bench: ## Measure against other tools, in a release build
	@scripts/setup build test bench
	@scripts/say "the release build takes about half an hour the first time"
	cargo build --release -p app -p pins -p bench --bin affluent --bin bench
	"$$HOME/.cache/affluent/venv/bin/python" bench/run.py --affluent "$(CARGO_TARGET_DIR)/release/affluent" \
	  --bench "$(CARGO_TARGET_DIR)/release/bench" --data "$${BENCH_DATA:-$(CARGO_TARGET_DIR)/bench}" $(BENCH)

lint: ## Check format, clippy and the rules of the house
	@scripts/lint

fmt: ## Format the code
	cargo fmt --all

doc: ## Build the book, if mdbook is installed
	@if command -v mdbook >/dev/null; then mdbook build docs; \
	else echo "mdbook is not installed (cargo install mdbook); the pages are in docs/src"; fi
