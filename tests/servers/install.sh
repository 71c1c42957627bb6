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
slack_sdk() {
    "$(dirname "$0")/slack_sdk.sh" >/dev/null && return
    echo "install.sh: Slack's Python SDKs are not there; tests/servers/slack_sdk.sh says why" >&2
    [ "${SKEG_TEST_REQUIRE:-}" != 1 ] || exit 1
}

moto() {
    "$(dirname "$0")/moto.sh" --make && return
    echo "install.sh: moto is not there; tests/servers/moto.sh says why" >&2
    [ "${SKEG_TEST_REQUIRE:-}" != 1 ] || exit 1
}

mapfile -t packages < <(missing; missing_venv)
if [ "${#packages[@]}" = 0 ]; then
    slack_sdk
    moto
    exit 0
fi
if can_install; then
    install "${packages[@]}" >&2 || echo "install.sh: apt-get failed" >&2
fi
mapfile -t packages < <(missing)
if [ "${#packages[@]}" -gt 0 ]; then
    echo "install.sh: not installed: ${packages[*]}; get them with: apt-get install ${packages[*]}" >&2
    [ "${SKEG_TEST_REQUIRE:-}" != 1 ] || exit 1
fi
slack_sdk
moto
