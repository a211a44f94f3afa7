# flume-ng: see README.md.
#
#   make                  the program, in target/release/flume-ng
#   make demo             1,000,000 lines through five kills into a real Kafka, counted
#                         (KAFKA=4.3.1 for another version, see tests/kafka/pom.xml)
#   make check            format, lints, and all tests that need no broker
#   make test             the same, and the tests against a real Kafka 0.10.2.0 and 4.3.1, and
#                         those of the page in a browser (chromium, if it is there)
#   make torture          the long tests of faults on Kafka 0.8.2 to 4.3; writes their table
#                         into docs/reliability.md (TORTURE_ROUNDS=n repeats what is random)
#   make soak             MINUTES (10) of roll-overs, kills and restarts under 20,000 lines a second,
#                         with a report
#   make bench            measures it and others, writes docs/bench.md (takes a while)
#   make bench-quick      BASE (main) and this tree in turns: lines/s, CPU a line, memory and latency,
#                         with a verdict, in two minutes besides the builds
#   make fuzz             what others write and we read, under libFuzzer, each kind for SECONDS (60);
#                         needs a C++ compiler
#   make bench-verify     MEGABYTES (10,000; three times as much on the disk) delivered, then verified and read
#                         by kcat in turns
#   make install          program, man page, completions, documents and examples, to PREFIX (default
#                         /usr/local), below DESTDIR if that is set
#   make install-service  the same, and the user flume-ng, its directories and the unit
#   make deb              a Debian package, in target/debian (wants dpkg-deb)
#   make rpm              an RPM package, in target/rpm (wants rpmbuild)
#   make release          tarballs for each target that is installed, what is in them (CycloneDX; wants jq)
#                         and checksums, in target/dist
#   make static           a program without shared libraries (wants the target
#                         x86_64-unknown-linux-musl)
#   make container        an image with it and nothing else (wants podman or buildah)
#   make screenshot       docs/page.png, of the page that the monitoring port serves (wants chromium)
#   make documents        the man page and the completions anew, from the table of options
#   make clean

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# Another target directory is cargo's business, but install has to find the program.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

KAFKA ?= 0.10.2.0

.PHONY: all bench bench-quick bench-verify built check container demo deb documents fuzz install install-service release rpm screenshot soak static test torture clean

MUSL = x86_64-unknown-linux-musl

# What `flume-ng version` tells. The day is that of the commit, so that the same source gives
# the same program; the checksum is git's of the source tree.
all static release: export FLUME_NG_REVISION := $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
all static release: export FLUME_NG_CHECKSUM := $(shell git rev-parse 'HEAD^{tree}' 2>/dev/null || echo unknown)
all static release: export FLUME_NG_BUILD_DATE := $(shell git log -1 --format=%cd --date=short 2>/dev/null || echo 'an unknown date')

all:
	$(CARGO) build --release --locked

demo:
	$(CARGO) build --release --locked --bin flume-ng --example demo
	"$(CARGO_TARGET_DIR)/release/examples/demo" "$(KAFKA)"

# cargo-deny looks after licenses, sources and crates that are there twice.
DENY := $(shell $(CARGO) deny --version >/dev/null 2>&1 && echo yes)

# Clippy looks at each crate of ours as it is built: one pass in place of two.
LINT = RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings

# Most tests wait more than they compute.
TEST_THREADS ?= 12

# All that needs no broker: after a build, a matter of seconds.
check:
	$(CARGO) fmt --check
	$(if $(DENY),$(CARGO) deny --offline check bans licenses sources,@echo 'cargo-deny is not installed: deny.toml is not looked at' >&2)
	$(LINT) $(CARGO) test --locked --all-targets --no-run
	$(LINT) $(CARGO) test --locked --lib --bins --test fast --test simulation -- --test-threads=$(TEST_THREADS)

# Tests that strike at system calls need strace, and the right to trace.
WITHOUT_STRACE := $(shell strace -f -qq -o /dev/null -e inject=fsync:error=EIO:when=1 true 2>/dev/null || echo --skip syscalls)

# Tests of the page in a browser need one.
CHROMIUM ?= chromium
export FLUME_NG_CHROMIUM = $(CHROMIUM)
WITHOUT_CHROMIUM := $(shell command -v "$(CHROMIUM)" >/dev/null 2>&1 || echo --skip page::)

# One broker of each wire for all tests; they start others for themselves where they break them.
test: check
	FLUME_NG_PACKAGES=1 $(LINT) $(CARGO) test --locked --test fast -- packaging
	$(if $(WITHOUT_STRACE),@echo 'strace is missing or may not trace: the tests syscalls:: are left out' >&2)
	$(if $(WITHOUT_CHROMIUM),@echo 'there is no $(CHROMIUM): the tests of the page are left out (on Debian: apt-get install chromium)' >&2)
	tests/kafka/broker with 4.3.1 0.10.2.0 -- \
	  env $(LINT) $(CARGO) test --locked --test kafka -- --test-threads=$(TEST_THREADS) $(WITHOUT_STRACE) $(WITHOUT_CHROMIUM)

# The picture of the page in docs/.
screenshot:
	tests/kafka/broker with 4.3.1 -- $(CARGO) test --locked --test kafka -- --ignored page::screenshot

MINUTES ?= 10

soak:
	FLUME_NG_SOAK_MINUTES=$(MINUTES) $(CARGO) test --release --locked --test soak -- --ignored --nocapture

TORTURE_ROUNDS ?= 1
# Fewer: most of these have brokers of their own.
TORTURE_THREADS ?= 4
TORTURE_RESULTS = $(abspath $(CARGO_TARGET_DIR))/torture-results
# The modules with rows of the table. Each test notes its own.
TORTURE_TESTS = lost_answers crash syscalls broker_faults other_log changes silent_brokers limits \
  files economy::finished doubts once verify check status monitor letters wire_faults growth sasl tls \
  taildir spooldir first_start logrotate routes real_flume brokers recipes

# The table is written in any case: a fault that was not survived belongs into it, too. A few
# tests at a time: each has brokers of its own.
torture:
	$(CARGO) test --locked --no-run
	rm -f "$(TORTURE_RESULTS)"
	export FLUME_NG_TORTURE=1 TORTURE_ROUNDS=$(TORTURE_ROUNDS); \
	export FLUME_NG_TORTURE_RESULTS="$(TORTURE_RESULTS)"; \
	$(CARGO) test --locked --test simulation -- every_line followed_files dropped_files a_crash_at_every_call; simulation=$$?; \
	$(CARGO) test --locked --test kafka -- --include-ignored --test-threads=$(TORTURE_THREADS) $(TORTURE_TESTS:%=%::) $(WITHOUT_STRACE); \
	status=$$(($$? | simulation)); \
	tests/torture-report "$(TORTURE_RESULTS)" docs/reliability.md && exit $$status

# What it fetches, and its settings: tests/bench/. zstd, which is not in the usual program, is
# measured as well.
bench:
	$(CARGO) bench --locked --features zstd --bench compare

SECONDS ?= 60
FUZZ_HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
# As cargo-fuzz sets them, without what needs a nightly compiler.
FUZZ_FLAGS = --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks
FUZZ_DIR = $(abspath $(CARGO_TARGET_DIR))/fuzz

# What is found beyond the corpus stays in target/fuzz/found, what fails is named there.
fuzz:
	RUSTFLAGS="$(FUZZ_FLAGS)" CARGO_TARGET_DIR="$(FUZZ_DIR)" \
	  $(CARGO) build --release --locked --manifest-path fuzz/Cargo.toml --target $(FUZZ_HOST) --bins
	for target in $$(ls fuzz/corpus); do \
	  mkdir -p "$(FUZZ_DIR)/found/$$target" && \
	  "$(FUZZ_DIR)/$(FUZZ_HOST)/release/$$target" -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 \
	    -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$(FUZZ_DIR)/$$target-" \
	    "$(FUZZ_DIR)/found/$$target" "fuzz/corpus/$$target" || exit 1; \
	done

BASE ?= main
BASE_TREE = $(abspath $(CARGO_TARGET_DIR))/bench-base

# The other tree and what was built of it stay, so that a second comparison builds little.
bench-quick:
	@git rev-parse --verify --quiet "$(BASE)^{commit}" >/dev/null || { echo "make bench-quick: BASE=$(BASE) is no commit" >&2; exit 1; }
	[ -e "$(BASE_TREE)/.git" ] || git worktree add --detach "$(BASE_TREE)" "$(BASE)"
	git -C "$(BASE_TREE)" checkout --quiet --detach "$$(git rev-parse "$(BASE)^{commit}")"
	CARGO_TARGET_DIR="$(BASE_TREE)/target" $(CARGO) build --release --locked --manifest-path "$(BASE_TREE)/Cargo.toml"
	BENCH_BASE="$(BASE_TREE)/target/release/flume-ng" $(CARGO) bench --locked --bench compare

MEGABYTES ?= 10000

bench-verify:
	BENCH_ONLY=verify BENCH_VERIFY_MB=$(MEGABYTES) BENCH_RUNS=3 $(CARGO) bench --locked --bench compare

SHARE = $(DESTDIR)$(PREFIX)/share

PROGRAM = $(CARGO_TARGET_DIR)/release/flume-ng

# rustup installs cargo for one user, and root does not find it under sudo: then what that user has built
# is installed, if it is that of these sources.
built:
	@[ -x "$(PROGRAM)" ] && [ -z "$$(find src Cargo.toml Cargo.lock -newer "$(PROGRAM)")" ] || \
	  { echo 'make install: $(CARGO) is not found, and $(PROGRAM) is not that of these sources; run make first, as the user who has cargo' >&2; exit 1; }

install: $(if $(shell command -v $(CARGO) 2>/dev/null),all,built)
	install -D -m 755 "$(PROGRAM)" "$(DESTDIR)$(PREFIX)/bin/flume-ng"
	install -D -m 644 packaging/man/flume-ng.1 "$(SHARE)/man/man1/flume-ng.1"
	install -D -m 644 packaging/completions/flume-ng.bash "$(SHARE)/bash-completion/completions/flume-ng"
	install -D -m 644 packaging/completions/_flume-ng "$(SHARE)/zsh/site-functions/_flume-ng"
	install -D -m 644 packaging/completions/flume-ng.fish "$(SHARE)/fish/vendor_completions.d/flume-ng.fish"
	install -d "$(SHARE)/doc/flume-ng/docs" "$(SHARE)/doc/flume-ng/examples"
	install -m 644 README.md README.zh.md CHANGELOG.md LICENSE "$(SHARE)/doc/flume-ng/"
	install -m 644 docs/*.md docs/*.svg docs/*.png "$(SHARE)/doc/flume-ng/docs/"
	install -m 644 flume.conf.example packaging/crontab packaging/logrotate packaging/*.service \
	  packaging/prometheus/* packaging/grafana/* packaging/kubernetes/* "$(SHARE)/doc/flume-ng/examples/"
	@echo
	@echo 'Installed. To run it as a service it needs the user flume-ng, who owns /var/lib/flume-ng and'
	@echo '/var/log/flume-ng, and /etc/flume-ng/flume.conf. As root: make install-service'

# The user, its directories, a configuration to be edited, and the unit; what is there stays.
install-service: install
	@id flume-ng >/dev/null 2>&1 || [ -n "$(DESTDIR)" ] || \
	  useradd --system --user-group --home-dir /var/lib/flume-ng --no-create-home --shell /usr/sbin/nologin flume-ng
	install -d "$(DESTDIR)/var/lib/flume-ng" "$(DESTDIR)/var/log/flume-ng" "$(DESTDIR)/etc/flume-ng"
	[ -n "$(DESTDIR)" ] || chown flume-ng:flume-ng /var/lib/flume-ng /var/log/flume-ng
	chmod 750 "$(DESTDIR)/var/lib/flume-ng" "$(DESTDIR)/var/log/flume-ng"
	[ -e "$(DESTDIR)/etc/flume-ng/flume.conf" ] || install -m 644 flume.conf.example "$(DESTDIR)/etc/flume-ng/flume.conf"
	install -d "$(DESTDIR)/etc/systemd/system"
	sed 's#/usr/local/bin/#$(PREFIX)/bin/#' packaging/flume-ng.service >"$(DESTDIR)/etc/systemd/system/flume-ng.service"
	@echo
	@echo 'Edit /etc/flume-ng/flume.conf, then: systemctl enable --now flume-ng'
	@echo 'Without systemd: crontab -u flume-ng packaging/crontab'

deb: all
	packaging/deb/build "$(CARGO_TARGET_DIR)/release/flume-ng" "$(CARGO_TARGET_DIR)/debian"

rpm: all
	packaging/rpm "$(CARGO_TARGET_DIR)/release/flume-ng" "$(CARGO_TARGET_DIR)/rpm"

release:
	packaging/release "$(CARGO_TARGET_DIR)/dist"

# What ring has of C takes nothing from a C library, so that any compiler for the processor does.
static release: export CC_x86_64_unknown_linux_musl := $(or $(CC_x86_64_unknown_linux_musl),$(shell command -v musl-gcc || command -v x86_64-linux-musl-gcc || command -v cc))

static:
	@$(CARGO) --version >/dev/null
	@if ! rustc --print target-libdir --target $(MUSL) 2>/dev/null | xargs -r ls >/dev/null 2>&1; then \
	  rustup target add $(MUSL) || { echo "make static: the target $(MUSL) is not installed and cannot be fetched; install it with: rustup target add $(MUSL)" >&2; exit 1; }; \
	fi
	$(CARGO) build --release --locked --target $(MUSL)
	@echo "$(CARGO_TARGET_DIR)/$(MUSL)/release/flume-ng"

# By podman or buildah, whichever there is.
BUILDER := $(shell command -v podman || command -v buildah)
container: static
	@[ -n "$(BUILDER)" ] || { echo 'make container: neither podman nor buildah is there' >&2; exit 1; }
	"$(BUILDER)" build -f packaging/container/Containerfile -t flume-ng \
	  --build-arg PROGRAM="$(CARGO_TARGET_DIR)/$(MUSL)/release/flume-ng" .

documents:
	FLUME_NG_WRITE_DOCS=1 $(CARGO) test --locked --test fast -- documentation

clean:
	$(CARGO) clean
