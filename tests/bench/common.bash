# What the benchmarks share; they source it. Not one itself.
# shellcheck shell=bash disable=SC2034,SC2154 # variables that are for them, or theirs: bin, source_dir

# take_options NAME 'OPTION...' ARGUMENT...: each --OPTION VALUE into the variable of that name.
take_options() {
    local name=$1 known=" $2 " option usage
    # shellcheck disable=SC2086 # one for each word
    printf -v usage ' [--%s VALUE]' $2
    shift 2
    while [ $# -gt 0 ]; do
        option=${1#--}
        if [ "$1" = "$option" ] || [[ $known != *" $option "* ]]; then
            printf 'usage: ./dev bench %s%s (docs/benchmarks.md)\n' "$name" "$usage" >&2
            exit 2
        fi
        [ $# -gt 1 ] || { printf 'bench %s: --%s needs a value\n' "$name" "$option" >&2; exit 2; }
        printf -v "$option" '%s' "$2"
        shift 2
    done
}

# need_recording NAME: first and second are the files of the main recording.
need_recording() {
    first="${MELTICA_CAPTURES:-}/btcusdt_20240808.gz" second="${MELTICA_CAPTURES:-}/btcusdt_20240809.gz"
    if [ ! -r "$first" ] || [ ! -r "$second" ]; then
        printf 'bench %s: needs the main recording in MELTICA_CAPTURES (now "%s")\n' "$1" "${MELTICA_CAPTURES:-}" >&2
        exit 2
    fi
}

# A folder in $work and a process in $child, both gone at the end, however it comes.
work=$(mktemp -d "${TMPDIR:-/tmp}/meltica-bench.XXXXXX")
child='' failed=0
# shellcheck disable=SC2317 # it is the trap's own
finish() {
    trap - EXIT INT TERM
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# demo BENCHMARK NAME OPTION...: one run of the demo, its report in $work/NAME.json; failed=1 when it lost something.
demo() {
    local benchmark=$1 name=$2
    shift 2
    "$source_dir/tools/demo/demo.sh" "$bin" "$source_dir" --report "$work/$name.json" "$@" >"$work/$name.log" 2>&1 || {
        printf 'bench %s: %s lost something or failed:\n' "$benchmark" "$name" >&2
        cat "$work/$name.log" >&2
        failed=1
    }
}
