#!/bin/sh
# Builds the registries that the tests start beside Debian's, from the Go modules pinned beside this script.
#
#   tests/registries/build.sh            builds what is missing; prints the folder that holds the programs
#   tests/registries/build.sh --where    only prints that folder; fails where they are not all there
#
# The folder holds distribution, which is Docker's registry 3 without the storage of clouds, and crane, whose `registry serve` is the
# registry of go-containerregistry. It is keyed by the hash of what they are made of, so a changed pin builds anew.
#   SKEG_TEST_CACHE      where built programs are kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/skeg-registries
#   SKEG_BUILD_JOBS      packages compiled at the same time; default 2
# Needs Go 1.24 or newer, which gets the newer Go that the modules ask for by itself, and on the first run the Go module proxy.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${SKEG_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skeg-registries}
bin="$cache/registries-$(cat "$here/go.mod" "$here/go.sum" "$here/distribution/main.go" | sha256sum | cut -c1-16)"

if [ "${1:-}" = --where ]; then
    for program in distribution crane; do
        [ -x "$bin/$program" ] || { echo "no $program in $bin" >&2; exit 1; }
    done
    echo "$bin"
    exit 0
fi

mkdir -p "$bin"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

# Each program appears under its final name whole or not at all: a build that was cut short leaves nothing that looks done.
build() { # NAME PACKAGE
    [ ! -x "$bin/$1" ] || return 0
    command -v go >/dev/null 2>&1 || { echo "build.sh: go is not on PATH; install Go 1.24 or newer" >&2; exit 1; }
    echo "build.sh: building $1 ($2)" >&2
    (cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath -p "${SKEG_BUILD_JOBS:-2}" -ldflags '-s -w' -o "$work/$1" "$2") >&2
    mv "$work/$1" "$bin/$1"
}

build distribution ./distribution
build crane github.com/google/go-containerregistry/cmd/crane

echo "$bin"
