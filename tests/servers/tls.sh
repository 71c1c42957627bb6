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
PATH=$PATH:/usr/sbin:/sbin

if [ "$(id -u)" = 0 ]; then user='user root;'; else user=''; fi
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2)
openssl req -x509 "${key[@]}" -subj '/CN=test authority' -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
openssl req "${key[@]:0:5}" -subj /CN=localhost -keyout "$dir/tls.key" -out "$dir/tls.csr" 2>/dev/null
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >"$dir/tls.ext"
openssl x509 -req -days 2 -in "$dir/tls.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -extfile "$dir/tls.ext" -out "$dir/tls.crt" 2>/dev/null

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
    listen 127.0.0.1:$port ssl http2;
    ssl_certificate $dir/tls.crt;
    ssl_certificate_key $dir/tls.key;
    proxy_http_version 1.1;
    location /api/ { proxy_pass http://$WEB; }
    location /link/ {
      proxy_pass http://$SOCKETS;
      proxy_set_header Upgrade \$http_upgrade;
      proxy_set_header Connection upgrade;
    }
  }
}
EOF

run nginx nginx -c "$dir/nginx.conf" -e stderr -p "$dir"
until_true test -s "$dir/nginx.pid"
serve
