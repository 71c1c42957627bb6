#!/usr/bin/env bash
# Speaks TLS on https://localhost:PORT in front of a registry that does not, until standard input ends. It wants a certificate of whoever asks.
#
#   REGISTRY=host:port tests/servers/tls_registry.sh PORT [DIR]
#
# DIR (default: a new folder) gets ca.crt, which clients have to trust, client.crt and client.key, which they have to show, and stranger.crt and
# stranger.key of nobody known; it is removed in the end. Prints "ready" when it answers. Needs nginx and openssl.
set -euo pipefail
port=$1
dir=${2:-$(mktemp -d "${TMPDIR:-/tmp}/skeg-tls-registry.XXXXXX")}
. "$(dirname "$0")/supervise.sh"
. "$(dirname "$0")/front.sh"

self_signed ca 'test authority'
signed localhost 'subjectAltName=DNS:localhost'
signed client 'extendedKeyUsage=clientAuth'
self_signed stranger stranger

front <<EOF
  server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate $dir/localhost.crt;
    ssl_certificate_key $dir/localhost.key;
    ssl_client_certificate $dir/ca.crt;
    ssl_verify_client on;
    location / { proxy_pass http://$REGISTRY; }
  }
EOF
serve
