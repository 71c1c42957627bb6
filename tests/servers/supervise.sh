# Read by the scripts beside it (`. supervise.sh`): runs servers until standard input ends, then stops them and removes $dir.
#
# The tests hold the other end of standard input. However they end, killed included, the pipe closes and nothing is left
# behind. By hand: Ctrl-D or Ctrl-C ends a script. Each server is a process group of its own, with its workers in it.
# shellcheck shell=bash
set -euo pipefail
set -m
umask 077

servers=()

stop() {
    trap - EXIT
    # What they hold goes with $dir, so they are not asked to finish.
    for pid in "${servers[@]}"; do
        kill -KILL -- "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

# run NAME COMMAND...   in the background, its output in $dir/NAME.log
run() {
    local name=$1
    shift
    "$@" </dev/null >"$dir/$name.log" 2>&1 &
    servers+=("$!")
}

# until_true COMMAND...   waits for at most 10 s until COMMAND succeeds, as long as every server lives; else shows the logs
until_true() {
    for _ in {1..500}; do
        for pid in "${servers[@]}"; do
            kill -0 "$pid" 2>/dev/null || break 2
        done
        if "$@" 2>/dev/null; then
            return
        fi
        sleep 0.02
    done
    tail -n 5 "$dir"/*.log >&2
    exit 1
}

# serve   says that the servers answer, and waits for the end of input
serve() {
    echo ready
    while read -r _; do :; done
}
