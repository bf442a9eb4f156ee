# Counterfoil: what one does with it. `make` alone lists the targets.

CARGO ?= cargo
export PATH := $(CURDIR)/.tools/bin:$(PATH)

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
	@rm -rf target/test-remains && mkdir -p target/test-remains
	COUNTERFOIL_TEST_REMAINS=$(CURDIR)/target/test-remains $(CARGO) test --workspace
	@python3 tests/scan.py target/test-remains

.PHONY: screenshots
screenshots: ## every page of the console, light and dark, into target/screenshots
	@scripts/bootstrap.sh test
	$(CARGO) build -p gateway
	@scripts/screenshots.sh target/screenshots

.PHONY: ha
ha: ## the cluster of deploy/ha under load while its parts die, five rounds (root)
	@scripts/bootstrap.sh ha
	$(CARGO) build --release -p gateway -p loadtest
	$(CARGO) run --release -q -p loadtest -- ha --rounds 5

.PHONY: fmt
fmt: ## format the code
	$(CARGO) fmt --all

.PHONY: lint
lint: ## formatting, clippy and documentation links; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps --document-private-items

.PHONY: check
check: lint deny machete ## what must be clean before a release: lint, deny, machete

.PHONY: deny
deny: tools ## licences, bans, sources and advisories of dependencies
	@scripts/deny.sh

.PHONY: machete
machete: tools ## dependencies that nothing uses
	$(CARGO) machete

.PHONY: fuzz
fuzz: tools ## every fuzz target for 30 s, then the API by its description with a new seed
	@scripts/fuzz.sh

.PHONY: sbom
sbom: tools ## what is in the program, as CycloneDX: target/counterfoil.cdx.json
	@scripts/sbom.sh

.PHONY: reproduce
reproduce: ## build the release twice in two places and compare
	@scripts/reproduce.sh

.PHONY: tools
tools:
	@scripts/bootstrap.sh tools

.PHONY: clean-dev
clean-dev: ## throw the development data away
	@scripts/clean-dev.sh .counterfoil
