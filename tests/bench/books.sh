#!/usr/bin/env bash
# ./dev bench books [--report FILE] [--seconds N] [--symbols N] [--rate N]: fused books of many instruments
# through the five services: BOOK events a second, and how long after its frame a BOOK is at the consumer.
# docs/benchmarks.md says how to read it.
set -euo pipefail

bin=$1 source_dir=$2
shift 2
# shellcheck source=tests/bench/common.bash
. "$source_dir/tests/bench/common.bash"
report='' seconds=40 symbols=500 rate=5000 warm_up=10
take_options books 'report seconds symbols rate' "$@"
load_before=$(cut -d' ' -f1 /proc/loadavg)
# All books at once: the weight that Binance grants is not what is measured.
demo books report --synthetic --symbols "$symbols" --rate "$rate" --warm-up "$warm_up" --seconds "$seconds" \
    --simulator-option=--weight-limit=1000000
[ -s "$work/report.json" ] || exit 1
python3 - "$work/report.json" "$report" "$symbols" "$rate" "$load_before" <<'PYTHON'
import json, sys

source, report, symbols, rate, load = sys.argv[1:]
run = json.load(open(source))
books = run["books"].values()
total = lambda member: sum(b[member] for b in books)
result = {
    "symbols": int(symbols),
    "frames_per_s": int(rate),
    "load_before": float(load),
    "nothing_lost": run["nothing_lost"],
    "instruments_live": sum(b["state"] == "LIVE" for b in books),
    "events_per_s": run["events_per_s"],
    "books_per_s": run["books_per_s"],
    "beyond_window_us": run["latency_us"]["book"],
    "frame_to_consumer_us": run["latency_us"]["total"],
    "stages_us": run["latency_us"],
    "wrong": total("digest_mismatches") + total("bbo_mismatches") + total("crossed"),
    "digests_right": total("digest_matches"),
    "bbo_matches": total("bbo_matches"),
    "resyncs": total("resyncs"),
    "cpu_ms": run["cpu_ms"],
    "resident_bytes": run["resident_bytes"],
}
print(f"{result['instruments_live']} of {symbols} LIVE, {result['books_per_s']} BOOK/s among {result['events_per_s']} other events/s; "
      f"frame to BOOK beyond the window: p50 {result['beyond_window_us']['p50'] / 1000:.2f} ms, "
      f"p99 {result['beyond_window_us']['p99'] / 1000:.2f} ms; load before {load}", file=sys.stderr)
out = open(report, "w") if report else sys.stdout
json.dump(result, out, indent=2)
out.write("\n")
sys.exit(result["wrong"] > 0)
PYTHON
exit "$failed"
