# flume-ng: see README.md.
#
#   make                  the program, in target/release/flume-ng
#   make test             format, lints, unit tests, tests against a real Kafka 0.10.2.0
#   make bench            measures it and others, writes docs/bench.md (takes a while)
#   make install          to PREFIX (default /usr/local), below DESTDIR if that is set
#   make clean

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# Another target directory is cargo's business, but install has to find the program.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

.PHONY: all test bench install clean

all:
	$(CARGO) build --release --locked

# One broker for all test programs; they start others for themselves where they break them.
test:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --no-run
	tests/kafka/broker with 0.10.2.0 -- $(CARGO) test --locked

# What it fetches, and its settings: tests/bench/.
bench:
	$(CARGO) build --release --locked
	$(CARGO) bench --locked --bench compare

install: all
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 "$(CARGO_TARGET_DIR)/release/flume-ng" "$(DESTDIR)$(PREFIX)/bin/flume-ng"

clean:
	$(CARGO) clean
