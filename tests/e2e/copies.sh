#!/usr/bin/env bash
# Two copies of one node that run at the same time: each is told about the other and comes back ever more rarely, the
# peer they share blames nobody, and what was written at both arrives.
# Usage: JIPAN=build/jipan tests/e2e/copies.sh
cd "$(dirname "$0")/../.." || exit 1
export LANG=zh_CN.UTF-8 LC_ALL=
source tests/e2e/common.bash

status() { at "$1" boss status --json; }
replaced() { grep -c 'session ended node=1 error=REPLACED' "$D/$1.log"; }
# until_true WHAT COMMAND...: within a minute
until_true() {
    local what=$1
    shift
    for _ in $(seq 600); do "$@" && { ok; return; }; sleep 0.1; done
    bad "$what"
}
knows_copy() { [ "$(status "$1" | jq '.another_copy.times // 0')" -ge "$2" ]; }
is_linked() { [ "$(status "$1" | jq '[.links[] | select(.state == "live")] | length')" = 1 ]; }
in_sync() { at "$1" boss sync --once > "$D/out" 2>&1; }
waits_because() { [ "$(status "$1" | jq -r '[.links[] | select(.state == "waiting") | .error] | first')" = "$2" ]; }

found_group
start s1 boss "$PORT"
code=$(at s1 boss invite --kind station --station S1 --scope group)
rc 0 at s2 boss join "$code"
start s2 boss $((PORT + 1))
until_true 'linked at first' is_linked s2
is 'no copy at first' "$(status s2 | jq .another_copy)" null

# Its own second connection, a restart and a kill are no copy.
stop s2; start s2 boss $((PORT + 1)); kill9 s2; start s2 boss $((PORT + 1))
until_true 'linked after a kill' is_linked s2
is 'a restart is no copy' "$(status s2 | jq .another_copy)" null

# A copy of the directory, running beside the original.
stop s2
cp -a "$D/s2" "$D/k"
start s2 boss $((PORT + 1)); start k boss $((PORT + 2))
until_true 'the original knows' knows_copy s2 3
until_true 'the copy knows' knows_copy k 3
has 'in both languages' "$(grep 另一份副本 "$D/s2.log")" 'another copy of this node'
is 'told once' "$(grep -c 另一份副本 "$D/s2.log")" 1
rc 0 at s2 boss status
has 'status says it' "$(cat "$D/out")" 另一份副本
either_waits() { waits_because s2 REPLACED || waits_because k REPLACED; }
until_true 'the link says why it waits' either_waits
is 'nobody is blamed' "$(status s1 | jq '.faulty_peers | length')" 0

# What both write arrives: whoever is asked to by a person dials at once.
at s2 wang new customer full_name=原机客户 --json > /dev/null || bad 'write at s2'
until_true 'sync at s2' in_sync s2
at k wang new customer full_name=副本客户 --json > /dev/null || bad 'write at k'
until_true 'sync at k' in_sync k
for name in 原机客户 副本客户; do
    is "$name" "$(at s1 wang find customer full_name="$name" --purpose P1 --json | jq length)" 1
done

# The copy goes: the original comes back, and after a cut at once.
stop k
until_true 'the original is back' is_linked s2
before=$(replaced s2)
stop s1; start s1 boss "$PORT"
until_true 'back after a cut' is_linked s2
is 'nobody takes its place' "$(replaced s2)" "$before"
finish
