#!/usr/bin/env bash
# Runs the registry of go-containerregistry (`crane registry serve`) on 127.0.0.1 until standard input ends. It forgets everything then.
#
#   CRANE=program tests/servers/crane.sh PORT [DIR]     DIR (default: a new folder) is removed in the end; prints "ready" when it answers
set -euo pipefail
port=$1
dir=${2:-$(mktemp -d "${TMPDIR:-/tmp}/skeg-crane.XXXXXX")}
. "$(dirname "$0")/supervise.sh"

run crane "$CRANE" registry serve --address "127.0.0.1:$port"
until_true grep -q 'serving on port' "$dir/crane.log"
serve
