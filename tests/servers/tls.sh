#!/usr/bin/env bash
# Speaks TLS on https://localhost:PORT in front of a Slack that does not, until standard input ends: nginx passes /api/ on to one
# address and the sockets at /link/ to another. It offers HTTP/2, as Slack does.
#
#   WEB=host:port SOCKETS=host:port tests/servers/tls.sh PORT [DIR]
#
# DIR (default: a new folder) gets ca.crt, which clients have to trust, and is removed in the end. Prints "ready" when it answers.
# Needs nginx and openssl.
set -euo pipefail
port=$1
dir=${2:-$(mktemp -d "${TMPDIR:-/tmp}/skeg-tls.XXXXXX")}
. "$(dirname "$0")/supervise.sh"
. "$(dirname "$0")/front.sh"

self_signed ca 'test authority'
signed localhost 'subjectAltName=DNS:localhost'

front <<EOF
  server {
    listen 127.0.0.1:$port ssl http2;
    ssl_certificate $dir/localhost.crt;
    ssl_certificate_key $dir/localhost.key;
    proxy_http_version 1.1;
    location /api/ { proxy_pass http://$WEB; }
    location /link/ {
      proxy_pass http://$SOCKETS;
      proxy_set_header Upgrade \$http_upgrade;
      proxy_set_header Connection upgrade;
    }
  }
EOF
serve
