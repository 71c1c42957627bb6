#!/usr/bin/env bash
# Breaks skeg on purpose, one promise at a time, and lets the simulator find it:  tests/mutants/run.sh [NAME…]
#
# Each *.patch here breaks one promise in the real code; what it breaks stands above its diff. It is applied to a copy of the tree, only the
# simulator is built of that, and it must break a promise within a bounded number of seeds. A patch that does not apply, code that does not
# build and a run that panics are failures of this script.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Seeds that a mutant may take. Most are found within ten.
readonly SEEDS=${SKEG_MUTANT_SEEDS:-600}
# What is built here shares the dependencies with every other build of this checkout, and has a version of its own below: cargo would take
# the one package for the other.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# A mutant changes one file, so here it pays.
export CARGO_INCREMENTAL=1
readonly tree=$CARGO_TARGET_DIR/mutants/tree

fail() {
    printf 'mutants: %s\n' "$*" >&2
    exit 1
}

# The files as they are here, committed or not. Those that are the same already keep their times, so that only what changed is built.
mkdir -p "$tree"
(cd "$tree" && find . -type f ! -name '*.log' -print0) | while IFS= read -r -d '' file; do
    [ -e "$file" ] || rm "$tree/$file"
done
git ls-files -z --cached --others --exclude-standard -- Cargo.toml Cargo.lock src tests benches config.example.toml chart |
    while IFS= read -r -d '' file; do
        [ ! -e "$file" ] || cmp --quiet "$file" "$tree/$file" || install -D "$file" "$tree/$file"
    done
cd "$tree"
sed -i '0,/^version = .*/s//version = "0.0.0-mutant"/' Cargo.toml
sed -i '/^name = "skeg"$/{n;s/.*/version = "0.0.0-mutant"/}' Cargo.lock

simulation() { # prints the path of the simulator, built
    local built
    built=$(cargo test --locked --quiet --test simulation --no-run --message-format json 2>"$tree/build.log") ||
        { cat "$tree/build.log" >&2 && return 1; }
    printf '%s\n' "$built" | sed -n 's/.*"executable":"\([^"]*simulation-[^"]*\)".*/\1/p' | tail -n 1
}

names=("$@")
if [ ${#names[@]} = 0 ]; then
    for patch in tests/mutants/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
for name in "${names[@]}"; do
    patch=tests/mutants/$name.patch
    [ -e "$patch" ] || fail "there is no mutant called $name"
    began=$SECONDS
    patch --quiet --strip 1 --fuzz 0 --no-backup-if-mismatch <"$patch" || fail "$name: the patch does not apply: make it anew for the code as it is now"
    binary=$(simulation) || fail "$name: does not build"
    code=0
    told=$("$binary" hunt "$SEEDS" 2>"$tree/run.log") || code=$?
    patch --quiet --strip 1 --fuzz 0 --no-backup-if-mismatch --reverse <"$patch"
    [ "$code" = 0 ] && fail "$name: nothing was found in $SEEDS seeds"
    [ "$code" = 1 ] || { tail -n 20 "$tree/run.log" >&2 && fail "$name: the simulator ended with $code"; }
    found=$(printf '%s\n' "$told" | grep -m 1 '^seed ') || fail "$name: the simulator failed and told no seed"
    case $found in *panicked* | *'not alike'*) fail "$name: not found as a broken promise: $found" ;; esac
    seeds=$(printf '%s\n' "$told" | sed -n 's/^simulation: \([0-9]*\) seeds.*/\1/p')
    printf '%-44s found after %s seeds, %s s: %.220s\n' "$name" "$seeds" "$((SECONDS - began))" "$found"
done
