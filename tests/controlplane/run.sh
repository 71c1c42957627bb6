#!/usr/bin/env bash
# Runs a Kubernetes control plane on loopback until standard input ends, then stops it and removes its folder.
#
#   tests/controlplane/run.sh [PROGRAMS [DIR]]
#
# PROGRAMS is the folder that build.sh prints (default: ask it); DIR an empty folder of our own (default: a new temporary one).
# By hand: run it in a terminal, `export KUBECONFIG=DIR/kubeconfig` in another, end it with Ctrl-D or Ctrl-C.
# The tests hold the other end of standard input: however they end, killed included, the pipe closes and nothing is left behind.
#
# etcd and kube-apiserver run from the start. Lines on standard input ask for more:
#   controllers   start kube-controller-manager, kube-scheduler and kwok; what they need (rights of the user controllers, a node, the
#                 kind Stage) is put there by tests/support/nodes.rs
#   cluster       start every controller and the scheduler with the rights they have in any cluster, and no nodes: a cluster that
#                 visit.sh can be tried on
#   stop-api      end kube-apiserver, as a crash of its machine does: what `controllers` started goes with it
#   start-api     start it again, with the same certificate and data; `controllers` is to follow when it answers, for who waited for it
#                 has a wait of up to a minute behind it by then, and who finds none at its start ends
#
# Ports: ETCD_PORT, ETCD_PEER_PORT, API_PORT. In DIR: kubeconfig (the admin's), ca.crt, tokens.csv, a log of each program, and
# audit.log: what skeg asked for, as the user skeg or as a service account of that name, and how it was answered.
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
other_pids=
end() { # PID...
    for pid in "$@"; do
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}
stop() {
    trap - EXIT
    # Nothing they hold is worth keeping, so they are not asked to finish; those that write go first.
    end $other_pids $api_pid $etcd_pid
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

random_token() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

umask 077
if [ ! -f "$dir/tokens.csv" ]; then
    echo "$(random_token),admin,admin,\"system:masters\"" > "$dir/tokens.csv"
fi
controllers_token=$(random_token)
echo "$controllers_token,controllers,controllers,\"\"" >> "$dir/tokens.csv"

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
  # What skeg writes is kept whole: a test tells from it which decision a patch carried out.
  - level: Request
    userGroups: ["system:serviceaccounts"]
    verbs: [create, update, patch]
    resources:
      - { group: apps, resources: [deployments] }
      - { group: skeg.dev, resources: [imageupdates] }
  - { level: Metadata, users: [skeg] }
  - { level: Metadata, userGroups: ["system:serviceaccounts"] }
  - { level: None }
EOF

# The server makes its own certificate in --cert-dir before it reads the service account key, so that one key serves both.
start_api() {
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
        --audit-policy-file="$dir/audit.yaml" \
        --audit-log-path="$dir/audit.log" \
        </dev/null >>"$dir/kube-apiserver.log" 2>&1 &
    api_pid=$!
}

kubeconfig() { # USER TOKEN
    cat <<EOF
apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: $1 } }]
clusters: [{ name: test, cluster: { server: "https://127.0.0.1:$api_port", certificate-authority: "$dir/ca.crt" } }]
users: [{ name: $1, user: { token: "$2" } }]
EOF
}

# What every cluster has.
start_cluster() {
    HOME="$dir" "$programs/kubectl" --kubeconfig="$dir/kubeconfig" create clusterrolebinding controllers \
        --clusterrole=cluster-admin --user=controllers >/dev/null
    "$programs/kube-controller-manager" --kubeconfig="$dir/controllers.kubeconfig" --leader-elect=false --secure-port=0 \
        --kube-api-qps=500 --kube-api-burst=1000 </dev/null >"$dir/kube-controller-manager.log" 2>&1 &
    other_pids="$other_pids $!"
    "$programs/kube-scheduler" --kubeconfig="$dir/controllers.kubeconfig" --leader-elect=false --secure-port=0 \
        </dev/null >"$dir/kube-scheduler.log" 2>&1 &
    other_pids="$other_pids $!"
}

# The controllers that skeg meets. Their requests are not held back: a test waits for them.
start_controllers() {
    for program in kube-controller-manager kube-scheduler; do
        more=
        if [ "$program" = kube-controller-manager ]; then
            more=--controllers=deployment-controller,replicaset-controller,garbage-collector-controller,serviceaccount-controller
        fi
        # shellcheck disable=SC2086
        "$programs/$program" --kubeconfig="$dir/controllers.kubeconfig" --leader-elect=false --secure-port=0 \
            --kube-api-qps=500 --kube-api-burst=1000 $more </dev/null >"$dir/$program.log" 2>&1 &
        other_pids="$other_pids $!"
    done
    HOME="$dir" "$programs/kwok" --kubeconfig="$dir/kubeconfig" --manage-all-nodes --enable-crds=Stage --node-lease-duration-seconds=0 \
        </dev/null >"$dir/kwok.log" 2>&1 &
    other_pids="$other_pids $!"
}

failed() {
    echo "run.sh: the control plane does not run; the ends of its logs:" >&2
    tail -n 5 "$dir"/*.log >&2
    exit 1
}
# Ends the run when a program has ended that nobody ended.
look_after() {
    for pid in $etcd_pid $api_pid $other_pids; do
        kill -0 "$pid" 2>/dev/null || failed
    done
}

start_api
# The certificate file carries the authority that signed it behind the leaf.
while [ ! -s "$dir/certs/apiserver.crt" ]; do
    look_after
    sleep 0.1
done
cp "$dir/certs/apiserver.crt" "$dir/ca.crt"
kubeconfig controllers "$controllers_token" > "$dir/controllers.kubeconfig"
kubeconfig admin "$(head -n 1 "$dir/tokens.csv" | cut -d, -f1)" > "$dir/kubeconfig.part"
mv "$dir/kubeconfig.part" "$dir/kubeconfig"
echo "export KUBECONFIG=$dir/kubeconfig"

while true; do
    if read -r -t 1 order; then
        case "$order" in
            controllers) start_controllers ;;
            cluster) start_cluster ;;
            stop-api)
                end $other_pids $api_pid
                other_pids=
                api_pid=
                ;;
            start-api) start_api ;;
            *) echo "run.sh: no such order: $order" >&2 ;;
        esac
    elif [ "$?" -le 128 ]; then
        exit 0
    fi
    look_after
done
