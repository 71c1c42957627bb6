#!/usr/bin/env bash
# Puts Slack's own Python SDKs, at the versions of tests/slack/requirements.txt, into a virtual environment of their own, and
# prints the path of its interpreter. What is there already is left alone.
#
#   tests/servers/slack_sdk.sh            makes it where it is missing
#   tests/servers/slack_sdk.sh --where    only prints the path; fails where nothing is there
#   SKEG_TEST_CACHE                       where it is kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/skeg-slack-sdk
set -euo pipefail
wanted=$(dirname "$0")/../slack/requirements.txt
cache=${SKEG_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skeg-slack-sdk}
folder=$cache/slack-sdk-$(sha256sum "$wanted" | cut -c1-12)

if [ ! -x "$folder/bin/python" ]; then
    if [ "${1:-}" = --where ]; then
        echo "nothing at $folder" >&2
        exit 1
    fi
    # Made beside its place and moved there whole, so that a cut-off run leaves nothing that looks finished. The scripts of a moved
    # environment do not run, but its interpreter does.
    mkdir -p "$cache"
    made=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$made"' EXIT
    python3 -m venv "$made" >&2
    "$made/bin/python" -m pip install -q --disable-pip-version-check -r "$wanted" >&2
    mv -T "$made" "$folder"
fi
echo "$folder/bin/python"
