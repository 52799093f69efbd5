#!/usr/bin/env bash
# Nodes whose clocks are ten years off on either side: they join, even out, conflict and decide like any others; only
# the times they show differ, and nobody else's clock is dragged along.
# Usage: JIPAN=build/jipan tests/e2e/clocks.sh [BUILD_DIR]
cd "$(dirname "$0")/../.." || exit 1
source tests/e2e/common.bash
SHIM=$(realpath "${1:-build}")/libshift_clock.so
YEARS10=315576000
if nm -D "$J" | grep -q __asan_init; then echo 'not with a sanitizer'; exit 77; fi

# off SECONDS FUNCTION...: what it starts has a clock that is so many seconds off.
off() {
    local seconds=$1
    shift
    LD_PRELOAD="$SHIM ${LD_PRELOAD:-}" JIPAN_SHIFT_SECONDS=$seconds "$@"
}
count() { at "$1" wang find customer --purpose P1 --limit 100 --json | jq length; }
year() { date -u -d "$1 years" +%Y; }
last_year() { at "$1" wang history "$2" --purpose P1 --json | jq -r '[.. | .at? // empty] | last | .[0:4]'; }

found_group
start s1 boss "$PORT"
future=$(at s1 boss invite --kind station --station S1 --scope group)
past=$(at s1 boss invite --kind station --station S1 --scope group)
rc 0 off $YEARS10 at s2 boss join "$future"
rc 0 off -$YEARS10 at s3 boss join "$past"
off $YEARS10 start s2 boss $((PORT + 1))
off -$YEARS10 start s3 boss $((PORT + 2))

a=$(at s1 wang new customer full_name=甲 --json | jq -r .id)
b=$(at s2 wang new customer full_name=乙 --json | jq -r .id)
c=$(at s3 wang new customer full_name=丙 --json | jq -r .id)
for n in s2 s3 s2; do rc 0 at "$n" boss sync --once; done
for n in s1 s2 s3; do is "customers at $n" "$(count "$n")" 3; done
same() {
    local h
    h=$(at s1 boss statehash)
    is "$1: s2" "$(at s2 boss statehash)" "$h"
    is "$1: s3" "$(at s3 boss statehash)" "$h"
}
same 'after the first exchange'

# Only what is shown differs.
is 'time of a right clock' "$(last_year s1 "$a")" "$(year +0)"
is 'time of a clock ten years ahead' "$(last_year s1 "$b")" "$(year +10)"
is 'time of a clock ten years behind' "$(last_year s1 "$c")" "$(year -10)"

# Nobody's clock is dragged: what s1 writes after having seen the future is of today.
d=$(at s1 wang new customer full_name=丁 --json | jq -r .id)
is 'time after having seen the future' "$(last_year s1 "$d")" "$(year +0)"

# Who has seen a value overwrites it, whatever the clocks say: future, then present, then past.
for n in s2 s1 s3; do
    rc 0 at s2 boss sync --once; rc 0 at s3 boss sync --once
    rc 0 at "$n" wang set "$a" "occupation=由${n}写"
    rc 0 at s3 boss sync --once; rc 0 at s2 boss sync --once
    for m in s1 s2 s3; do has "$n wrote, at $m" "$(at "$m" wang get "$a" --purpose P1 --json)" "由${n}写"; done
done
is 'no conflict of those who saw each other' "$(at s1 zhao conflicts --open --json | jq length)" 0

# Who has not seen each other is in conflict, on all alike, and a decision of the past settles it.
stop s1
rc 0 at s2 wang set "$b" occupation=医生
rc 0 at s3 wang set "$b" occupation=教师
start s1 boss "$PORT"
for n in s2 s3 s2; do rc 0 at "$n" boss sync --once; done
for n in s1 s2 s3; do is "open conflicts at $n" "$(at "$n" zhao conflicts --open --json | jq length)" 1; done
same 'in conflict'
id=$(at s3 zhao conflicts --open --json | jq -r '.[0].id')
rc 0 at s3 zhao decide "$id" --value 教师 --reason 核实
rc 0 at s3 boss sync --once; rc 0 at s2 boss sync --once
for n in s1 s2 s3; do is "decided at $n" "$(at "$n" zhao conflicts --open --json | jq length)" 0; done
same 'decided'

# A clock that was wrong and is put right: the node goes on, its times too; invites count by the clock of their maker.
old=$(off -$YEARS10 at s3 boss whoami > /dev/null 2>&1; at s1 boss invite --kind laptop --station S1 --owner wang)
stop s3; start s3 boss $((PORT + 2))
e=$(at s3 wang new customer full_name=戊 --json | jq -r .id)
is 'time after the clock was put right' "$(last_year s3 "$e")" "$(year +0)"
rc 0 at s3 boss sync --once; rc 0 at s2 boss sync --once
same 'with the clock put right'
stop s1; off $YEARS10 start s1 boss "$PORT"
rc 1 at l1 wang join "$old"
has 'an old invite by the new clock' "$(cat "$D/err")" invite
fresh=$(at s1 boss invite --kind laptop --station S1 --owner wang)
rc 0 at l1 wang join "$fresh"
stop s1; start s1 boss "$PORT"
rc 0 at l1 wang sync --once
rc 0 at s2 boss sync --once
same 'after all that'
for n in s1 s2 s3; do rc 0 at "$n" boss verify --deep; rc 0 at "$n" li audit verify; done
finish
