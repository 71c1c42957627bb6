#!/usr/bin/env bash
# Serves the bare repositories DIR/NAME.git on http://127.0.0.1:PORT/NAME.git until standard input ends: nginx asks for the
# login, fcgiwrap runs git's own http-backend.
#
#   LOGIN=user:password tests/servers/git.sh PORT [DIR]
#
# DIR (default: a new folder) is removed in the end. Prints "ready" when it answers. No settings of the machine are read.
# Needs nginx, fcgiwrap, git, and htpasswd (apache2-utils).
set -euo pipefail
port=$1
dir=${2:-$(mktemp -d "${TMPDIR:-/tmp}/skeg-git.XXXXXX")}
. "$(dirname "$0")/supervise.sh"
. "$(dirname "$0")/front.sh"

htpasswd -niB -C 4 "${LOGIN%%:*}" <<<"${LOGIN#*:}" | grep . >"$dir/htpasswd"

# Two workers, so that a fetch need not wait for a push.
run fcgiwrap fcgiwrap -f -c 2 -s "unix:$dir/fcgi.socket"
until_true test -S "$dir/fcgi.socket"
front <<EOF
  client_max_body_size 64m;
  server {
    listen 127.0.0.1:$port;
    location / {
      auth_basic test;
      auth_basic_user_file $dir/htpasswd;
      fastcgi_pass unix:$dir/fcgi.socket;
      fastcgi_param SCRIPT_FILENAME $(git --exec-path)/git-http-backend;
      fastcgi_param GIT_PROJECT_ROOT $dir;
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROTOCOL \$http_git_protocol;
      fastcgi_param GIT_CONFIG_NOSYSTEM 1;
      fastcgi_param GIT_CONFIG_GLOBAL /dev/null;
      fastcgi_param PATH /usr/local/bin:/usr/bin:/bin;
      fastcgi_param PATH_INFO \$uri;
      fastcgi_param QUERY_STRING \$query_string;
      fastcgi_param REQUEST_METHOD \$request_method;
      fastcgi_param CONTENT_TYPE \$content_type;
      fastcgi_param CONTENT_LENGTH \$content_length;
      fastcgi_param HTTP_CONTENT_ENCODING \$http_content_encoding;
      fastcgi_param REMOTE_USER \$remote_user;
      fastcgi_param REMOTE_ADDR \$remote_addr;
    }
  }
EOF
serve
