# The one list of chores. A target holds at most three lines; what is longer is a script in scripts/.
# Every target has its line of help behind `##`; `make` alone prints them.

# Arguments for the program behind a target: make example-1 ARGS="--topic orders --group shop"
ARGS ?=
export INFRA INFRA_PORT INFRA_UI_PORT BOOK_PORT

.DEFAULT_GOAL := help
.PHONY: help setup infra-up infra-down infra-status infra-logs infra-reset examples exercises why \
	book book-serve test test-kafka rows bench-clients lint coverage clean

help: ## List the targets
	@awk -F ':[^#]*## ' '/^[a-z][a-z%-]*:.*## / { sub("%", "N", $$1); printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Check the toolchain, then build the broker and the first example
	@scripts/setup.sh

infra-up: ## Start a broker on localhost:9092 (INFRA=embedded|compose forces which, INFRA_PORT=... where)
	@scripts/infra.sh up

infra-down: ## Stop the broker that infra-up started, and no other
	@scripts/infra.sh down

infra-status: ## Say whether a broker answers, and who started it
	@scripts/infra.sh status

infra-logs: ## Print the broker's log
	@scripts/infra.sh logs

infra-reset: ## Stop the broker, forget every topic and offset, start it again
	@scripts/infra.sh reset

example-%: ## Run example N; starts a broker when none answers (ARGS="--help" shows its options)
	@scripts/example.sh "$*" $(ARGS)

examples: ## Run every example in order, stop at the first failure
	@scripts/example.sh all

exercise-%: ## Check exercise N, such as 1a; a bare 1 checks all of lesson 1
	@scripts/exercise.sh "$*"

exercises: ## List the exercises: which are done, and which is next
	@scripts/exercise.sh list

why: ## Say why a group reads nothing: make why TOPIC=orders GROUP=shop
	@scripts/why.sh "$(TOPIC)" "$(GROUP)"

book: ## Build the book into target/book
	@scripts/book.sh build

book-serve: ## Serve the book on localhost:3000 (BOOK_PORT=... elsewhere)
	@scripts/book.sh serve

test: ## Run every test; nothing needs to be running
	cargo test --workspace
	cargo test --package embedded-broker --features tls,sasl --test security
	cargo test --package kafka-event-streaming --features avro,observability --test avro --test metrics_server

# Not the book's outputs: their commands start a broker of their own whatever is there, and `make test` has run them.
test-kafka: ## Run the same tests on Apache Kafka itself (needs Java and Maven, no Docker)
	scripts/with-apache-kafka.sh cargo test --workspace -- --skip every_output_that_is_shown
	scripts/with-apache-kafka.sh cargo test -p embedded-broker --features tls,sasl --test security refusals

bench-clients: ## Measure the typed clients beside the same loops on rdkafka
	cargo bench --bench clients -- $(ARGS)

rows: ## Print what must work, row by row, and the tests that prove each
	@cargo run --quiet --package workspace-tests --bin print-rows

lint: ## Check formatting, clippy with warnings denied, and the scripts
	cargo fmt --all --check
	@scripts/clippy.sh
	@scripts/lint-scripts.sh

coverage: ## Print how much of the code the tests reach
	@scripts/coverage.sh

clean: infra-down ## Remove build products; what you wrote in exercises/ stays
	cargo clean
