# `make demo` and `make test` need nothing but git, Rust and apt: `setup` installs the Debian packages that are missing.
# The machine's own libvirt is never touched: demo and tests start a private one.

# Where `setup` puts Node.js if the machine's own is too old.
export PATH := $(CURDIR)/target/testbed/node/bin:$(PATH)

FEATURES := --features cadenas-cli/crash-points

.PHONY: help setup guest demo playground pictures test lint bench openapi

help:          ## What there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/'

setup:         ## Install the packages that are missing, and make the test guest
	@e2e/setup.sh

guest:         ## The same without the tools that only linters and tests use
	@e2e/setup.sh guest

demo: guest    ## Encrypt a real VM, start it, change its key while it runs
	cargo build --release --locked -p cadenas-cli -p cadenas-e2e
	CADENAS_BIN=$(CURDIR)/target/release/cadenas target/release/demo

playground: guest  ## Two sites with VMs and a key server, to click through the web console
	cargo build --locked -p cadenas-cli -p cadenas-e2e
	CADENAS_BIN=$(CURDIR)/target/debug/cadenas target/debug/playground

pictures:      ## Take the user guide's pictures anew, in a real browser on real servers
	@command -v pngquant > /dev/null || { echo "pictures: install pngquant first (apt-get install pngquant)"; exit 1; }
	@e2e/setup.sh cargo-nextest
	cargo build --locked -p cadenas-cli -p cadenas-e2e
	rm -rf target/pictures
	CADENAS_PICTURES=$(CURDIR)/target/pictures npm --prefix web run test:real -- workflow
	pngquant --force --ext .png --speed 1 --strip --nofs target/pictures/*/*.png
	rm -rf docs/pictures
	mv target/pictures docs/pictures
	npm --prefix web test -- guide

test:          ## Every test, the real ones included
	@e2e/setup.sh cargo-nextest
	cargo nextest run --workspace --locked --no-fail-fast $(FEATURES)
	npm --prefix web test
	npm --prefix web run build
	npm --prefix web run test:browser
	cargo build --workspace --bins --locked $(FEATURES)
	npm --prefix web run test:real

lint:          ## Format, clippy, the console's types, licences and advisories
	@e2e/setup.sh cargo-deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings
	npm --prefix web run check
	cargo deny --offline check licenses bans sources
	@if timeout 60 cargo deny fetch db 2> /dev/null; then cargo deny check advisories; \
	else echo "lint: the database of advisories cannot be reached; it was not checked"; fi

bench: guest   ## Speeds as ratios to a peer in the same run
	cargo build --release --locked -p cadenas-cli
	cargo bench --locked -p cadenas-secret --bench xts
	CADENAS_BIN=$(CURDIR)/target/release/cadenas cargo bench --locked -p cadenas-image --bench disk
	cargo bench --locked -p cadenas-image --bench convert
	CADENAS_BIN=$(CURDIR)/target/release/cadenas cargo bench --locked -p cadenas-e2e --bench recrypt
	CADENAS_BIN=$(CURDIR)/target/release/cadenas cargo bench --locked -p cadenas-e2e --bench bulk
	cargo build --release --locked -p cadenas-e2e
	CADENAS_BIN=$(CURDIR)/target/release/cadenas CADENAS_PLAYGROUND=$(CURDIR)/target/release/playground npm --prefix web run bench

openapi:       ## Write crates/api/openapi.json anew after a change of the API
	UPDATE_OPENAPI=1 cargo test --locked -p cadenas-server openapi
