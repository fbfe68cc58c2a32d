#!/usr/bin/env bash
# Runs the whole of Meltica on this machine: NATS with JetStream in a temporary store, an exchange (the
# simulator, or Binance itself), the five services, and a consumer in front. Called by ./dev demo inside
# the platform; everything it starts ends with it.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: ./dev demo [options]
  (none)                 the recording btcusdt_20240808.gz, btcusdt_20240809.gz of MELTICA_CAPTURES (11 minutes),
                         else a synthetic market; meltica tail in front
  --live                 Binance itself (needs the internet) instead of the simulator
  --capture FILE...      replay these recordings, to their end
  --synthetic            a synthetic market even where a recording is found
  --symbols N            synthetic: instruments (5)
  --rate N               synthetic: frames a second with trades, quotes and depth, over all (500)
  --speed N|max          replay N times as fast as recorded (1); max: as fast as it is read
  --seconds N            stop after N seconds
  --report FILE          no table: run unattended and write a JSON report (docs/report.md); the exit
                         status is 0 only if nothing was lost
  --warm-up N            of the report: durations and books_per_s from N seconds after the first event on
  --table FILE           dispatch table (services/dispatcher/dispatch-all.json; with --live dispatch.json,
                         two instruments: Binance lists thousands)
  --adapter-option=WORD  one more option for the Adapter; repeatable. Likewise --simulator-option=WORD
  --console              also NATS over WebSocket and a console for the browser, both on 127.0.0.1; its URL is
                         said. ./dev builds the page first, which needs node and npm (docs/console.md)
  --keep DIR             keep logs and the store in DIR, a new or empty folder, or one of an earlier demo
NATS listens on port 4222 where that is free, else on another, which is said. The addresses, the folder of the logs and
the ./dev meltica doctor --rest-url URL of this run stand above the table while it runs; that a recording is at its end,
too. OTEL_* of the environment reach the services (docs/observability.md). Ctrl-C ends everything.
TEXT
}

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 2
}

bin=$1 source_dir=$2 # given by ./dev; "-": the options are looked at, and nothing runs
shift 2
captures=() simulator_options=() adapter_options=()
speed=1 seconds='' warm_up='' report='' table=''
symbols=5 rate=500 mode='' keep='' console=''
while [ $# -gt 0 ]; do
    case "$1" in
    --live) mode=live ;;
    --synthetic) mode=synthetic ;;
    --console) console=1 ;;
    --capture)
        mode=replay
        while [ $# -gt 1 ] && [ "${2#--}" = "$2" ]; do
            [ -r "$2" ] || die "cannot read the recording $2"
            captures+=("$2")
            shift
        done
        ;;
    --symbols | --rate | --speed | --seconds | --report | --table | --keep)
        [ $# -gt 1 ] || die "$1 needs a value"
        printf -v "${1#--}" '%s' "$2"
        shift
        ;;
    --warm-up)
        [ $# -gt 1 ] || die "$1 needs a value"
        warm_up=$2
        shift
        ;;
    --adapter-option=*) adapter_options+=("${1#*=}") ;;
    --simulator-option=*) simulator_options+=("${1#*=}") ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        die "no option \"$1\": ./dev demo --help lists them"
        ;;
    esac
    shift
done
[[ "$symbols" =~ ^[1-9][0-9]*$ ]] || die "--symbols takes a whole number from 1, not \"$symbols\""
[[ "$rate" =~ ^[1-9][0-9]*$ ]] || die "--rate takes a whole number from 1, not \"$rate\""
[[ "$speed" =~ ^([1-9][0-9]*|max)$ ]] || die "--speed takes a whole number from 1, or max, not \"$speed\""
[[ "$seconds" =~ ^([1-9][0-9]*)?$ ]] || die "--seconds takes a whole number from 1, not \"$seconds\""
[[ "$warm_up" =~ ^([1-9][0-9]*)?$ ]] || die "--warm-up takes a whole number from 1, not \"$warm_up\""
if [ "$mode" = replay ] && [ ${#captures[@]} -eq 0 ]; then
    die "--capture needs at least one file"
fi
[ "$bin" != - ] || exit 0
if [ -z "$mode" ]; then
    mode=synthetic
    folder=${MELTICA_CAPTURES:-}
    if [ -r "$folder/btcusdt_20240808.gz" ] && [ -r "$folder/btcusdt_20240809.gz" ]; then
        mode=replay
        captures=("$folder/btcusdt_20240808.gz" "$folder/btcusdt_20240809.gz")
    else
        printf 'demo: no recording in %s: a synthetic market (--synthetic)\n' "${folder:-MELTICA_CAPTURES}" >&2
    fi
fi
page="$source_dir/build/console"
if [ -n "$console" ] && [ ! -r "$page/index.html" ]; then
    die "no built page in $page: run ./dev console build"
fi
if [ -n "$report" ] && [ -z "$seconds" ] && [ "$mode" != replay ]; then
    die "--report needs --seconds or --capture: a $mode market has no end"
fi
if [ -n "$report" ]; then
    [ -d "$(dirname -- "$report")" ] || die "no folder $(dirname -- "$report") for the report"
    [ ! -d "$report" ] || die "--report names a file, and $report is a folder"
fi
if [ -z "$table" ]; then
    table="$source_dir/services/dispatcher/dispatch-all.json"
    [ "$mode" != live ] || table="$source_dir/services/dispatcher/dispatch.json"
fi
# sentence < LOG: what the last warning or error says, in words
sentence() {
    sed -nE '/"level":"(warn|error)"/s/.*"text":"(([^"\\]|\\.)*)".*/\1/p' | sed 's/\\"/"/g' | tail -n 1
}
if ! words=$("$bin/meltica-dispatcher" --check-config --table "$table" 2>&1); then
    die "wrong dispatch table: $(sentence <<<"$words")"
fi
if [ -n "$keep" ]; then
    if [ -d "$keep" ] && [ -n "$(ls -A -- "$keep")" ] && [ ! -f "$keep/.meltica-demo" ]; then
        die "--keep wants a folder of its own, and $keep holds other things"
    fi
    { mkdir -p -- "$keep" && touch -- "$keep/.meltica-demo"; } 2>/dev/null || die "cannot write to $keep"
    keep=$(cd -- "$keep" && pwd -P)
fi

# ---- what runs ----------------------------------------------------------------------------------------

work=${keep:-$(mktemp -d "${TMPDIR:-/tmp}/meltica-demo.XXXXXX")}
rm -rf "$work/log" "$work/store" "$work"/services "$work"/*.ports "$work"/head* "$work/words"
mkdir -p "$work/log" "$work/store"
pids=()
names=()

# end NAME...: SIGTERM to those of them that run, SIGKILL to what is there 8 s later
# shellcheck disable=SC2317 # reached from the trap
end() {
    local name pid list=() deadline=$((SECONDS + 8))
    for name in "$@"; do
        pid=$(pid_of "$name")
        if [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null; then
            list+=("$pid")
        fi
    done
    for pid in ${list[@]+"${list[@]}"}; do
        while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do
            sleep 0.02
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
}

# shellcheck disable=SC2317 # it is the trap's own
finish() {
    local status=$?
    ending=1
    trap '' HUP INT TERM
    trap - EXIT
    end tail words
    if kill -0 "$(pid_of collect)" 2>/dev/null; then
        end collect # while the services can still tell what they counted
        cat "$work/log/collect.err" >&2
    fi
    end console dispatcher control-bus data-bus conductor adapter # while they still have NATS to say goodbye to
    end exchange nats
    wait 2>/dev/null || true
    [ -n "$keep" ] || rm -rf "$work"
    exit "$status"
}
# The first signal ends all; another one, or one while all ends anyway, must not leave half of it behind.
# shellcheck disable=SC2317 # it is the traps' own
on_signal() {
    trap '' HUP INT TERM
    [ -n "$ending" ] || exit "$1"
}

ending=''
trap finish EXIT
trap 'on_signal 129' HUP
trap 'on_signal 130' INT
trap 'on_signal 143' TERM

# start NAME COMMAND...: in the background, its words in log/NAME.out and log/NAME.err. In a session of its own:
# Ctrl-C is for this script, which ends all in order.
start() {
    local name=$1
    shift
    setsid "$@" </dev/null >"$work/log/$name.out" 2>"$work/log/$name.err" &
    pids+=($!)
    names+=("$name")
}

pid_of() {
    local i
    for i in "${!names[@]}"; do
        if [ "${names[i]}" = "$1" ]; then
            printf '%s' "${pids[i]}"
        fi
    done
}

# wait_for NAME FILE PATTERN: until FILE has a line with PATTERN, at most 20 s, or NAME is gone
wait_for() {
    local name=$1 file=$2 pattern=$3 deadline=$((SECONDS + 20))
    until grep -q -- "$pattern" "$file" 2>/dev/null; do
        if ! kill -0 "$(pid_of "$name")" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            printf 'demo: %s did not come up; its last words:\n' "$name" >&2
            tail -n 5 "$work/log/$name.err" "$work/log/$name.out" >&2 || true
            exit 1
        fi
        sleep 0.02
    done
}

port_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_port FIRST: the first of a hundred that nobody listens on
free_port() {
    local port
    for ((port = $1; port < $1 + 100; port++)); do
        if port_free "$port"; then
            printf '%s' "$port"
            return
        fi
    done
    die "ports $1 to $((port - 1)) are all taken"
}

# The page's own origin is the only one that a browser may come from: any other page that is open in it could
# speak to NATS here as well.
websocket=''
if [ -n "$console" ]; then
    websocket_port=$(free_port 9222)
    console_port=$(free_port 9380)
    websocket="websocket { listen: \"127.0.0.1:$websocket_port\", no_tls: true, allowed_origins: [
    \"http://127.0.0.1:$console_port\", \"http://localhost:$console_port\" ] }"
fi

nats() {
    cat >"$work/nats.conf" <<CONF
$websocket
listen: "127.0.0.1:$1"
server_name: meltica-demo
ports_file_dir: "$work"
# What the Control Bus said is stored is on the disk.
jetstream { store_dir: "$work/store", max_memory_store: 2GB, max_file_store: 2GB, sync_interval: always }
# A consumer that stops reading is cut after a second; what three busy seconds weigh fits in between.
write_deadline: "1s"
max_pending: 256MB
no_fast_producer_stall: true
CONF
    start nats nats-server -c "$work/nats.conf"
}

# The usual port where it is free, so that `nats sub` needs no option. Somebody may be quicker: then another one.
nats_port=-1
if port_free 4222; then
    nats_port=4222
fi
nats "$nats_port"
if [ "$nats_port" = 4222 ] && ! (wait_for nats "$work/log/nats.err" 'Server is ready') 2>/dev/null; then
    kill -KILL "${pids[@]}" 2>/dev/null || true
    pids=() names=() nats_port=-1
    nats "$nats_port"
fi
wait_for nats "$work/log/nats.err" 'Server is ready'
if [ "$nats_port" = -1 ]; then
    nats_port=$(sed -nE 's#.*nats://[^:]*:([0-9]+).*#\1#p' "$work"/nats-server_*.ports | head -n 1)
fi
export MELTICA_NATS_URL="nats://127.0.0.1:$nats_port"

metrics=()
# service NAME BINARY OPTIONS...: starts it and notes where its metrics are
service() {
    local name=$1 binary=$2 url port=0
    shift 2
    [ "$name" != console ] || port=$console_port
    start "$name" "$bin/$binary" --nats-url "$MELTICA_NATS_URL" --http-host 127.0.0.1 --http-port "$port" "$@"
    wait_for "$name" "$work/log/$name.err" '"event":"listening"'
    url=$(sed -nE 's/.*"event":"listening".*"port":"?([0-9]+).*/http:\/\/127.0.0.1:\1/p' "$work/log/$name.err" | head -n 1)
    printf '%s=%s=%s\n' "$name" "$(pid_of "$name")" "$url" >>"$work/services"
    metrics+=("$name :${url##*:}")
    printf '  %-12s %s\n' "$name" "$url/metrics"
}

printf 'Meltica demo\n  %-12s %s\n' nats "$MELTICA_NATS_URL"
[ "$nats_port" = 4222 ] || printf '  %-12s %s\n' '' "(port 4222 is taken: name this one with --nats-url, or set MELTICA_NATS_URL)"
simulator='' rest_url=https://data-api.binance.vision
case "$mode" in
replay)
    # Books first: fast replays would be over before the exchange has answered for its depth.
    start exchange "$bin/meltica-exchange-sim" --port 0 --replay "${captures[@]}" --speed "$speed" --send-all \
        --start-depth 1000 \
        ${simulator_options[@]+"${simulator_options[@]}"}
    ;;
synthetic)
    start exchange "$bin/meltica-exchange-sim" --port 0 --synthetic --symbols "$symbols" --rate "$rate" --seed 1 \
        ${simulator_options[@]+"${simulator_options[@]}"}
    ;;
esac
exchange_options=()
if [ "$mode" != live ]; then
    wait_for exchange "$work/log/exchange.out" '"event":"listening"'
    simulator=$(sed -nE 's/.*"http":"([^"]*)".*/\1/p' "$work/log/exchange.out" | head -n 1)
    rest_url=$simulator
    exchange_options=(--ws-url "${simulator/http/ws}" --rest-url "$simulator")
    printf '  %-12s %s (%s)\n' exchange "$simulator/sim/status" "$mode"
else
    printf '  %-12s %s\n' exchange 'Binance'
fi
# Says so where the exchange cannot be reached: the services try on by themselves.
warn_of_no_line() {
    if [ "$mode" = live ] && ! grep -q '"event":"line_up"' "$work/log/adapter.err"; then
        printf 'demo: Binance is not reached: %s\n' "$(sentence <"$work/log/adapter.err")" >&2
    fi
}

# Consumers first, the Dispatcher last: nothing is asked of the exchange before somebody listens.
service adapter meltica-adapter ${exchange_options[@]+"${exchange_options[@]}"} \
    ${adapter_options[@]+"${adapter_options[@]}"}
conductor_options=()
# A recording waits for whoever is behind, and its report is of every event.
[ "$mode" != replay ] || conductor_options=(--merge-quotes false)
service conductor meltica-conductor ${conductor_options[@]+"${conductor_options[@]}"}
if [ -n "$report" ]; then
    start collect "$bin/meltica" collect --report "$report" --services "$work/services" \
        ${seconds:+--seconds "$seconds"} ${warm_up:+--warm-up "$warm_up"} ${simulator:+--simulator "$simulator"}
    wait_for collect "$work/log/collect.err" 'following'
fi
service data-bus meltica-data-bus
service control-bus meltica-control-bus
service dispatcher meltica-dispatcher --table "$table"
if [ -n "$console" ]; then
    service console meltica-console --web-dir "$page" --nats-ws-url "ws://127.0.0.1:$websocket_port" \
        --label "demo, $mode" --control true
    printf '  %-12s %s\n' 'open' "http://127.0.0.1:$console_port/"
fi

if [ -n "$report" ]; then
    printf '  unattended: the report goes to %s\n' "$report"
    result=0
    wait "$(pid_of collect)" || result=$?
    trap '' HUP INT TERM
    cat "$work/log/collect.err" >&2
    warn_of_no_line
    exit "$result"
fi

example=BTC-USDT
[ "$mode" != synthetic ] || example=SYM0001-USDT
cat <<TEXT
Try, in another terminal (./dev meltica runs the tool; nats is the NATS command line):
  ./dev meltica tail $example --json --nats-url $MELTICA_NATS_URL
  ./dev meltica doctor --rest-url $rest_url --nats-url $MELTICA_NATS_URL
  nats --server $MELTICA_NATS_URL sub 'meltica.data.*' --translate '$source_dir/dev shell $bin/meltica decode'
  nats --server $MELTICA_NATS_URL micro ls
  nats --server $MELTICA_NATS_URL request meltica.control.status ''
Logs: $work/log   Ctrl-C ends everything.
TEXT

# above_table [SENTENCE]: writes what stands above the table, which hides the lines above: at most 8 lines of 80
# columns. Put in place by a rename, so that each drawing has it whole.
above_table() {
    {
        [ $# -eq 0 ] || printf '%s\n' "$1"
        printf 'nats %s   exchange %s\n' "$MELTICA_NATS_URL" "${simulator:-Binance}${simulator:+ ($mode)}"
        printf 'logs %s\n' "$work/log"
        [ -z "$console" ] || printf 'console http://127.0.0.1:%s/\n' "$console_port"
        [ "$nats_port" = 4222 ] || printf 'MELTICA_NATS_URL=%s \\\n' "$MELTICA_NATS_URL"
        printf './dev meltica doctor --rest-url %s\n' "$rest_url"
        printf 'metrics http://127.0.0.1:PORT/metrics: %s  %s\n' "${metrics[@]:0:2}"
        printf '  %s' "${metrics[@]:2}"
        printf '\n'
    } >"$work/head.part"
    mv "$work/head.part" "$work/head"
}

table_options=()
if [ -t 1 ]; then
    above_table
    table_options=(--head "$work/head")
fi
# The simulator says in its log when it has nothing more; who looks at a table that stands still is to know why.
if [ "$mode" = replay ]; then
    mkfifo "$work/words"
    tail -n +1 -f --pid="$(pid_of exchange)" "$work/log/exchange.err" >"$work/words" 2>/dev/null &
    pids+=($!)
    names+=(words)
    {
        if grep -q '"event":"finished"'; then
            if [ -t 1 ]; then
                above_table 'the recording is at its end: nothing new comes, Ctrl-C ends the demo'
            else
                printf 'demo: the recording is at its end: nothing new comes\n' >&2
            fi
        fi
    } <"$work/words" &
fi
if [ "$mode" = live ] && [ -t 1 ]; then
    sleep 3 # time for a line to come up, and to read that none did before the table takes the screen
    warn_of_no_line
fi
"$bin/meltica" tail ${seconds:+--seconds "$seconds"} ${table_options[@]+"${table_options[@]}"} &
tail_pid=$!
pids+=("$tail_pid")
names+=(tail)
result=0
wait "$tail_pid" || result=$?
trap '' HUP INT TERM
[ -t 1 ] || warn_of_no_line # on a terminal it was said before the table
exit "$result"
