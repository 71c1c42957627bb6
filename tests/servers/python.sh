# Read by the scripts beside it: virtual environments of Python, each with the packages of a list.
# shellcheck shell=bash

# environment NAME LIST   where the one is, or will be: a changed list is another one
environment() {
    echo "${SKEG_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skeg-$1}/$1-$(sha256sum "$2" | cut -c1-12)"
}

# make_environment FOLDER LIST
make_environment() (
    # Made beside its place and moved there whole, so that a cut-off run leaves nothing that looks finished. The scripts of a moved
    # environment do not run, but its interpreter does.
    set -e
    mkdir -p "$(dirname "$1")"
    made=$(mktemp -d "$1.XXXXXX")
    trap 'rm -rf "$made"' EXIT
    python3 -m venv "$made" >&2
    "$made/bin/python" -m pip install -q --disable-pip-version-check -r "$2" >&2
    mv -T "$made" "$1"
)
