#!/usr/bin/env bash
# ./dev fuzz: runs the fuzzers that were built, one after the other, in equal shares of the time. Arguments: the folder
# with the programs (-: only look at the options), the source tree, then the options; MELTICA_COMMIT is what the ledger calls
# them. Ends with a table; status 1 when there is a finding.
set -euo pipefail

bin=$1 source=$2
shift 2
here=$source/tests/fuzz
work=$(dirname "$bin")/fuzzing

usage() {
    cat <<TEXT
usage: ./dev fuzz [--minutes N] [--harness NAME]... [--ledger FILE] [--list] [--sum FILE]
  --minutes N     of all harnesses together (default 10); each gets its share, 5 s at least
  --harness NAME  only this one; may be repeated
  --ledger FILE   appends a line for each: day, commit, harness, CPU seconds, executions, edges, findings (tabs between)
  --list          the harnesses
  --sum FILE      CPU hours and findings of each harness in a ledger
A finding is kept in build/fuzz/fuzzing/findings/NAME: mend what it shows and copy it to
tests/fuzz/regressions/NAME, which every ./dev test runs. New inputs that reach new code gather in
build/fuzz/fuzzing/corpus/NAME and are the beginning of the next run.
TEXT
}

wrong() {
    printf 'fuzz: %s\n' "$*" >&2
    usage >&2
    exit 2
}

all() {
    local file
    for file in "$here"/fuzz_*.c; do
        basename "$file" .c | cut -c 6-
    done
}

# sum FILE: what a ledger says of each harness, those without a line too.
sum() {
    { all && grep -v '^#' "$1"; } | awk -F '\t' '
        NF == 1 { name[++count] = $1; next }
        { seconds[$3] += $4; executions[$3] += $5; findings[$3] += $7; if ($6 > edges[$3]) edges[$3] = $6 }
        END {
            printf "%-12s %9s %15s %8s %9s\n", "harness", "CPU hours", "executions", "edges", "findings"
            for (i = 1; i <= count; i++)
                printf "%-12s %9.2f %15.0f %8d %9d\n", name[i], seconds[name[i]] / 3600, executions[name[i]],
                    edges[name[i]], findings[name[i]]
        }'
}

minutes=10
harnesses=()
ledger=
commit=${MELTICA_COMMIT:-unknown}
while [ $# -gt 0 ]; do
    case "$1" in
    --minutes)
        [[ ${2:-} =~ ^[1-9][0-9]{0,5}$ ]] || wrong "--minutes takes a whole number from 1"
        minutes=$2
        shift
        ;;
    --harness)
        [ -n "${2:-}" ] && [ -f "$here/fuzz_$2.c" ] || wrong "no harness \"${2:-}\"; --list names them"
        harnesses+=("$2")
        shift
        ;;
    --ledger)
        [ -n "${2:-}" ] || wrong "--ledger takes a file"
        ledger=$2
        shift
        ;;
    --list)
        all
        exit 0
        ;;
    --sum)
        [ -f "${2:-}" ] || wrong "no ledger \"${2:-}\""
        sum "$2"
        exit 0
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) wrong "no option \"$1\"" ;;
    esac
    shift
done
if [ ${#harnesses[@]} -eq 0 ]; then
    mapfile -t harnesses < <(all)
fi
[ "$bin" != - ] || exit 0
# Before hours of work, not after them.
if [ -n "$ledger" ] && ! { : >>"$ledger"; } 2>/dev/null; then
    wrong "the ledger \"$ledger\" cannot be written"
fi
seconds=$((minutes * 60 / ${#harnesses[@]}))
[ "$seconds" -ge 5 ] || seconds=5

# The last number behind a word of libFuzzer's own report; 0 where there is none.
figure() {
    local found
    found=$(grep -aoE "$1[[:space:]]*[0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$') || found=0
    printf '%s' "$found"
}

# Longer inputs than these only make a run of it slow.
longest() {
    case "$1" in
    book) printf 1024 ;;
    flow) printf 8192 ;;
    *) printf 65536 ;;
    esac
}

# run NAME: fuzzes for its share and leaves a line of the table.
run() {
    local name=$1 log=$work/$1.log found=$work/findings/$1 folders=() folder findings
    mkdir -p "$found" "$work/corpus/$name"
    for folder in "$work/corpus/$name" "$here/corpus/$name" "$here/regressions/$name"; do
        [ -d "$folder" ] && folders+=("$folder")
    done
    local options=(-max_total_time="$seconds" -print_final_stats=1 -timeout=20 -rss_limit_mb=2048
        -max_len="$(longest "$name")" -artifact_prefix="$found/")
    [ -f "$here/dictionaries/$name" ] && options+=(-dict="$here/dictionaries/$name")
    touch "$work/$name.began"
    # CPU time and not the clock's is what was fuzzed: others may use the machine.
    local status=0 used TIMEFORMAT='%U %S'
    used=$({ time LSAN_OPTIONS="suppressions=$source/tests/lsan.supp:print_suppressions=0" \
        "$bin/fuzz_$name" "${options[@]}" "${folders[@]}" >"$log" 2>&1; } 2>&1) || status=$?
    findings=$(find "$found" -type f -newer "$work/$name.began" | wc -l)
    # It ended badly and left no input: it could not begin, or was killed.
    [ "$status" -eq 0 ] || [ "$findings" -gt 0 ] || findings=1
    printf '%-12s %12s %8s %8s %9s\n' "$name" "$(figure 'stat::number_of_executed_units:' "$log")" \
        "$(figure 'stat::average_exec_per_sec:' "$log")" "$(figure 'cov:' "$log")" "$findings" >>"$work/table"
    if [ -n "$ledger" ]; then
        printf '%s\t%s\t%s\t%.0f\t%s\t%s\t%s\n' "$(date -u +%F)" "$commit" "$name" \
            "$(awk '{ print $1 + $2 }' <<<"$used")" "$(figure 'stat::number_of_executed_units:' "$log")" \
            "$(figure 'cov:' "$log")" "$findings" >>"$ledger"
    fi
    if [ "$findings" -gt 0 ]; then
        printf 'fuzz: %s has a finding: %s\n' "$name" "$log" >&2
        tail -n 40 "$log" >&2
        return 1
    fi
}

mkdir -p "$work"
printf '%-12s %12s %8s %8s %9s\n' harness executions exec/s edges findings >"$work/table"
result=0
for name in "${harnesses[@]}"; do
    [ -x "$bin/fuzz_$name" ] || wrong "$bin/fuzz_$name was not built"
    printf 'fuzz: %s for %s s\n' "$name" "$seconds" >&2
    run "$name" || result=1
done
cat "$work/table"
exit "$result"
