# make test        passes the tests; on Debian and Ubuntu, as root or with sudo, it installs what they need first.
# make test-long   passes those again that a few seconds show little of, for minutes: skeg is killed 200 times and left alone; two
#                  replicas hand over 50 times, start together 100 times, and the one that leads is stopped for a minute.
#                  SKEG_TEST_KILLS, SKEG_TEST_SEED, SKEG_TEST_QUIET (seconds), SKEG_TEST_HANDOVERS, SKEG_TEST_STARTS and
#                  SKEG_TEST_STOPPED (seconds) say how often, when and for how long.
# make simulate    searches simulated worlds for a broken promise, for two minutes: make simulate [FOR=seconds] [FROM=seed]
# make fuzz        searches for a text that a reader of foreign texts breaks at, for a minute: make fuzz [FOR=seconds] [TARGET=name] [SEED=n].
#                  Targets are the files of src/fuzz; without one they share the time. What fails is saved and printed.
#
# What cannot be had is named, with how to get it, and the tests that need it are left out, each by name.
# With SKEG_TEST_REQUIRE=1 it is an error instead.

.PHONY: test test-long simulate fuzz needs controlplane registries

# Tests on the real servers wait more than they compute, so more of them run side by side than there are processors.
test: needs controlplane registries
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(nproc) * 2))} cargo test --locked

test-long: needs controlplane
	SKEG_TEST_KILLS=$${SKEG_TEST_KILLS:-200} SKEG_TEST_QUIET=$${SKEG_TEST_QUIET:-250} SKEG_TEST_HANDOVERS=$${SKEG_TEST_HANDOVERS:-50} \
	    SKEG_TEST_STARTS=$${SKEG_TEST_STARTS:-100} SKEG_TEST_STOPPED=$${SKEG_TEST_STOPPED:-60} \
	    cargo test --locked --test main --test random_kills -- --nocapture killed_at_random a_quiet_skeg on_a_real_api_server_hands_over \
	    killed_on_a_real_api_server that_start_together_on_a_real_api_server stopped_for_long

simulate:
	cargo test --locked --test simulation -- search $${FOR:-120} $${FROM:-1}

fuzz:
	SKEG_FUZZ_SECONDS=$${FOR:-60} SKEG_FUZZ_SEED=$${SEED:-1} SKEG_FUZZ_TARGET=$$TARGET \
	    cargo test --locked --lib fuzz:: -- --nocapture --test-threads=1

# The real servers: a registry, a Git server, and the clients that talk to them.
needs:
	@tests/servers/install.sh

# The real control plane, kwok and helm, built from Go modules; later runs find them built.
controlplane:
	@tests/controlplane/build.sh >/dev/null || { \
	    echo 'left out: tests on a real control plane: needs Go 1.24 or newer (https://go.dev/dl)' >&2; \
	    [ "$$SKEG_TEST_REQUIRE" != 1 ]; }

# Registries that Debian does not have, built from Go modules; later runs find them built.
registries:
	@tests/registries/build.sh >/dev/null || { \
	    echo 'left out: tests on distribution 3 and crane: they need Go 1.24 or newer (https://go.dev/dl)' >&2; \
	    [ "$$SKEG_TEST_REQUIRE" != 1 ]; }
