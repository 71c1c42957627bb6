#!/usr/bin/env bash
# Runs moto's imitation of AWS on 127.0.0.1 until standard input ends. It gives tokens for ECR and does not look at signatures.
#
#   tests/servers/moto.sh PORT [DIR]     DIR (default: a new folder) is removed in the end; prints "ready" when it answers
#   tests/servers/moto.sh --make         puts moto, at the version of tests/ecr/requirements.txt, where it is missing
#   tests/servers/moto.sh --where        only prints the interpreter that has it; fails where there is none
#   SKEG_TEST_CACHE                      where it is kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/skeg-moto
set -euo pipefail
. "$(dirname "$0")/python.sh"
wanted=$(dirname "$0")/../ecr/requirements.txt
folder=$(environment moto "$wanted")

where() {
    if [ -x "$folder/bin/python" ]; then
        echo "$folder/bin/python"
    else
        # One that the machine has is as good.
        python3 -c 'import moto.server, sys; print(sys.executable)' 2>/dev/null
    fi
}

case ${1:-} in
--where) where || { echo "nothing at $folder" >&2; exit 1; } ;;
--make)
    if ! where >/dev/null; then make_environment "$folder" "$wanted"; fi
    ;;
*)
    port=$1
    python=$(where)
    dir=${2:-$(mktemp -d "${TMPDIR:-/tmp}/skeg-moto.XXXXXX")}
    . "$(dirname "$0")/supervise.sh"
    run moto "$python" -c 'from moto.server import main; main()' -H 127.0.0.1 -p "$port"
    until_true grep -q 'Running on' "$dir/moto.log"
    serve
    ;;
esac
