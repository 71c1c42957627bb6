#!/bin/sh
# Runs etcd and kube-apiserver on loopback until standard input ends, then stops both and removes their folder.
#
#   tests/controlplane/run.sh [PROGRAMS [DIR]]
#
# PROGRAMS is the folder that build.sh prints (default: ask it); DIR an empty folder of our own (default: a new temporary one).
# By hand: run it in a terminal, `export KUBECONFIG=DIR/kubeconfig` in another, end it with Ctrl-D or Ctrl-C.
# The tests hold the other end of standard input: however they end, killed included, the pipe closes and nothing is left behind.
#
# Ports: ETCD_PORT, ETCD_PEER_PORT, API_PORT. In DIR: kubeconfig (the admin's), ca.crt, tokens.csv, etcd.log, kube-apiserver.log,
# and audit.log: what the user skeg asked for and how it was answered.
# Authorisation is RBAC. tokens.csv may be put into DIR beforehand (token,user,uid,"group,..."); else it has one admin.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
programs=${1:-$("$here/build.sh")}
dir=${2:-$(mktemp -d "${TMPDIR:-/tmp}/skeg-controlplane.XXXXXX")}
etcd_port=${ETCD_PORT:-12379}
peer_port=${ETCD_PEER_PORT:-12380}
api_port=${API_PORT:-16443}

etcd_pid=
api_pid=
reader_pid=
stop() {
    trap - EXIT
    # Nothing they hold is worth keeping, so they are not asked to finish; the API server goes first, being the one that writes.
    for pid in $api_pid $etcd_pid $reader_pid; do
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

umask 077
if [ ! -f "$dir/tokens.csv" ]; then
    echo "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n'),admin,admin,\"system:masters\"" > "$dir/tokens.csv"
fi

# No fsync: the data lives as long as the run.
"$programs/etcd" \
    --name=test \
    --data-dir="$dir/etcd" \
    --listen-client-urls="http://127.0.0.1:$etcd_port" \
    --advertise-client-urls="http://127.0.0.1:$etcd_port" \
    --listen-peer-urls="http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls="http://127.0.0.1:$peer_port" \
    --initial-cluster="test=http://127.0.0.1:$peer_port" \
    --unsafe-no-fsync \
    </dev/null >"$dir/etcd.log" 2>&1 &
etcd_pid=$!

cat > "$dir/audit.yaml" <<EOF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - { level: Metadata, users: [skeg] }
  - { level: None }
EOF

# The server makes its own certificate in --cert-dir before it reads the service account key, so that one key serves both.
# ServiceAccount admission is off: it waits for a controller that is not here.
"$programs/kube-apiserver" \
    --etcd-servers="http://127.0.0.1:$etcd_port" \
    --etcd-compaction-interval=0 \
    --bind-address=127.0.0.1 \
    --advertise-address=127.0.0.1 \
    --secure-port="$api_port" \
    --cert-dir="$dir/certs" \
    --service-cluster-ip-range=10.0.0.0/24 \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-signing-key-file="$dir/certs/apiserver.key" \
    --service-account-key-file="$dir/certs/apiserver.key" \
    --authorization-mode=RBAC \
    --token-auth-file="$dir/tokens.csv" \
    --disable-admission-plugins=ServiceAccount \
    --audit-policy-file="$dir/audit.yaml" \
    --audit-log-path="$dir/audit.log" \
    </dev/null >"$dir/kube-apiserver.log" 2>&1 &
api_pid=$!

# The certificate file carries the authority that signed it behind the leaf.
failed() {
    echo "run.sh: the control plane does not run; the ends of its logs:" >&2
    tail -n 5 "$dir/etcd.log" "$dir/kube-apiserver.log" >&2
    exit 1
}
while [ ! -s "$dir/certs/apiserver.crt" ]; do
    kill -0 "$etcd_pid" 2>/dev/null && kill -0 "$api_pid" 2>/dev/null || failed
    sleep 0.1
done
cp "$dir/certs/apiserver.crt" "$dir/ca.crt"
cat > "$dir/kubeconfig" <<EOF
apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: admin } }]
clusters: [{ name: test, cluster: { server: "https://127.0.0.1:$api_port", certificate-authority: "$dir/ca.crt" } }]
users: [{ name: admin, user: { token: "$(head -n 1 "$dir/tokens.csv" | cut -d, -f1)" } }]
EOF
echo "export KUBECONFIG=$dir/kubeconfig"

# Ends when the other side closes the pipe (the input itself means nothing) or when the API server ends by itself.
exec 3<&0
(while read -r _ <&3; do :; done; kill -TERM $$) &
reader_pid=$!
wait "$api_pid" || true
failed
