#!/usr/bin/env bash
# Makes the cluster of SKEG_TEST_KUBECONFIG ready for a run of the tests until standard input ends, then removes whatever the run has
# put there. The tests start it by themselves when that variable is set, in the place of run.sh.
#
#   tests/controlplane/visit.sh PROGRAMS DIR
#
# PROGRAMS is the folder that build.sh prints; DIR an empty folder of our own. Written to DIR: ca.crt, tokens.csv (token,name), server
# (its URL), kwok.log, and kubeconfig (the admin's) when all is ready.
#
# The cluster is a working one: its controllers roll out and its scheduler places. Put there, all with the label skeg.dev/test-run:
# a namespace with the service accounts that the tests ask as, a binding of one of them to cluster-admin, and a node, which kwok
# plays from here and which only takes pods that tolerate it. Tests label their namespaces in the same way. The kinds Stage and
# ImageUpdate are removed in the end unless they were there before. One run at a time.
set -eu

programs=$1
dir=$2
source_config=${SKEG_TEST_KUBECONFIG:?names no kubeconfig}
run=run-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
label=skeg.dev/test-run=$run
definitions='stages.kwok.x-k8s.io imageupdates.skeg.dev'
# Deleting waits for controllers of the cluster, which take their time over a hundred namespaces.
gone_within=5m

umask 077
kubectl() {
    HOME="$dir" "$programs/kubectl" --kubeconfig="$source_config" "$@"
}

kwok_pid=
found=
for definition in $definitions; do
    if kubectl get customresourcedefinition "$definition" >/dev/null 2>&1; then
        found="$found $definition"
    fi
done

leave() {
    trap - EXIT
    # Pods go away by what kwok does, so it goes last.
    kubectl delete namespaces,clusterroles,clusterrolebindings --selector="$label" --timeout="$gone_within" || true
    for definition in $definitions; do
        case "$found " in
            *" $definition "*) kubectl delete "${definition%%.*}" --all-namespaces --selector="$label" --timeout="$gone_within" || true ;;
            *) kubectl delete customresourcedefinition "$definition" --ignore-not-found --timeout="$gone_within" || true ;;
        esac
    done
    [ -z "$kwok_pid" ] || kill -9 "$kwok_pid" || true
    kubectl delete nodes --selector="$label" --timeout="$gone_within" || true
    rm -rf "$dir"
} >/dev/null 2>&1
trap leave EXIT
trap 'exit 0' INT TERM HUP

cluster() { # FIELD
    kubectl config view --raw --flatten --minify --output="jsonpath={.clusters[0].cluster.$1}"
}
cluster server > "$dir/server"
cluster certificate-authority-data | base64 -d > "$dir/ca.crt"
if [ ! -s "$dir/ca.crt" ]; then
    echo "visit.sh: $source_config names no certificate authority" >&2
    exit 1
fi

kubectl create --filename=- >/dev/null <<EOF
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: Namespace, metadata: { name: "$run", labels: { skeg.dev/test-run: "$run" } } }
  - { apiVersion: v1, kind: ServiceAccount, metadata: { name: admin, namespace: "$run" } }
  - { apiVersion: v1, kind: ServiceAccount, metadata: { name: skeg, namespace: "$run" } }
  - { apiVersion: v1, kind: ServiceAccount, metadata: { name: nobody, namespace: "$run" } }
  - { apiVersion: v1, kind: ServiceAccount, metadata: { name: person, namespace: "$run" } }
  - apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata: { name: "skeg-test-$run", labels: { skeg.dev/test-run: "$run" } }
    roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin }
    subjects: [{ kind: ServiceAccount, name: admin, namespace: "$run" }]
EOF
for account in admin skeg nobody person; do
    echo "$(kubectl create token "$account" --namespace="$run" --duration=4h),$account" >> "$dir/tokens.csv"
done
echo "$run" > "$dir/run"

cat > "$dir/kubeconfig.part" <<EOF
apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: admin } }]
clusters: [{ name: test, cluster: { server: "$(cat "$dir/server")", certificate-authority: "$dir/ca.crt" } }]
users: [{ name: admin, user: { token: "$(head -n 1 "$dir/tokens.csv" | cut -d, -f1)" } }]
EOF
mv "$dir/kubeconfig.part" "$dir/kubeconfig"

while true; do
    if read -r -t 1 order; then
        case "$order" in
            # As run.sh: the node and the kind Stage are there by now. Other nodes are not kwok's to play. It asks as whoever let us in: our own
            # accounts go first in the end, and kwok has to see its pods off.
            controllers)
                HOME="$dir" "$programs/kwok" --kubeconfig="$source_config" --manage-all-nodes=false \
                    --manage-nodes-with-label-selector="$label" --enable-crds=Stage --node-lease-duration-seconds=40 \
                    </dev/null >"$dir/kwok.log" 2>&1 &
                kwok_pid=$!
                ;;
            *) echo "visit.sh: no such order: $order" >&2 ;;
        esac
    elif [ "$?" -le 128 ]; then
        exit 0
    fi
    if [ -n "$kwok_pid" ] && ! kill -0 "$kwok_pid" 2>/dev/null; then
        echo "visit.sh: kwok has ended:" >&2
        tail -n 5 "$dir/kwok.log" >&2
        exit 1
    fi
done
