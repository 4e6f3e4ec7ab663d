# What people and robots start by name. Every target works from a fresh checkout.

.DEFAULT_GOAL := help
.PHONY: help build demo run test bench scale soak lint deps

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the daemon, optimised
	cargo build --release --locked

demo: build ## show and check, in a scratch directory, what countersign promises
	demo/run.sh

run: build ## run the daemon on SoftHSM in ./run, with commands to try
	demo/run.sh --stay

test: deps ## run all tests
	cargo test --locked

bench: deps ## measure payments per second against the token's own rate
	cargo bench --locked --bench throughput

scale: ## measure what millions of payments on record cost
	cargo bench --locked --bench scale

soak: deps ## run the tests at full size; takes hours
	COUNTERSIGN_SOAK=1 cargo test --release --locked

lint: ## check formatting, and the code with clippy
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings

deps: ## install what the tests need, or name the packages
	@.ci/need softhsm2-util:softhsm2 script:bsdutils openssl:openssl python3:python3 p11-kit:p11-kit \
	  pkcs11-tool:opensc jose:jose jq:jq strace:strace curl:curl cc:gcc /usr/include/stdlib.h:libc6-dev
