#!/bin/sh
# Builds the programs of a real Kubernetes cluster for the tests, from the Go modules pinned beside this script.
#
#   tests/controlplane/build.sh            build what is missing; print the folder that holds the programs
#   tests/controlplane/build.sh --where    print that folder only; build nothing
#
# The folder holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kwok, which plays nodes,
# and helm. It is keyed by the hash of the go.mod and go.sum, so a changed pin builds anew and an unchanged one costs nothing.
#   KUBEBUILDER_ASSETS   a folder that already holds kube-apiserver and etcd, and may hold kubectl: these are taken from there
#   SKEG_TEST_KUBECONFIG the tests visit the cluster of this kubeconfig (visit.sh): only kubectl, kwok and helm are built
#   SKEG_TEST_CACHE      where built programs are kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/skeg-controlplane
#   SKEG_BUILD_JOBS      packages compiled at the same time; default 2 (the linker alone wants about 2 GB of memory)
# Needs Go 1.24 or newer, and on the first run the Go module proxy.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools="$here/tools"
assets=${KUBEBUILDER_ASSETS:-}

cache=${SKEG_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skeg-controlplane}
hash() {
    sha256sum | cut -c1-16
}
built="$cache/$(cat "$here/go.mod" "$here/go.sum" "$tools/go.mod" "$tools/go.sum" | hash)"
# With programs from elsewhere it is a folder of links, so that nothing is built twice.
bin=$built
[ -z "$assets" ] || bin="$built-$(echo "$assets" | hash)"

if [ "${1:-}" = --where ]; then
    echo "$bin"
    exit 0
fi

# Without these stamps the programs call themselves v0.0.0-master and clients that gate on a version misjudge them.
version=$(sed -n 's/.*k8s\.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod" | head -n 1)
minor=$(echo "$version" | cut -d. -f2)
stamp=k8s.io/component-base/version
ldflags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"

mkdir -p "$built" "$bin"
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
    if [ ! -x "$built/$2" ]; then
        go_is_needed
        echo "build.sh: building $2 ($3)" >&2
        began=$(date +%s)
        (cd "$1" && CGO_ENABLED=0 go build -mod=readonly -trimpath -p "${SKEG_BUILD_JOBS:-2}" -ldflags "$ldflags" -o "$work/$2" "$3") >&2
        mv "$work/$2" "$built/$2"
        echo "build.sh: $2 took $(($(date +%s) - began)) s" >&2
    fi
    [ "$bin" = "$built" ] || ln -sf "$built/$2" "$bin/"
}

for program in etcd kube-apiserver kubectl; do
    if [ -n "$assets" ] && [ -x "$assets/$program" ]; then
        ln -sf "$(cd "$assets" && pwd)/$program" "$bin/"
    fi
done
if [ -z "${SKEG_TEST_KUBECONFIG:-}" ]; then
    build "$here" etcd go.etcd.io/etcd/server/v3
    build "$here" kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
    build "$here" kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
    build "$here" kube-scheduler k8s.io/kubernetes/cmd/kube-scheduler
fi
build "$here" kubectl k8s.io/kubernetes/cmd/kubectl
build "$tools" kwok sigs.k8s.io/kwok/cmd/kwok
build "$tools" helm helm.sh/helm/v3/cmd/helm

echo "$bin"
