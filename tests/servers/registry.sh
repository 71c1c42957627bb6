#!/usr/bin/env bash
# Runs Docker's registry, Debian's or the one of tests/registries, on 127.0.0.1 until standard input ends.
#
#   tests/servers/registry.sh PORT [DIR]
#
# DIR, an empty folder (default: a new one), holds everything and is removed in the end. Prints "ready" when it answers.
# Optional, by environment:
#   REGISTRY=program               another one than docker-registry
#   PAGE_TAGS=number               tags in one page at most, which only the newer one knows
#   LOGIN=user:password            Basic authentication
#   TOKEN_REALM=url                Bearer tokens of issuer and service "test", signed by the key of DIR/tokens.crt
#   NOTIFY_URL=url                 post notifications there ...
#   NOTIFY_HEADER='Name: value'    ... with this header
# Needs docker-registry or REGISTRY, and htpasswd (apache2-utils) for LOGIN.
set -euo pipefail
port=$1
dir=${2:-$(mktemp -d "${TMPDIR:-/tmp}/skeg-registry.XXXXXX")}
. "$(dirname "$0")/supervise.sh"

authentication() {
    if [ -n "${LOGIN:-}" ]; then
        # Cost 4 is the least that bcrypt takes; the password protects nothing.
        htpasswd -niB -C 4 "${LOGIN%%:*}" <<<"${LOGIN#*:}" | grep . >"$dir/htpasswd"
        echo "auth: { htpasswd: { realm: test, path: '$dir/htpasswd' } }"
    elif [ -n "${TOKEN_REALM:-}" ]; then
        echo "auth: { token: { realm: '$TOKEN_REALM', service: test, issuer: test, rootcertbundle: '$dir/tokens.crt' } }"
    fi
}

# Layers are noise to a receiver: with their media type ignored, only events about manifests are sent.
notifications() {
    [ -n "${NOTIFY_URL:-}" ] || return 0
    cat <<EOF
notifications:
  endpoints:
    - name: test
      url: '$NOTIFY_URL'
      headers: { '${NOTIFY_HEADER%%:*}': ['${NOTIFY_HEADER#*: }'] }
      timeout: 2s
      threshold: 3
      backoff: 1s
      ignore: { mediatypes: [application/octet-stream] }
EOF
}

pages() {
    [ -z "${PAGE_TAGS:-}" ] || echo "tags: { maxtags: $PAGE_TAGS }"
}

cat >"$dir/config.yml" <<EOF
version: 0.1
log: { level: info }
storage:
  filesystem: { rootdirectory: '$dir/data' }
  delete: { enabled: true }
http: { addr: '127.0.0.1:$port', secret: of-no-use }
$(authentication)
$(notifications)
$(pages)
EOF

# Both have tracing, which complains for ever when it has nowhere to send to.
run registry env OTEL_TRACES_EXPORTER=none "${REGISTRY:-docker-registry}" serve "$dir/config.yml"
until_true grep -q 'listening on' "$dir/registry.log"
serve
