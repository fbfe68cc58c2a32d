#!/usr/bin/env bash
# ./dev bench traces [--report FILE] [--rounds N] [--seconds N]: what traces cost the flow, beside the same flow
# without them in the same run: the collector away (nobody listens), slow (it takes connections and never
# answers), at the default share of traces and at all of them. docs/benchmarks.md says how to read it.
set -euo pipefail

bin=$1 source_dir=$2
shift 2
# shellcheck source=tests/bench/common.bash
. "$source_dir/tests/bench/common.bash"
report='' rounds=3 seconds=10
take_options traces 'report rounds seconds' "$@"
need_recording traces
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { printf 'bench traces: --rounds is a number from 1 on\n' >&2; exit 2; }

# Takes connections and what is sent on them, and says nothing; its port.
python3 -c '
import socket, sys, threading
slow = socket.create_server(("127.0.0.1", 0))
print(slow.getsockname()[1])
sys.stdout.flush()
def swallow(connection):
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass
while True:
    threading.Thread(target=swallow, args=(slow.accept()[0],), daemon=True).start()
' >"$work/port" &
child=$!
deadline=$((SECONDS + 10))
until read -r slow 2>/dev/null <"$work/port"; do
    [ "$SECONDS" -lt "$deadline" ] || { printf 'bench traces: no collector\n' >&2; exit 1; }
    sleep 0.05
done

run() {
    local name=$1 way=$2
    shift 2
    (
        unset "${!OTEL_@}"
        case "$way" in
        off) export OTEL_SDK_DISABLED=true ;;
        away) export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 ;; # nobody listens there
        slow) export OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$slow" ;;
        slow_all) export OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$slow" OTEL_TRACES_SAMPLER=always_on ;;
        esac
        trap - EXIT INT TERM
        demo traces "$name" "$@"
        exit "$failed"
    ) || failed=1
}
# In turns, so that what the machine does besides befalls all ways alike.
for ((round = 0; round < rounds; round++)); do
    for way in off away slow slow_all; do
        run "$way.flat_out.$round" "$way" --capture "$first" "$second" --speed max
        run "$way.at_3k.$round" "$way" --synthetic --symbols 20 --rate 3000 --seconds "$seconds"
    done
done

python3 - "$work" "$report" "$rounds" <<'PYTHON'
import json, statistics, sys

work, report, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
def median(way, kind, figure):
    values = []
    for n in range(rounds):
        try:
            values.append(figure(json.load(open(f"{work}/{way}.{kind}.{n}.json"))))
        except (OSError, ValueError, ZeroDivisionError):
            pass
    return statistics.median(values) if values else None
def cpu(run):
    events = sum(n for types in run["events_out"].values() for n in types.values())
    return round(sum(run["cpu_ms"].values()) * 1000 / events, 2)
ways = ("off", "away", "slow", "slow_all")
result = {
    way: {
        "events_per_s": median(way, "flat_out", lambda r: r["events_per_s"]),
        "cpu_us_per_event": median(way, "flat_out", cpu),
        "p50_us_at_3k": median(way, "at_3k", lambda r: r["latency_us"]["total"]["p50"]),
        "p99_us_at_3k": median(way, "at_3k", lambda r: r["latency_us"]["total"]["p99"]),
    }
    for way in ways
}
result["to_off"] = {
    way: {k: round(v / result["off"][k], 3) for k, v in result[way].items() if v and result["off"][k]} for way in ways[1:]
}
print(f"{'median of ' + str(rounds):20}" + "".join(f"{way:>12}" for way in ways), file=sys.stderr)
for key in result["off"]:
    print(f"{key:20}" + "".join(f"{str(result[way][key]):>12}" for way in ways), file=sys.stderr)
out = open(report, "w") if report else sys.stdout
json.dump(result, out, indent=2)
out.write("\n")
PYTHON
exit "$failed"
