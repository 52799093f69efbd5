#!/bin/bash
# Kill -9 while writing: LOOPS times (default 100) a daemon is killed at a random moment while two people create customers and
# a third imports spreadsheets. Every id that was printed and every row of an import that was answered must be there
# afterwards, a broken import run again adds what is missing and nothing twice, and the store must verify.
source "$(dirname "$0")/common.bash"
LOOPS=${LOOPS:-100}
ROWS=100
found_group
mkdir "$D/sheets"
: > "$D/answered"

# Prints each id only after the node acknowledged it.
writer() {
    local n=0
    while [ ! -e "$D/stop" ]; do
        n=$((n + 1))
        at s1 "$1" new customer full_name="写手$1$n" --json 2>/dev/null | jq -r '.id // empty' >> "$D/ids.$1"
    done
}

# importer LOOP: one sheet after the other; the names of those answered with all rows taken.
importer() {
    local n=0 i sheet
    while [ ! -e "$D/stop" ]; do
        n=$((n + 1))
        sheet=$D/sheets/$1.$n
        { echo 姓名; for ((i = 1; i <= ROWS; i++)); do echo "表$1甲$n乙$i"; done; } > "$sheet"
        if [ "$(at s1 zhao import "$sheet" --entity customer --json 2>/dev/null | jq '.imported // 0')" = $ROWS ]; then
            tail -n +2 "$sheet" >> "$D/answered"
        fi
    done
}
names() { at s1 zhao export customer --purpose P1 | cut -d, -f2- | grep -o '表[0-9]*甲[0-9]*乙[0-9]*' | sort; }

for loop in $(seq "$LOOPS"); do
    rm -f "$D/stop"
    start s1 boss "$PORT"
    writer wang & w1=$!
    writer chen & w2=$!
    importer "$loop" & w3=$!
    sleep "0.$(printf '%03d' $((20 + RANDOM % 200)))"
    kill9 s1
    : > "$D/stop"
    # Writers that found no daemon open the store themselves; let the command in flight end.
    wait "$w1" "$w2" "$w3" 2>/dev/null
done 2> "$D/talk" # of the shell, on what was killed
grep FAILED "$D/talk" >&2
cat "$D"/ids.* | sort > "$D/ids"
start s1 boss "$PORT"
rc 0 at s1 boss verify --deep
is 'no id was printed twice' "$(uniq -d "$D/ids" | wc -l)" 0
at s1 zhao dump --canonical --purpose P1 | jq -r 'select(.[1] == "full_name") | .[0]' | sort > "$D/have"
is 'every printed id is there' "$(comm -23 "$D/ids" "$D/have" | wc -l)" 0
printed=$(wc -l < "$D/ids")
if [ "$printed" -gt $((LOOPS / 2)) ]; then ok; else bad "only $printed ids were printed: the loop did not write"; fi

names > "$D/names"
sort "$D/answered" > "$D/wanted"
is 'every row of an answered import is there' "$(comm -23 "$D/wanted" "$D/names" | wc -l)" 0
is 'no row twice' "$(uniq -d "$D/names" | wc -l)" 0
answered=$(wc -l < "$D/wanted")
if [ "$answered" -gt 0 ]; then ok; else bad 'no import was answered: the loop did not import'; fi
sheets=0
for sheet in "$D"/sheets/*; do
    sheets=$((sheets + 1))
    rc 0 at s1 zhao import "$sheet" --entity customer
done
names > "$D/names"
is 'run again, every row is there once' "$(wc -l < "$D/names") $(uniq "$D/names" | wc -l)" "$((sheets * ROWS)) $((sheets * ROWS))"
stop s1
rc 0 at s1 boss verify --deep
echo "kills: $LOOPS, acknowledged ids: $printed, imports: $sheets, rows in answered ones: $answered"
finish
