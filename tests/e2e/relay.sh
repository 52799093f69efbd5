#!/usr/bin/env bash
# Two stations that never connect, a relay between them: both directions, a conflict, equal state, and nothing readable at
# the relay.
# Usage: JIPAN=build/jipan tests/e2e/relay.sh
cd "$(dirname "$0")/../.." || exit 1
source tests/e2e/common.bash

hash() { at "$1" boss statehash; }
until_same() {
    for _ in $(seq 100); do
        [ "$(hash s1)" = "$(hash s2)" ] && break
        sleep 0.1
    done
    is "$1" "$(hash s2)" "$(hash s1)"
}

found_group
start s1 boss "$PORT"
code=$(at s1 boss invite --kind station --station S2 --scope group)
rc 0 at s2 boss join "$code"
rc 0 at s2 boss peer remove "127.0.0.1:$PORT"
rc 0 at s1 boss user add sun --role SC --station S2 --new-password-file "$D/wang"
secret sun 'wang secret 1'
# The relay dials the founding station, which knows it from the invite; station 2 dials the relay.
code=$(at s1 boss invite --kind relay --station S1 --scope group)
rc 0 at r boss join "$code"
start r boss $((PORT + 2))
rc 0 at s2 boss node list --json
start s2 boss $((PORT + 1))
# The relay is newer than what station 2 knows: it dials in with what it learnt at joining.
rc 0 at r boss peer add "127.0.0.1:$((PORT + 1))" --node 2
first=$(at s1 wang new customer kind=个人 full_name=周小雨 origin=来店 --json | jq -r .id)
rc 0 at s1 boss bundle export "$D/members" --for 2
rc 0 at s2 boss bundle import "$D/members"
until_same 'known from a stick'

rc 0 at s1 wang set "$first" occupation=教师
second=$(at s1 wang new customer kind=个人 full_name=吴小雪 origin=来店 --json | jq -r .id)
until_same 'over the relay'
third=$(at s2 sun new customer kind=个人 full_name=郑小风 origin=来店 --json | jq -r .id)
until_same 'and back'
is 'opened at the other end' "$(at s1 zhao find customer --purpose P1 --limit 100 --json | jq length)" 2
rc 0 at s1 boss verify --deep
rc 0 at s2 boss verify --deep
rc 0 at r boss verify --deep
is 'no customer at the relay' "$(at r boss status --json | jq .customers)" 0
is 'all commits at the relay' "$(at r boss status --json | jq .commits)" "$(at s1 boss status --json | jq .commits)"
is 'stations never met' "$(at s2 boss status --json | jq '[.links[] | select(.node == 1)] | length')" 0

# The relay is away, both go on and change one field; then it comes back.
stop r
rc 0 at s1 wang set "$second" occupation=医生
rc 0 at s2 sun set "$third" occupation=律师
start r boss $((PORT + 2))
until_same 'after the relay was away'
is 'conflict logs' "$(at s2 boss conflicts --json)" "$(at s1 boss conflicts --json)"
said() { at s1 boss status --json | jq -r '.receipts // [] | .[] | select(.node == 2) | "\(.missing) \(.unconfirmed)"'; }
for _ in $(seq 80); do
    [ "$(said)" = '0 0' ] && break
    sleep 0.5
done
is 'word of station 2' "$(said)" '0 0'
stop r
if grep -raqF -e 周小雨 -e 郑小风 -e full_name "$D/r/"; then bad 'readable text at the relay'; else ok; fi

finish
