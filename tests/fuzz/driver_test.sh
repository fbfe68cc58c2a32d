#!/usr/bin/env bash
# fuzz.sh with programs that only say that they fuzzed: its table, its status, and where findings are. Argument: the source tree.
set -euo pipefail

source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"

# program NAME STATUS FILE: ends with that status, after leaving FILE (if any) as libFuzzer leaves a finding.
program() {
    cat >"$work/bin/fuzz_$1" <<TEXT
#!/usr/bin/env bash
for word in "\$@"; do
    case "\$word" in -artifact_prefix=*) [ -z "$3" ] || echo x >"\${word#*=}$3" ;; esac
done
printf '#5\tDONE   cov: 61 ft: 3\nstat::number_of_executed_units: 1234\nstat::average_exec_per_sec:     56\n'
exit $2
TEXT
    chmod +x "$work/bin/fuzz_$1"
}

fail() {
    printf 'driver_test: %s\n' "$*" >&2
    exit 1
}

# expect STATUS OPTION...: what it prints is in $work/out.
expect() {
    local wanted=$1 status=0
    shift
    "$source/tests/fuzz/fuzz.sh" "$work/bin" "$source" "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$wanted" ] || fail "status $status and not $wanted with: $*"
}

program url 0 ''
program trace 0 ''
expect 0 --harness url --harness trace --minutes 1
grep -qE '^url +1234 +56 +61 +0$' "$work/out" || fail "no row of url: $(cat "$work/out")"
grep -q 'url for 30 s' "$work/err" || fail "a minute of two harnesses is not 30 s each"
program url 77 crash-1
expect 1 --harness url --harness trace --minutes 1
grep -qE '^url +1234 +56 +61 +1$' "$work/out" || fail "a finding is not in the table"
grep -qE '^trace +1234 +56 +61 +0$' "$work/out" || fail "nothing was run after a finding"
[ -f "$work/fuzzing/findings/url/crash-1" ] || fail "the finding is not where --help says"
program url 1 ''
ledger=$work/ledger
expect 1 --harness url --harness trace --ledger "$ledger" # url could not begin
grep -qP '^[0-9-]{10}\t[0-9a-z-]+\turl\t0\t1234\t61\t1$' "$ledger" || fail "no line of url: $(cat "$ledger")"
expect 0 --harness trace --ledger "$ledger"
printf '2020-01-01\tabc\ttrace\t7200\t766\t99\t0\n' >>"$ledger"
expect 0 --sum "$ledger"
grep -qE '^trace +2\.00 +3234 +99 +0$' "$work/out" || fail "the sum of trace is wrong: $(cat "$work/out")"
grep -qE '^rest +0\.00 +0 +0 +0$' "$work/out" || fail "a harness without a line is not in the sum"
expect 2 --harness trace --ledger "$work/nowhere/ledger"
expect 2 --sum "$work/nowhere"
expect 2 --minutes 0
expect 2 --harness nothing
expect 2 --harness rest # not built
expect 2 --what
expect 0 --list
[ "$(wc -l <"$work/out")" -ge 23 ] || fail "--list does not name all harnesses"
