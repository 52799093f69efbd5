#!/usr/bin/env bash
# A customer changes hands between two laptops, with an edit made on the road in between; then a second station gets the
# first one's customers and loses them again. Real daemons, and their files afterwards: what was let go of stands in no page
# and in no frame of the log, not even for who has the passphrase.
# Usage: JIPAN=build/jipan tests/e2e/scope.sh [BUILD_DIR]
cd "$(dirname "$0")/../.." || exit 1
source tests/e2e/common.bash
SEARCH=$(realpath "${1:-build}")/store_search

# in_files HOME WORD: pages and frames that hold it, in the files of a running node as they are now
in_files() {
    rm -rf "$D/look"
    cp -a "$D/$1" "$D/look"
    "$SEARCH" "$D/look" "$D/disk" "$2" | sed -n "s/^$2 //p"
}
until_not_in_files() {
    for _ in $(seq 50); do
        [ "$(in_files "$1" "$2")" = 0 ] && break
        sleep 0.1
    done
    is "$2 in the files of $1" "$(in_files "$1" "$2")" 0
}

sees() { at "$1" "$2" find customer --purpose P1 --limit 500 --json 2>/dev/null | jq length; }
# until_sees HOME USER COUNT WHAT
until_sees() {
    for _ in $(seq 100); do
        [ "$(sees "$1" "$2")" = "$3" ] && break
        sleep 0.1
    done
    is "$4" "$(sees "$1" "$2")" "$3"
}

found_group
start s1 boss "$PORT"
for who in wang chen; do
    code=$(at s1 boss invite --kind laptop --station S1 --owner $who)
    rc 0 at "l_$who" $who join "$code"
done
start l_wang wang $((PORT + 1))
start l_chen chen $((PORT + 2))

mine=$(at s1 wang new customer kind=个人 full_name=周小雨 origin=来店 --json | jq -r .id)
stays=$(at s1 wang new customer kind=个人 full_name=吴小雪 origin=来店 --json | jq -r .id)
until_sees l_wang wang 2 'the owner has both'
is 'the colleague has none' "$(sees l_chen chen)" 0

if [ "$(in_files l_wang 周小雨)" -gt 0 ]; then ok; else bad 'what is held is not found in the files: the search finds nothing'; fi

# On the road: the old owner edits while the manager hands the customer over.
stop l_wang
rc 0 at l_wang wang set "$mine" occupation=教师
rc 0 at s1 zhao new customer_assignment "customer=$mine" role=sales staff=chen from_at=2026-11-01T00:00:00Z
until_sees l_chen chen 1 'the new owner gets it'
rc 0 at l_chen chen get "$mine" --purpose P1 --json
has 'with its name' "$(cat "$D/out")" 周小雨
start l_wang wang $((PORT + 1))
until_sees l_wang wang 1 'the old one lets go of it'
rc 0 at l_wang wang get "$stays" --purpose P1
rc 3 at l_wang wang get "$mine" --purpose P1
for _ in $(seq 100); do
    at l_chen chen get "$mine" --purpose P1 --json | grep -q 教师 && break
    sleep 0.1
done
has 'what was written on the road is there' "$(at l_chen chen get "$mine" --purpose P1 --json)" 教师
until_not_in_files l_wang 周小雨
if [ "$(in_files l_wang 吴小雪)" -gt 0 ]; then ok; else bad 'what stays is not found in the files'; fi
rc 0 at l_wang boss verify --deep

# Scope of a station's node.
code=$(at s1 boss invite --kind station --station S2)
rc 0 at s2 boss join "$code"
start s2 boss $((PORT + 3))
rc 0 at s1 boss user add sun --role SM --station S1 --new-password-file "$D/li"
secret sun 'li secret 1'
rc 0 at s1 boss sync --once
rc 0 at s2 sun sync --once
is 'not its station' "$(sees s2 sun)" 0
rc 0 at s1 boss node scope 4 --scope S1
until_sees s2 sun 2 'what came into its scope'
is 'and all of it' "$(at s2 boss statehash)" "$(at s1 boss statehash)"
rc 0 at s1 boss node scope 4
until_sees s2 sun 0 'what went out of it'
for name in 周小雨 吴小雪; do until_not_in_files s2 $name; done
rc 0 at s2 boss verify --deep
rc 0 at s1 boss node list --json
rc 3 at s1 boss node scope 99 --scope S1
rc 1 at s1 boss node scope 1 --scope S1
finish
