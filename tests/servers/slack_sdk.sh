#!/usr/bin/env bash
# Puts Slack's own Python SDKs, at the versions of tests/slack/requirements.txt, into a virtual environment of their own, and
# prints the path of its interpreter. What is there already is left alone.
#
#   tests/servers/slack_sdk.sh            makes it where it is missing
#   tests/servers/slack_sdk.sh --where    only prints the path; fails where nothing is there
#   SKEG_TEST_CACHE                       where it is kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/skeg-slack-sdk
set -euo pipefail
. "$(dirname "$0")/python.sh"
wanted=$(dirname "$0")/../slack/requirements.txt
folder=$(environment slack-sdk "$wanted")

if [ ! -x "$folder/bin/python" ]; then
    if [ "${1:-}" = --where ]; then
        echo "nothing at $folder" >&2
        exit 1
    fi
    make_environment "$folder" "$wanted"
fi
echo "$folder/bin/python"
