# flume-ng: see README.md.
#
#   make                  the program, in target/release/flume-ng
#   make demo             1,000,000 lines through five kills into a real Kafka, counted
#                         (KAFKA=4.3.1 for another version, see tests/kafka/pom.xml)
#   make test             format, lints, unit tests, tests against a real Kafka 0.10.2.0 and 4.3.1
#   make torture          the long tests of faults on Kafka 0.10.2 to 4.3; writes their table
#                         into docs/reliability.md (TORTURE_ROUNDS=n repeats what is random)
#   make install          to PREFIX (default /usr/local), below DESTDIR if that is set
#   make clean

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# Another target directory is cargo's business, but install has to find the program.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

KAFKA ?= 0.10.2.0

.PHONY: all demo test torture install clean

all:
	$(CARGO) build --release --locked

demo:
	$(CARGO) build --release --locked --bin flume-ng --example demo
	"$(CARGO_TARGET_DIR)/release/examples/demo" "$(KAFKA)"

# One broker of each wire for all test programs; they start others for themselves where they break them.
test:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --no-run
	tests/kafka/broker with 0.10.2.0 -- tests/kafka/broker with 4.3.1 -- $(CARGO) test --locked

TORTURE_ROUNDS ?= 1
TORTURE_RESULTS = $(abspath $(CARGO_TARGET_DIR))/torture-results
TORTURE_TESTS = lost_answers crash syscalls broker_faults

# The table is written in any case: a fault that was not survived belongs into it, too. A few
# tests at a time: each has brokers of its own.
torture:
	$(CARGO) test --locked --no-run
	rm -f "$(TORTURE_RESULTS)"
	export FLUME_NG_TORTURE=1 TORTURE_ROUNDS=$(TORTURE_ROUNDS); \
	export FLUME_NG_TORTURE_RESULTS="$(TORTURE_RESULTS)"; \
	$(CARGO) test --locked --no-fail-fast $(TORTURE_TESTS:%=--test %) -- --test-threads=4; \
	status=$$?; \
	tests/torture-report "$(TORTURE_RESULTS)" docs/reliability.md && exit $$status

install: all
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 "$(CARGO_TARGET_DIR)/release/flume-ng" "$(DESTDIR)$(PREFIX)/bin/flume-ng"

clean:
	$(CARGO) clean
