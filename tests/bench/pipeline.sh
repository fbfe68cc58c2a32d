#!/usr/bin/env bash
# ./dev bench pipeline [--report FILE] [--seconds N]: the five services and, in the same run on the same
# machine, the bare chain of three nats.c relays that moves the same messages. docs/benchmarks.md says how
# to read it.
set -euo pipefail

bin=$1 source_dir=$2
shift 2
# shellcheck source=tests/bench/common.bash
. "$source_dir/tests/bench/common.bash"
report='' seconds=15
take_options pipeline 'report seconds' "$@"
need_recording pipeline

"$bin/meltica" inspect --record "$work/events" --report "$work/inspect.json" "$first" "$second"

# ---- the bare chain ------------------------------------------------------------------------------------
chain() {
    "$bin/bench_chain" --nats-url "$chain_url" --events "$work/events" "$@" | tee -a "$work/chain.json" >&2
}
cat >"$work/nats.conf" <<CONF
listen: "127.0.0.1:-1"
ports_file_dir: "$work"
max_pending: 256MB
CONF
nats-server -c "$work/nats.conf" >"$work/nats.log" 2>&1 &
child=$!
deadline=$((SECONDS + 10))
until chain_url=$(sed -nE 's#.*(nats://127[^"]*).*#\1#p' "$work"/nats-server_*.ports 2>/dev/null | head -n 1) && [ -n "$chain_url" ]; do
    [ "$SECONDS" -lt "$deadline" ] || { cat "$work/nats.log" >&2; exit 1; }
    sleep 0.05
done
for way in '' --asap; do
    chain $way --count 300000
    chain $way --rate 1000 --count $((1000 * seconds))
    chain $way --rate 3000 --count $((3000 * seconds))
    chain $way --rate 10000 --count $((10000 * seconds))
done
kill -TERM "$child"
wait "$child" 2>/dev/null || true
child=''

# ---- the pipeline --------------------------------------------------------------------------------------
# The chain moves what the exchange said; so does the pipeline first, without BOOK. Then with it.
sed 's/"id": "all-book", "type": "BOOK"/"id": "all-delta", "type": "BOOK_DELTA"/' \
    "$source_dir/services/dispatcher/dispatch-all.json" >"$work/flow.json"
! grep -q '"type": "BOOK",' "$work/flow.json" || { printf 'bench pipeline: BOOK is still in the table\n' >&2; exit 1; }
for books in '' _books; do
    table="$work/flow.json"
    [ -z "$books" ] || table="$source_dir/services/dispatcher/dispatch-all.json"
    demo pipeline "flat_out$books" --capture "$first" "$second" --speed max --table "$table"
    for rate in 1 3 10; do
        demo pipeline "at_${rate}k$books" --synthetic --symbols 20 --rate "${rate}000" --seconds "$seconds" --table "$table"
    done
done

python3 - "$work" "$report" <<'PYTHON'
import json, sys

work, report = sys.argv[1:]
chain = [json.loads(line) for line in open(f"{work}/chain.json")]
best = lambda rate, key, pick: pick(c[key] for c in chain if c["rate"] == rate)
bare = {
    "events_per_s": best(0, "events_per_s", max),
    "runs": chain,
}
rates = {"1k": 1000, "3k": 3000, "10k": 10000}
for name, rate in rates.items():
    for key in ("p50", "p99", "p999"):
        bare[f"{key}_us_at_{name}"] = best(rate, f"{key}_us", min)
def load(name):
    try:
        return json.load(open(f"{work}/{name}.json"))
    except (OSError, ValueError):
        return None
runs = {name + books: load(name + books) for books in ("", "_books") for name in ("flat_out", "at_1k", "at_3k", "at_10k")}
def latency(name, key):
    return runs[name] and runs[name]["latency_us"]["total"][key]
def events(run):
    return sum(n for types in run["events_out"].values() for n in types.values())
def figures(books):
    out = {
        "events_per_s": runs["flat_out" + books] and runs["flat_out" + books]["events_per_s"],
        "nothing_lost": all(r and r["nothing_lost"] for name, r in runs.items() if name.endswith("_books") == bool(books)),
    }
    for rate in rates:
        for key in ("p50", "p99", "p999"):
            out[f"{key}_us_at_{rate}"] = latency(f"at_{rate}{books}", key)
    return out
pipeline = figures("")
with_books = figures("_books")
if runs["at_10k"]:
    run = runs["at_10k"]
    pipeline["events_per_s_at_10k"] = run["events_per_s"]
    pipeline["stages_us_at_10k"] = run["latency_us"]
    pipeline["cpu_us_per_event_at_10k"] = {k: round(v * 1000 / events(run), 2) for k, v in run["cpu_ms"].items()}
    pipeline["resident_bytes"] = run["resident_bytes"]
if runs["flat_out"]:
    run = runs["flat_out"]
    pipeline["cpu_us_per_event_flat_out"] = {k: round(v * 1000 / events(run), 2) for k, v in run["cpu_ms"].items()}
ratio = {}
if pipeline["events_per_s"]:
    ratio["events_per_s"] = round(pipeline["events_per_s"] / bare["events_per_s"], 3)
for key in ("p99_us_at_1k", "p99_us_at_3k", "p99_us_at_10k"):
    if pipeline[key]:
        ratio[key] = round(pipeline[key] / max(bare[key], 1), 2)
result = {"pipeline": pipeline, "with_books": with_books, "bare_chain": bare, "pipeline_to_bare_chain": ratio}
print(f"{'':28}{'pipeline':>14}{'with books':>14}{'bare chain':>14}", file=sys.stderr)
for key in ("events_per_s", "p50_us_at_1k", "p99_us_at_1k", "p999_us_at_1k", "p50_us_at_3k", "p99_us_at_3k", "p999_us_at_3k", "p50_us_at_10k", "p99_us_at_10k", "p999_us_at_10k"):
    print(f"{key:28}{str(pipeline[key]):>14}{str(with_books[key]):>14}{str(bare[key]):>14}", file=sys.stderr)
out = open(report, "w") if report else sys.stdout
json.dump(result, out, indent=2)
out.write("\n")
PYTHON
exit "$failed"
