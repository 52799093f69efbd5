#!/bin/bash
# Kill -9 while writing: LOOPS times (default 100) a daemon is killed at a random moment while two writers create customers.
# Every id that was printed must be there afterwards, and the store must verify.
source "$(dirname "$0")/common.bash"
LOOPS=${LOOPS:-100}
found_group
ids=$D/ids
: > "$ids"

# Prints each id only after the node acknowledged it.
writer() {
    local n=0
    while [ ! -e "$D/stop" ]; do
        n=$((n + 1))
        at s1 "$1" new customer full_name="写手$1$n" --json 2>/dev/null | jq -r '.id // empty' >> "$ids.$1"
    done
}

for _ in $(seq "$LOOPS"); do
    rm -f "$D/stop"
    start s1 boss "$PORT"
    writer wang & w1=$!
    writer chen & w2=$!
    sleep "0.$(printf '%03d' $((RANDOM % 300)))"
    kill9 s1
    : > "$D/stop"
    # Writers that found no daemon open the store themselves; let the command in flight end.
    wait "$w1" "$w2" 2>/dev/null
done
cat "$ids".* > "$ids"
start s1 boss "$PORT"
rc 0 at s1 boss verify --deep
sort "$ids" | uniq -d > "$D/twice"
is 'no id was printed twice' "$(wc -l < "$D/twice")" 0
at s1 zhao find customer --purpose P1 --limit 10000 --json | jq -r '.[].id' | sort > "$D/have"
is 'every printed id is there' "$(sort "$ids" | comm -23 - "$D/have" | wc -l)" 0
printed=$(wc -l < "$ids")
if [ "$printed" -gt $((LOOPS / 2)) ]; then ok; else bad "only $printed ids were printed: the loop did not write"; fi
stop s1
rc 0 at s1 boss verify --deep
echo "kills: $LOOPS, acknowledged ids: $printed"
finish
