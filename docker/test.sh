#!/usr/bin/env bash
# Builds the images, checks them, runs the simulator profile of docker/compose.yaml with them, asks for events and
# commands as a user would, and takes all of it down. Needs a Docker engine and Compose 2. ./dev docker-test.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
docker=${DOCKER:-docker}
registry=${MELTICA_REGISTRY:-}
services=(adapter dispatcher conductor control-bus data-bus console)
images=("${services[@]}" meltica exchange-sim nats)
size_max=120000000
again=meltica-test-again/ # no registry: a name before the images of the second build
reproducible='' build=1 metrics=''
passed=0

usage() {
    cat <<'TEXT'
usage: ./dev docker-test [--no-build] [--reproducible] [--metrics]
  --no-build       test the images meltica-*:local that are there
  --reproducible   build everything a second time with nothing of the first and compare the layers
  --metrics        also run Prometheus, of Debian's package, with docker/prometheus.yaml, and ask it for every metric of
                   the dashboard
Environment: as docker/build.sh.
TEXT
}

while [ $# -gt 0 ]; do
    case "$1" in
    --no-build) build='' ;;
    --reproducible) reproducible=1 ;;
    --metrics) metrics=1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

fail() {
    printf 'not ok: %s\n' "$*" >&2
    printf '%s passed, 1 failed\n' "$passed"
    exit 1
}

pass() {
    passed=$((passed + 1))
    printf 'ok: %s\n' "$*"
}

"$docker" version >/dev/null 2>&1 || fail "no Docker engine answers: start it, or set DOCKER_HOST"
"$docker" compose version >/dev/null 2>&1 || fail "docker compose, version 2, is missing"

# A project of its own and any free port: nothing that runs is disturbed.
export MELTICA_REGISTRY="$registry" MELTICA_TAG=local MELTICA_NATS_PORT=0 MELTICA_NATS_MONITOR_PORT=0 PROMETHEUS_PORT=0
export MELTICA_NATS_WS_PORT=0 MELTICA_CONSOLE_PORT=0 MELTICA_NATS_WS_URL=ws://127.0.0.1:9222
unset MELTICA_NATS_URL MELTICA_CONSOLE_CONTROL
compose() {
    "$docker" compose -p meltica-test -f "$here/docker/compose.yaml" --profile simulator --profile console "$@"
}

work=$(mktemp -d)
# shellcheck disable=SC2317,SC2329 # it is the trap's
finish() {
    local status=$?
    trap '' INT TERM
    if [ "$status" != 0 ]; then
        compose --profile observability --profile tools logs --no-color --tail 20 >&2 2>/dev/null || true
    fi
    compose --profile observability --profile tools down --volumes --timeout 10 >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- images --------------------------------------------------------------------------------------------

# name_of IMAGE [REGISTRY]
name_of() {
    local prefix=${2-$registry} name=meltica-$1
    [ "$1" != meltica ] || name=meltica
    printf '%s%s' "$prefix" "$name"
}
of_image() {
    "$docker" image inspect --format "$2" "$(name_of "$1"):local"
}

# build TEXT [OPTION...]: some minutes without a word would look like the end
build() {
    printf '%s: this takes some minutes\n' "$1" >&2
    shift
    "$here/docker/build.sh" "$@" >"$work/build.log" 2>&1 || {
        tail -n 20 "$work/build.log" >&2
        fail "docker/build.sh"
    }
}
[ -z "$build" ] || build "building the images"

check_image() {
    local name=$1 size
    size=$(of_image "$name" '{{.Size}}')
    [ "$size" -lt "$size_max" ] || fail "$name: $size bytes, above $size_max"
    [ "$(of_image "$name" '{{.Config.User}}')" = 65532:65532 ] || fail "$name: not the user 65532"
    [[ "$(of_image "$name" '{{json .Config.Entrypoint}}')" == '["/'* ]] || fail "$name: its entry point is a shell's"
    [ "$(of_image "$name" '{{index .Config.Labels "org.opencontainers.image.version"}}')" = "$(cat "$here/VERSION")" ] ||
        fail "$name: the label of the version is wrong"
    [ "$name" = meltica ] || [[ "$(of_image "$name" '{{json .Config.Healthcheck.Test}}')" == '["CMD","/'* ]] ||
        fail "$name: its health check needs a shell, or is not there"
    "$docker" run --rm --network none --read-only --cap-drop ALL --user 65532 --security-opt no-new-privileges \
        "$(name_of "$name"):local" --help >/dev/null 2>"$work/words" || fail "$name: $(tail -n 1 "$work/words")"
    "$docker" run --rm --network none --entrypoint cat "$(name_of "$name"):local" \
        /usr/local/share/meltica/sbom.spdx.json >"$work/sbom.json"
    python3 - "$name" "$work/sbom.json" <<'PY' || fail "$name: its bill of materials is wrong"
import json, sys
sbom = json.load(open(sys.argv[2]))
names = {p["name"] for p in sbom["packages"]}
ids = [p["SPDXID"] for p in sbom["packages"]]
assert sbom["spdxVersion"] == "SPDX-2.3" and len(ids) == len(set(ids)) > 80, len(ids)
assert {"meltica-" + sys.argv[1], "libc6", "libnats3.10", "libcurl4t64"} <= names, names
assert all(r["relatedSpdxElement"] in ids for r in sbom["relationships"])
assert ("nats-server" in names) == (sys.argv[1] == "nats")
assert ("@nats-io/nats-core" in names) == (sys.argv[1] == "console")
PY
    pass "$name: $((size / 1000000)) MB, runs read-only without rights as 65532, $(grep -c purl "$work/sbom.json") packages named"
}
for name in "${images[@]}"; do
    check_image "$name"
done

if [ -n "$reproducible" ]; then
    # As the same commit elsewhere: nothing is taken from what was built before.
    MELTICA_REGISTRY=$again build "building them again" --again
    for name in "${images[@]}"; do
        first=$(of_image "$name" '{{join .RootFS.Layers " "}}')
        second=$("$docker" image inspect --format '{{join .RootFS.Layers " "}}' "$(name_of "$name" "$again"):local")
        [ "$first" = "$second" ] || fail "$name: another build has other layers: $first, then $second"
    done
    for name in "${images[@]}"; do
        "$docker" image rm "$(name_of "$name" "$again"):local" "$(name_of "$name" "$again"):$(cat "$here/VERSION")" >/dev/null
    done
    pass "built twice: the layers of all ${#images[@]} images are the same"
fi

# ---- compose -------------------------------------------------------------------------------------------

tool() {
    compose --profile tools run --rm -T meltica "$@"
}

begun=$SECONDS
compose up --detach --no-build --wait --wait-timeout 120 >"$work/up.log" 2>&1 || {
    tail -n 20 "$work/up.log" >&2
    compose ps -a >&2
    fail "docker compose up"
}
pass "all healthy after $((SECONDS - begun)) s"
timeout 60 "$docker" compose -p meltica-test -f "$here/docker/compose.yaml" --profile tools run --rm -T meltica \
    tail --json --count 200 >"$work/events" || fail "no events"
[ $((SECONDS - begun)) -lt 60 ] || fail "events only after $((SECONDS - begun)) s"
[ "$(grep -c '"instrument":"SYM000' "$work/events")" = 200 ] || fail "these are no events: $(head -n 1 "$work/events")"
pass "200 events $((SECONDS - begun)) s after docker compose up"

containers=$(compose ps -q)
[ "$(wc -l <<<"$containers")" = 8 ] || fail "not eight containers: $(compose ps)"
for id in $containers; do
    name=$("$docker" inspect --format '{{.Name}}' "$id")
    limits=$("$docker" inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.Config.User}} {{.HostConfig.SecurityOpt}}' "$id")
    [ "$limits" = 'true [ALL] 65532:65532 [no-new-privileges:true]' ] || fail "$name: $limits"
    status=$("$docker" exec "$id" cat /proc/1/status)
    for line in 'Uid:	65532	65532	65532	65532' 'CapEff:	0000000000000000' 'CapBnd:	0000000000000000' 'NoNewPrivs:	1'; do
        grep -qx "$line" <<<"$status" || fail "$name: its process lacks \"$line\""
    done
    ! "$docker" exec "$id" touch /written 2>/dev/null || fail "$name: its root can be written"
done
pass "eight containers: read-only, no capabilities, user 65532, no new privileges"

answer=$(tool sub TRADE SYM0002-USDT --consumer docker-test) || fail "meltica sub: $answer"
grep -q CONFIRMED <<<"$answer" || fail "not confirmed: $answer"
tool subs --json | grep -q docker-test || fail "the subscription is not listed"
pass "a subscription is confirmed and listed"
port=$(compose port nats 4222)
if command -v nats >/dev/null; then
    answer=$(nats --server "nats://$port" request meltica.control.subscribe \
        '{"consumer":"desk-7","type":"TRADE","instruments":["SYM0001-USDT"]}' --raw)
    grep -q '"status":"CONFIRMED"' <<<"$answer" || fail "nats request: $answer"
    timeout 60 nats --server "nats://$port" sub 'meltica.data.*' --count 3 \
        --translate "$docker run --rm -i --network none $(name_of meltica):local decode" >"$work/translated" ||
        fail "nats sub: $(tail -n 3 "$work/translated")"
    grep -q '"instrument":"SYM000' "$work/translated" || fail "nats sub shows no events: $(head -n 5 "$work/translated")"
    pass "nats request and nats sub from the host"
else
    printf 'left out: nats, the command line of NATS, is not installed here\n'
fi
page=$(compose port console 8080)
answer=$(python3 "$here/docker/console_check.py" "http://$page" "$(compose port nats 9222)" http://127.0.0.1:0 2>&1) ||
    fail "$answer"
pass "$answer"
tool verify SYM0001-USDT --seconds 5 >"$work/verify" || fail "verify: $(cat "$work/verify")"
pass "a late joiner's book is right: $(sed -n 's/^ *digests: //p' "$work/verify")"

if [ -n "$metrics" ]; then
    "$docker" build -q --network=host -t meltica-test/prometheus:local - >/dev/null <<TEXT || fail "an image with Debian's Prometheus"
FROM ${BASE_IMAGE:-debian:trixie-slim}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["/usr/bin/prometheus"]
TEXT
    export PROMETHEUS_IMAGE=meltica-test/prometheus:local
    compose --profile observability up --detach --no-build --wait --wait-timeout 60 prometheus >"$work/up.log" 2>&1 ||
        { cat "$work/up.log" >&2; fail "Prometheus does not start"; }
    python3 "$here/docker/dashboard_check.py" "http://$(compose --profile observability port prometheus 9090)" \
        "$here"/helm/meltica/files/dashboards/overview.json || fail "the dashboard"
    pass "Prometheus has all five services, the rules, and each metric of the overview"
fi

# The health check follows what is so.
adapter=$(compose ps -q adapter-simulator)
"$docker" exec "$adapter" /usr/local/bin/meltica-adapter --healthcheck >/dev/null || fail "a well adapter is said to be ill"
compose stop nats >/dev/null 2>&1
deadline=$((SECONDS + 30))
while "$docker" exec "$adapter" /usr/local/bin/meltica-adapter --healthcheck >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "an adapter without NATS is said to be well"
done
compose start nats >/dev/null 2>&1
deadline=$((SECONDS + 30))
until "$docker" exec "$adapter" /usr/local/bin/meltica-adapter --healthcheck >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "the adapter does not find NATS again"
done
timeout 60 "$docker" compose -p meltica-test -f "$here/docker/compose.yaml" --profile tools run --rm -T meltica \
    tail --json --count 200 >"$work/events" || fail "no events after NATS came back"
pass "NATS stopped and started: ill, well again, events"

compose stop --timeout 15 adapter-simulator dispatcher-simulator conductor data-bus control-bus console >/dev/null 2>&1
for service in adapter-simulator dispatcher-simulator conductor data-bus control-bus console; do
    status=$("$docker" inspect --format '{{.State.ExitCode}}' "$(compose ps -aq "$service")")
    [ "$status" = 0 ] || fail "$service ended with $status, not 0"
done
pass "all six drain on SIGTERM and end with 0"

compose --profile observability --profile tools down --volumes --timeout 10 >/dev/null 2>&1
[ -z "$("$docker" ps -aq --filter label=com.docker.compose.project=meltica-test)" ] || fail "containers are left behind"
pass "nothing is left behind"
printf '%s passed, 0 failed\n' "$passed"
