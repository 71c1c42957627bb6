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
PATH=$PATH:/usr/sbin:/sbin

if [ "$(id -u)" = 0 ]; then user='user root;'; else user=''; fi
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc)
openssl req -x509 "${key[@]}" -days 2 -subj '/CN=test authority' -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
# signed NAME EXTENSION   a key, and a certificate of the authority for it
signed() {
    openssl req "${key[@]}" -subj "/CN=$1" -keyout "$dir/$1.key" -out "$dir/$1.csr" 2>/dev/null
    printf '%s\nbasicConstraints=CA:FALSE\n' "$2" >"$dir/$1.ext"
    openssl x509 -req -days 2 -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -extfile "$dir/$1.ext" -out "$dir/$1.crt" 2>/dev/null
}
signed localhost 'subjectAltName=DNS:localhost'
signed client 'extendedKeyUsage=clientAuth'
openssl req -x509 "${key[@]}" -days 2 -subj '/CN=stranger' -keyout "$dir/stranger.key" -out "$dir/stranger.crt" 2>/dev/null

cat >"$dir/nginx.conf" <<EOF
$user
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path $dir/body;
  fastcgi_temp_path $dir/unused;
  proxy_temp_path $dir/proxy;
  scgi_temp_path $dir/unused;
  uwsgi_temp_path $dir/unused;
  server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate $dir/localhost.crt;
    ssl_certificate_key $dir/localhost.key;
    ssl_client_certificate $dir/ca.crt;
    ssl_verify_client on;
    location / { proxy_pass http://$REGISTRY; }
  }
}
EOF

run nginx nginx -c "$dir/nginx.conf" -e stderr -p "$dir"
until_true test -s "$dir/nginx.pid"
serve
