#!/usr/bin/env bash
# Bundles on a stick between nodes that never had a line after joining: there and back, edits on both sides, a conflict,
# acknowledgements that shrink the next one; and every file that must be refused.
# Usage: JIPAN=build/jipan tests/e2e/bundle.sh
cd "$(dirname "$0")/../.." || exit 1
source tests/e2e/common.bash

stick=$D/stick
mkdir "$stick"
size() { stat -c %s "$stick/$1"; }
hash() { at "$1" "$2" statehash; }
count() { at "$1" "$2" find customer --purpose P1 --limit 1000 --json | jq length; }
customer() { at "$1" "$2" new customer kind=个人 full_name="$3" origin=来店 --json | jq -r .id; }
value() { at "$1" "$2" get "$3" --purpose P1 --json | jq -r '.fields.occupation.value // empty'; }
# hurt FILE OFFSET: another byte at that place of a bundle, in $stick/hurt
hurt() { flip "$stick/$1" "$2" "$stick/hurt"; }

found_group
start s1 boss "$PORT"
code=$(at s1 boss invite --kind laptop --station S1 --owner wang)
rc 0 at l1 boss join "$code"
rc 0 at l1 boss peer remove "127.0.0.1:$PORT"
code=$(at s1 boss invite --kind station --station S2 --scope group)
rc 0 at s2 boss join "$code"
rc 0 at s2 boss peer remove "127.0.0.1:$PORT"
start l1 wang $((PORT + 2))

# There: everything wang's laptop may have, and nothing else.
first=$(customer s1 wang 甲一)
for i in $(seq 2 15); do customer s1 wang "甲$i" > /dev/null; done
customer s1 chen 乙一 > /dev/null
rc 0 at s1 wang bundle export "$stick/1" --for 2 --json
is 'says for whom' "$(jq -r .for "$D/out")" 2
is 'says how big' "$(jq -r .bytes "$D/out")" "$(size 1)"
is 'mode of a bundle' "$(stat -c %a "$stick/1")" 600
hasnt 'no half bundle' "$(ls "$stick")" part
if grep -qaF -e 甲一 -e occupation "$stick/1"; then bad 'readable text in a bundle'; else ok; fi
rc 6 at s1 wang bundle export "$stick/1" --for 2
rc 0 at l1 wang bundle import "$stick/1" --ack "$stick/2" --json
is 'takes in' "$(jq -r .news "$D/out")" "$(jq -r .commits "$D/out")"
is 'names the answer' "$(jq -r .ack "$D/out")" "$stick/2"
is 'customers at the laptop' "$(count l1 wang)" 15
rc 0 at l1 wang bundle import "$stick/1" --json
is 'nothing twice' "$(jq -r .news "$D/out")" 0

# Edits on both sides, one field on both: a conflict with both values on both nodes.
rc 0 at s1 wang set "$first" occupation=教师
rc 0 at l1 wang set "$first" occupation=医生
laptop=$(customer l1 wang 丙一)
rc 0 at s1 wang bundle export "$stick/big" --for wang --json
before=$(size big)
rc 0 at s1 wang bundle import "$stick/2" --json
rc 0 at s1 wang bundle export "$stick/3" --for wang --json
is 'only what is new' "$(jq -r .commits "$D/out")" 1
if [ "$(size 3)" -lt $((before / 2)) ]; then ok; else bad "an answer did not shrink the next bundle: $before, $(size 3)"; fi
rc 0 at l1 wang bundle import "$stick/3" --ack "$stick/4"
rc 0 at s1 wang bundle import "$stick/4" --json
is 'the laptop gave its two' "$(jq -r .news "$D/out")" 2
is 'conflict at the station' "$(at s1 zhao conflicts --open --json | jq length)" 1
is 'conflict at the laptop' "$(at l1 wang conflicts --open --json | jq length)" 1
is 'one value shown' "$(value s1 wang "$first")" "$(value l1 wang "$first")"
is 'what the laptop made' "$(at s1 wang get "$laptop" --purpose P1 --json | jq -r .id)" "$laptop"

# A node with everything, which runs no daemon for now: equal to the last byte.
rc 0 at s1 boss bundle export "$stick/5" --for S2 --json
rc 0 at s2 boss bundle import "$stick/5" --ack "$stick/6"
rc 0 at s1 boss bundle import "$stick/6"
is 'equal state' "$(hash s2 boss)" "$(hash s1 boss)"
is 'equal conflicts' "$(at s2 boss conflicts --json)" "$(at s1 boss conflicts --json)"
rc 0 at s1 boss bundle export "$stick/7" --for S2 --json
is 'nothing left to give' "$(jq -r .commits "$D/out")" 0
is 'everything on request' "$(at s1 boss bundle export "$stick/all" --for S2 --all --json | jq '.commits > 15')" true
rc 0 at s2 boss bundle import "$stick/7"
rc 0 at s2 boss bundle import "$stick/all" --json
is 'all of it known' "$(jq -r .news "$D/out")" 0
rc 0 at s2 boss verify --deep
released=$(at s1 li audit --json --limit 1000 | jq '[.[] | select(.peer == 3)] | length')
if [ "$released" -gt 0 ]; then ok; else bad 'a release without an audit entry'; fi

# What must be refused, and changes nothing.
was=$(hash s2 boss)
rc 0 at s1 wang set "$first" occupation=律师
rc 0 at s1 boss bundle export "$stick/8" --for 3
end=$(size 8)
rc 1 at l1 wang bundle import "$stick/8"; has 'made for another' "$(cat "$D/err")" 'another node'
start s2 boss $((PORT + 1))
rc 0 at s2 boss peer list --json; is 'no line at all' "$(jq length "$D/out")" 0
for offset in 3 30 60 120 200 300 $((end - 30)); do
    hurt 8 "$offset"
    rc 1 at s2 boss bundle import "$stick/hurt"
done
for length in 0 5 200 400 $((end - 22)); do
    head -c "$length" "$stick/8" > "$stick/hurt"
    rc 1 at s2 boss bundle import "$stick/hurt"
done
is 'nothing of a damaged one' "$(hash s2 boss)" "$was"
# The end is missing or damaged: what stood before it is in, and the person is told.
hurt 8 $((end - 10)); rc 1 at s2 boss bundle import "$stick/hurt"
head -c $((end - 21)) "$stick/8" > "$stick/hurt"; rc 1 at s2 boss bundle import "$stick/hurt"; has 'cut' "$(cat "$D/err")" 'cut off'
rc 0 at s2 boss bundle import "$stick/8" --json
is 'goes on where a cut one ended' "$(hash s2 boss)" "$(hash s1 boss)"
rc 1 at s2 boss bundle import "$stick/5"; has 'an old one' "$(cat "$D/err")" 'old bundle'
{ cat "$stick/8"; printf more; } > "$stick/hurt"
rc 1 at s2 boss bundle import "$stick/hurt"
rc 3 at s2 boss bundle import "$stick/none"
rc 1 at s2 boss bundle import tests/e2e/bundle.sh; has 'no bundle at all' "$(cat "$D/err")" 'no bundle'
rc 2 at s1 boss bundle export "$stick/9"
rc 3 at s1 boss bundle export "$stick/9" --for nobody
rc 1 at s1 boss bundle export "$stick/9" --for 1
rc 4 at s1 boss bundle export "$D/no/such/place" --for 3
hasnt 'nothing half written' "$(ls "$stick")" .part

# Another group.
rc 0 env JIPAN_HOME="$D/x1" JIPAN_PASSPHRASE_FILE="$D/disk" JIPAN_USER=boss JIPAN_PASSWORD_FILE="$D/boss" \
    "$J" init --group 别的集团 --station X1 --admin boss
rc 1 at x1 boss bundle import "$stick/8"; has 'another group' "$(cat "$D/err")" 'another group'

# A revoked node gives and gets nothing more.
customer l1 wang 丙二 > /dev/null
rc 0 at l1 wang bundle export "$stick/late" --for 1
rc 0 at s1 boss node revoke 2 --reason 丢失
rc 1 at s1 boss bundle import "$stick/late"; has 'of a revoked node' "$(cat "$D/err")" revoked
rc 1 at s1 boss bundle export "$stick/9" --for 2

# A killed import is run again.
stop s2
for i in $(seq 200); do echo "李$i,1380013$(printf %04d "$i"),wang"; done > "$D/rows"
{ echo '姓名,手机,顾问'; cat "$D/rows"; } > "$D/many.csv"
rc 0 at s1 zhao import "$D/many.csv" --entity customer
rc 0 at s1 boss bundle export "$stick/10" --for 3
for after in 0.01 0.02 0.03 0.05 0.1; do
    timeout --signal=KILL "$after" env JIPAN_HOME="$D/s2" JIPAN_PASSPHRASE_FILE="$D/disk" JIPAN_USER=boss \
        JIPAN_PASSWORD_FILE="$D/boss" "$J" bundle import "$stick/10" > /dev/null 2>&1
done
rc 0 at s2 boss bundle import "$stick/10"
is 'equal after kills' "$(hash s2 boss)" "$(hash s1 boss)"
rc 0 at s2 boss verify --deep

finish
