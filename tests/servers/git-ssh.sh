#!/usr/bin/env bash
# Serves the bare repository DIR/config.git by OpenSSH on ssh://USER@127.0.0.1:PORT/config.git until standard input ends. USER is
# whoever runs this.
#
#   tests/servers/git-ssh.sh PORT DIR
#
# DIR holds host_key and authorized_keys (public keys, one a line; read anew at each login) and is removed in the end. Whoever has
# one of those keys gets git for that repository and nothing else. Prints "ready" when it answers. Needs sshd and git.
set -euo pipefail
port=$1
dir=$2
. "$(dirname "$0")/supervise.sh"
PATH=$PATH:/usr/sbin:/sbin

# Only what git sends, with nothing of the machine's settings. The path of the URL, with or without a slash, is below DIR.
cat >"$dir/serve" <<EOF2
#!/bin/sh
export PATH=/usr/local/bin:/usr/bin:/bin GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
case \$SSH_ORIGINAL_COMMAND in
  "git-upload-pack 'config.git'" | "git-upload-pack '/config.git'") exec git upload-pack "$dir/config.git" ;;
  "git-receive-pack 'config.git'" | "git-receive-pack '/config.git'") exec git receive-pack "$dir/config.git" ;;
  *) echo 'ERROR: Repository not found.' >&2; exit 1 ;;
esac
EOF2
chmod 700 "$dir/serve"

cat >"$dir/sshd_config" <<EOF2
ListenAddress 127.0.0.1
Port $port
HostKey $dir/host_key
PidFile $dir/sshd.pid
AuthorizedKeysFile $dir/authorized_keys
ForceCommand $dir/serve
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
PermitTTY no
DisableForwarding yes
AcceptEnv GIT_PROTOCOL
EOF2

# Where root's sshd puts the part of itself that has no rights. Debian's service makes it.
if [ "$(id -u)" = 0 ]; then mkdir -p /run/sshd; fi
# sshd starts itself again for each connection and wants to know where it is.
run sshd "$(command -v sshd)" -D -e -f "$dir/sshd_config"
until_true test -s "$dir/sshd.pid"
serve
