#!/usr/bin/env bash
# A real node among hostile, broken and slow peers, made by hand (build/raw_peer): every case ends, memory stays
# bounded, and an honest node goes on working with it meanwhile.
# Usage: JIPAN=build/jipan tests/e2e/hostile.sh [BUILD_DIR]
cd "$(dirname "$0")/../.." || exit 1
source tests/e2e/common.bash
B=$(realpath "${1:-build}")
R=$B/raw_peer
SHARES=8
PEERS=200

status() { at s1 boss status --json; }
rss() { awk '/^VmRSS/ { print $2 }' "/proc/${pid[s1]}/status"; }
within() { if [ "$2" -le "$3" ]; then ok; else bad "$1: $2, at most $3"; fi; }
# An edit at s1 is at s2 once they say they are in sync.
honest() {
    at s1 wang new customer full_name="$1" --json > /dev/null || { bad "write: $1"; return; }
    at s2 boss sync --once > /dev/null || { bad "sync: $1"; return; }
    is "$1" "$(at s2 wang find customer full_name="$1" --purpose P1 --json | jq length)" 1
}

found_group
"$R" enrol "$D/s1" 'a passphrase for the disk, 1' $((PEERS + 10)) "$D/keys"
start s1 boss "$PORT"
code=$(at s1 boss invite --kind station --station S1 --scope group)
rc 0 at s2 boss join "$code"
start s2 boss $((PORT + 1))
honest 平安无事
before=$(rss)

# Who says nothing at all is noticed; the answer is read at the end.
"$R" mute "$PORT" "$D/keys" $((PEERS + 1)) > "$D/mute" 2>&1 & mute=$!
"$R" stuck "$PORT" "$D/keys" $((PEERS + 2)) > "$D/stuck" 2>&1 & stuck=$!

# The list, several at a time, while s1 and s2 work.
jobs=()
for i in $(seq 0 $((SHARES - 1))); do
    "$R" cases "$PORT" "$D/keys" "$i" "$SHARES" > "$D/cases.$i" 2>&1 & jobs+=($!)
done
honest 枪林弹雨
for j in "${jobs[@]}"; do wait "$j" || true; done
if grep -h FAILED "$D"/cases.*; then bad 'a case did not end'; fi
total=$(cat "$D"/cases.* | grep -c '^ok')
if [ "$total" -ge 60 ]; then passed=$((passed + total)); else bad "only $total cases went well"; fi
within 'memory after the list, KiB more' $(($(rss) - before)) 16384

# 500 sockets of one address, opened anew as they are closed.
"$R" flood "$PORT" 8 127.0.0.2 > "$D/flood" & flood=$!
sleep 2
honest 洪水之中
stop s2; start s2 boss $((PORT + 1)) # also one that has to shake hands anew
honest 洪水之中重连
flooded=$(($(rss) - before))
echo "memory under a flood: $flooded KiB more"
within 'memory under a flood, KiB more' "$flooded" 65536
wait "$flood"
has 'flood' "$(cat "$D/flood")" opened

# Slow readers, senders byte by byte, and one that asks without end.
"$R" slow "$PORT" "$D/keys" $((PEERS + 3)) 6 > "$D/slow" & slow=$!
"$R" probes "$PORT" "$D/keys" $((PEERS + 4)) 6 > "$D/probes" & probes=$!
for i in $(seq 3); do honest "慢人旁边$i"; done
wait "$slow"; wait "$probes"
is 'a slow reader is borne with' "$(cat "$D/slow")" lives

# Who keeps breaking the rules is not let in; status says so; nobody else suffers.
"$R" faults "$PORT" "$D/keys" $((PEERS + 5)) > "$D/faults"
is 'budget of faults' "$(cat "$D/faults")" 'admitted 8'
is 'a paused peer is shown' "$(status | jq '[.faulty_peers[] | select(.paused_seconds > 0 and .error == "TRUNCATED")] | length')" 1
honest 违规之后

# 200 live sessions that do nothing.
before=$(rss)
mkfifo "$D/hold"
"$R" idle "$PORT" "$D/keys" "$PEERS" < "$D/hold" > "$D/idle" & idle=$!
exec 9> "$D/hold"
for _ in $(seq 600); do grep -q live "$D/idle" && break; sleep 0.1; done
is 'live sessions' "$(cat "$D/idle")" "live $PEERS"
grown=$((($(rss) - before) / PEERS))
echo "memory of an idle live peer: $grown KiB"
within 'memory of an idle live peer, KiB' "$grown" 2048
honest 两百人在座
exec 9>&-
wait "$idle"

# No room: peers wait, local work goes on; with room it all comes.
stop s1
start s1 boss "$PORT" --reserve $((1 << 24))
sleep 1.5
is 'peers wait' "$(status | jq .disk.peers_wait)" true
at s2 wang new customer full_name=等一等 > /dev/null
at s2 boss sync --once > /dev/null 2>&1
is 'nothing is taken' "$(at s1 wang find customer full_name=等一等 --purpose P1 --json | jq length)" 0
is 'the link says why' "$(status | jq '[.links[] | select(.error == "FULL")] | length')" 1
rc 0 at s1 wang new customer full_name=本店照常
rc 2 "$J" --home "$D/s1" run --listen "127.0.0.1:$PORT" --reserve x
stop s1; start s1 boss "$PORT"
for _ in $(seq 100); do at s2 boss sync --once > /dev/null 2>&1 && break; sleep 0.2; done
is 'then it is' "$(at s1 wang find customer full_name=等一等 --purpose P1 --json | jq length)" 1
is 'both ways' "$(at s2 wang find customer full_name=本店照常 --purpose P1 --json | jq length)" 1
is 'both hold the same' "$(at s1 boss statehash)" "$(at s2 boss statehash)"

wait "$stuck"; wait "$mute"
has 'an upgrade without a hello ends' "$(cat "$D/stuck")" ended
within 'seconds without a hello' "$(awk '{ print $2 }' "$D/stuck")" 20
has 'who answers no ping ends' "$(cat "$D/mute")" ended
within 'seconds without a pong' "$(awk '{ print $2 }' "$D/mute")" 90
rc 0 at s1 boss verify --deep
finish
