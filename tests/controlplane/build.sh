#!/bin/sh
# Builds the programs of a real Kubernetes cluster for the tests, from the Go modules pinned beside this script.
#
#   tests/controlplane/build.sh            build what is missing; print the folder that holds the programs
#   tests/controlplane/build.sh --where    print that folder only; build nothing
#
# The folder holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok, which plays nodes,
# and helm. It is keyed by the hash of the go.mod and go.sum, so a changed pin builds anew and an unchanged one costs nothing.
#   KUBEBUILDER_ASSETS   a folder that already holds kube-apiserver and etcd: these two are taken from there
#   SKEG_TEST_CACHE      where built programs are kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/skeg-controlplane
#   SKEG_BUILD_JOBS      packages compiled at the same time; default 2 (the linker alone wants about 2 GB of memory)
# Needs Go 1.24 or newer, and on the first run the Go module proxy.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools="$here/tools"
assets=${KUBEBUILDER_ASSETS:-}

cache=${SKEG_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skeg-controlplane}
key=$( (cat "$here/go.mod" "$here/go.sum" "$tools/go.mod" "$tools/go.sum"; echo "$assets") | sha256sum | cut -c1-16)
bin="$cache/$key"

if [ "${1:-}" = --where ]; then
    echo "$bin"
    exit 0
fi

# Without these stamps the programs call themselves v0.0.0-master and clients that gate on a version misjudge them.
version=$(sed -n 's/.*k8s\.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod" | head -n 1)
minor=$(echo "$version" | cut -d. -f2)
stamp=k8s.io/component-base/version
ldflags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"

mkdir -p "$bin"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

go_is_needed() {
    if ! command -v go >/dev/null 2>&1; then
        echo "build.sh: go is not on PATH; install Go 1.24 or newer" >&2
        exit 1
    fi
}

# Each program appears under its final name whole or not at all: a build that was cut short leaves nothing that looks done.
build() { # MODULE NAME PACKAGE
    [ ! -x "$bin/$2" ] || return 0
    go_is_needed
    echo "build.sh: building $2 ($3)" >&2
    (cd "$1" && CGO_ENABLED=0 go build -mod=readonly -trimpath -p "${SKEG_BUILD_JOBS:-2}" -ldflags "$ldflags" -o "$work/$2" "$3") >&2
    mv "$work/$2" "$bin/$2"
}

if [ -n "$assets" ]; then
    ln -sf "$assets/etcd" "$assets/kube-apiserver" "$bin/"
fi
build "$here" etcd go.etcd.io/etcd/server/v3
build "$here" kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build "$here" kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
build "$here" kube-scheduler k8s.io/kubernetes/cmd/kube-scheduler
build "$tools" kwok sigs.k8s.io/kwok/cmd/kwok
build "$tools" helm helm.sh/helm/v3/cmd/helm

echo "$bin"
