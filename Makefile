# Counterfoil: what one does with it. `make` alone lists the targets.

CARGO ?= cargo

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## the whole service on this machine: API on https://127.0.0.1:8443, data in .counterfoil/
	@scripts/bootstrap.sh run
	$(CARGO) build --release -p gateway
	exec $(CARGO) run --release -q -p gateway -- dev

.PHONY: test
test: ## all tests, against a real PostgreSQL, real SDKs and real accounting programs
	@scripts/bootstrap.sh test
	$(CARGO) test --workspace

.PHONY: fmt
fmt: ## format the code
	$(CARGO) fmt --all

.PHONY: lint
lint: ## formatting, clippy and documentation links; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps --document-private-items

.PHONY: deny
deny: ## licences, bans and advisories of dependencies (needs cargo-deny)
	$(CARGO) deny check

.PHONY: clean-dev
clean-dev: ## throw the development data away
	@scripts/clean-dev.sh .counterfoil
