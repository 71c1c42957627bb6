#!/bin/sh
# Builds the real kube-apiserver and etcd for the tests from the Go modules pinned beside this script.
#
#   tests/controlplane/build.sh            build if needed; print the folder that holds the two programs
#   tests/controlplane/build.sh --where    print that folder only; build nothing
#
# The folder is keyed by the hash of go.mod and go.sum, so a changed pin builds anew and an unchanged one costs nothing.
#   KUBEBUILDER_ASSETS   a folder that already holds kube-apiserver and etcd: used as it is
#   SKEG_TEST_CACHE      where built programs are kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/skeg-controlplane
#   SKEG_BUILD_JOBS      packages compiled at the same time; default 2 (the linker alone wants about 2 GB of memory)
# Needs Go 1.24 or newer, and on the first run the Go module proxy.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    echo "$KUBEBUILDER_ASSETS"
    exit 0
fi

cache=${SKEG_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skeg-controlplane}
key=$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -c1-16)
bin="$cache/$key"

if [ "${1:-}" = --where ] || { [ -x "$bin/etcd" ] && [ -x "$bin/kube-apiserver" ]; }; then
    echo "$bin"
    exit 0
fi

if ! command -v go >/dev/null 2>&1; then
    echo "build.sh: go is not on PATH; install Go 1.24 or newer, or set KUBEBUILDER_ASSETS" >&2
    exit 1
fi

# Without these stamps the server calls itself v0.0.0-master and clients that gate on its version misjudge it.
version=$(sed -n 's/.*k8s\.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod" | head -n 1)
minor=$(echo "$version" | cut -d. -f2)
stamp=k8s.io/component-base/version
ldflags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"

mkdir -p "$cache"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

build() { # NAME PACKAGE
    echo "build.sh: building $1 ($2)" >&2
    (cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath -p "${SKEG_BUILD_JOBS:-2}" -ldflags "$ldflags" -o "$work/$1" "$2") >&2
}
build etcd go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver

# Each program appears under its final name whole or not at all: a build that was cut short leaves nothing that looks done.
mkdir -p "$bin"
mv "$work/etcd" "$bin/etcd"
mv "$work/kube-apiserver" "$bin/kube-apiserver"
echo "$bin"
