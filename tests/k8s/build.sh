#!/usr/bin/env bash
# build.sh FOLDER [node]: etcd, API server, controllers, scheduler and kubectl of pinned versions from the Go modules of their projects; with
# "node" also kubelet, kube-proxy, network plugins, a DNS server and nats-server. About a quarter of an hour on two cores, once.
set -euo pipefail
kubernetes=v1.33.5 etcd=v3.5.21 plugins=v1.6.2 coredns=v1.12.1 nats=v2.12.15 # the tag of nats.bundled.image
out=$1
what=${2:-}
mkdir -p "$out/bin"
export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0

command -v go >/dev/null || {
    printf 'k8s: go is not there: Kubernetes is built from its Go modules\n' >&2
    exit 77
}

# source MODULE@VERSION: its folder in the module cache
source_of() {
    go mod download -json "$1" | sed -nE 's/^\t"Dir": "(.*)",$/\1/p'
}

kubernetes_source() {
    [ -d "$out/kubernetes" ] && return
    cp -r "$(source_of "k8s.io/kubernetes@$kubernetes")" "$out/kubernetes.part"
    chmod -R u+w "$out/kubernetes.part"
    # Its libraries are modules of their own, of version 0 instead of 1; the module does not contain them.
    rm -f "$out/kubernetes.part/go.work" "$out/kubernetes.part/go.work.sum"
    sed -i -E "s#=> \./staging/src/k8s.io/(.*)\$#=> k8s.io/\1 v0${kubernetes#v1}#" "$out/kubernetes.part/go.mod"
    mv "$out/kubernetes.part" "$out/kubernetes"
}

kubernetes_program() {
    [ -x "$out/bin/$1" ] && return
    kubernetes_source
    local flags="-s -w" package minor=${kubernetes#v1.}
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags="$flags -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%.*}"
    done
    printf 'k8s: building %s\n' "$1" >&2
    (cd "$out/kubernetes" && nice -n 15 go build -trimpath -ldflags "$flags" -o "$out/bin/$1.part" "./cmd/$1")
    mv "$out/bin/$1.part" "$out/bin/$1"
}

# program NAME MODULE@VERSION PACKAGE [MAIN]: a package's program, or one whose main.go is MAIN
program() {
    [ -x "$out/bin/$1" ] && return
    local folder="$out/build-$1"
    mkdir -p "$folder"
    printf 'module build\n\ngo 1.24\n' >"$folder/go.mod"
    if [ -n "${4:-}" ]; then
        printf '%s' "$4" >"$folder/main.go"
    else
        printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' "$3" >"$folder/tools.go"
    fi
    printf 'k8s: building %s\n' "$1" >&2
    (
        cd "$folder"
        go get "$2"
        nice -n 15 go build -trimpath -o "$out/bin/$1.part" "$(if [ -n "${4:-}" ]; then printf .; else printf %s "$3"; fi)"
    )
    mv "$out/bin/$1.part" "$out/bin/$1"
}

for name in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
    kubernetes_program "$name"
done
program etcd "go.etcd.io/etcd/server/v3@$etcd" "" 'package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
'
[ "$what" = node ] || exit 0
kubernetes_program kubelet
kubernetes_program kube-proxy
for name in main/bridge main/loopback ipam/host-local; do
    program "$(basename $name)" "github.com/containernetworking/plugins@$plugins" "github.com/containernetworking/plugins/plugins/$name"
done
program nats-server "github.com/nats-io/nats-server/v2@$nats" github.com/nats-io/nats-server/v2
program coredns "github.com/coredns/coredns@$coredns" "" 'package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() {
	dnsserver.Directives = []string{"errors", "kubernetes"}
	coremain.Run()
}
'
