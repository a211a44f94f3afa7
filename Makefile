# flume-ng: see README.md.
#
#   make                  the program, in target/release/flume-ng
#   make demo             1,000,000 lines through five kills into a real Kafka, counted
#                         (KAFKA=4.3.1 for another version, see tests/kafka/pom.xml)
#   make test             format, lints, unit tests, tests against a real Kafka 0.10.2.0
#   make install          to PREFIX (default /usr/local), below DESTDIR if that is set
#   make clean

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# Another target directory is cargo's business, but install has to find the program.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

KAFKA ?= 0.10.2.0

.PHONY: all demo test install clean

all:
	$(CARGO) build --release --locked

demo:
	$(CARGO) build --release --locked --bin flume-ng --example demo
	"$(CARGO_TARGET_DIR)/release/examples/demo" "$(KAFKA)"

# One broker for all test programs; they start others for themselves where they break them.
test:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --no-run
	tests/kafka/broker with 0.10.2.0 -- $(CARGO) test --locked

install: all
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 "$(CARGO_TARGET_DIR)/release/flume-ng" "$(DESTDIR)$(PREFIX)/bin/flume-ng"

clean:
	$(CARGO) clean
