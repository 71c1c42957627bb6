#!/usr/bin/env bash
# Serves the files below DIR/registry on 127.0.0.1 as nginx serves files, as a registry that nobody pushes to, until standard input ends: with
# entity tags, compressed, and without what only a registry program knows, the digest of a manifest.
#
#   INDEX=tag INDEX_DIGEST=sha256:… tests/servers/static_registry.sh PORT DIR
#
# INDEX is the tag of the one manifest that is an index. DIR is removed in the end. Prints "ready" when it answers. Needs nginx.
set -euo pipefail
port=$1
dir=$2
. "$(dirname "$0")/supervise.sh"
. "$(dirname "$0")/front.sh"

front <<EOF
  gzip on;
  gzip_min_length 1;
  gzip_types application/json;
  server {
    listen 127.0.0.1:$port;
    root $dir/registry;
    default_type application/json;
    location = /v2/ { return 200 '{}'; }
    location ~ "/manifests/($INDEX|$INDEX_DIGEST)\$" { default_type application/vnd.oci.image.index.v1+json; }
    location ~ /manifests/ { default_type application/vnd.oci.image.manifest.v1+json; }
  }
EOF
serve
