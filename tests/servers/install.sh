#!/usr/bin/env bash
# Installs the programs that the tests start, on Debian and Ubuntu, as root or where sudo asks for no password.
#
#   tests/servers/install.sh
#
# What is there already is left alone. Where nothing can be installed, it says what is missing and how to get it; the tests
# then leave out what needs it, each with its name. With SKEG_TEST_REQUIRE=1 that is an error.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

# program:package, as in the lists of tests/support
needed=(git:git openssl:openssl docker-registry:docker-registry skopeo:skopeo nginx:nginx fcgiwrap:fcgiwrap htpasswd:apache2-utils sshd:openssh-server ssh:openssh-client python3:python3)

# Prints the packages of the programs that are missing.
missing() {
    local entry
    for entry in "${needed[@]}"; do
        command -v "${entry%%:*}" >/dev/null || echo "${entry#*:}"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_install() {
    command -v apt-get >/dev/null && as_root true 2>/dev/null
}

# Debian starts a server when its package is installed, on a port and with settings that nobody here asked for. This file is
# how an administrator says no; it is taken away again.
policy=/usr/sbin/policy-rc.d
made_policy=0
keep_services_stopped() {
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    made_policy=1
    as_root chmod 755 "$policy"
}
clean_up() {
    [ "$made_policy" = 0 ] || as_root rm -f "$policy"
}
trap clean_up EXIT

install() {
    local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0)
    keep_services_stopped
    as_root "${quiet[@]}" update
    as_root "${quiet[@]}" install --no-install-recommends ca-certificates "$@"
}

# Debian keeps what makes virtual environments apart from the interpreter.
missing_venv() {
    ! command -v python3 >/dev/null || python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

# with_pip NAME SCRIPT ARGUMENT...   what a script beside this one gets from the Python package index
with_pip() {
    "$(dirname "$0")/$2" "${@:3}" >/dev/null && return
    echo "install.sh: $1 is not there; tests/servers/$2 says why" >&2
    [ "${SKEG_TEST_REQUIRE:-}" != 1 ] || exit 1
}

mapfile -t packages < <(missing; missing_venv)
if [ "${#packages[@]}" -gt 0 ]; then
    if can_install; then
        install "${packages[@]}" >&2 || echo "install.sh: apt-get failed" >&2
    fi
    mapfile -t packages < <(missing)
    if [ "${#packages[@]}" -gt 0 ]; then
        echo "install.sh: not installed: ${packages[*]}; get them with: apt-get install ${packages[*]}" >&2
        [ "${SKEG_TEST_REQUIRE:-}" != 1 ] || exit 1
    fi
fi
with_pip "Slack's Python SDKs" slack_sdk.sh
with_pip moto moto.sh --make
