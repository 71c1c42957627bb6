# Read by the scripts beside it, after supervise.sh: nginx in front of a server, and certificates for it.
# shellcheck shell=bash

# Debian has nginx and fcgiwrap where only root looks.
PATH=$PATH:/usr/sbin:/sbin

# front   starts nginx with the settings on standard input (those of its http block) and waits until it runs
front() {
    local user=
    # As root nginx would give up its rights, and with them the way into $dir.
    if [ "$(id -u)" = 0 ]; then user='user root;'; fi
    cat >"$dir/nginx.conf" <<CONF
$user
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path $dir/body;
  fastcgi_temp_path $dir/fastcgi;
  proxy_temp_path $dir/proxy;
  scgi_temp_path $dir/unused;
  uwsgi_temp_path $dir/unused;
$(cat)
}
CONF
    run nginx nginx -c "$dir/nginx.conf" -e stderr -p "$dir"
    until_true test -s "$dir/nginx.pid"
}

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc)

# self_signed NAME SUBJECT   a key, and a certificate that only itself answers for, as $dir/NAME.key and $dir/NAME.crt
self_signed() {
    openssl req -x509 "${new_key[@]}" -days 2 -subj "/CN=$2" -keyout "$dir/$1.key" -out "$dir/$1.crt" 2>/dev/null
}

# signed NAME EXTENSION   the same for NAME, by the authority that `self_signed ca …` has made
signed() {
    openssl req "${new_key[@]}" -subj "/CN=$1" -keyout "$dir/$1.key" -out "$dir/$1.csr" 2>/dev/null
    printf '%s\nbasicConstraints=CA:FALSE\n' "$2" >"$dir/$1.ext"
    openssl x509 -req -days 2 -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -extfile "$dir/$1.ext" -out "$dir/$1.crt" 2>/dev/null
}
