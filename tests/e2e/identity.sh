#!/usr/bin/env bash
# Identity of a node: backup while people write, restore of an old backup, a copied directory, a kill at any moment.
# Nothing is reused, nothing is lost, nothing half done stays.
# Usage: JIPAN=build/jipan tests/e2e/identity.sh
cd "$(dirname "$0")/../.." || exit 1
source tests/e2e/common.bash

epoch() { at "$1" boss status --json | jq .epoch; }
total() { at "$1" zhao find customer --purpose P1 --limit 1000 --json | jq length; }
add() { at "$1" wang new customer full_name="$2" --json | jq -r .commit; }
into() { JIPAN_PASSPHRASE_FILE=${3:-$D/disk} "$J" --home "$D/$1" restore "$D/$2" --json; }

# kill_after SECONDS COMMAND...: exec, or kill -9 would only hit the shell around it.
kill_after() {
    local after=$1 p
    shift
    (
        # shellcheck disable=SC2031
        export JIPAN_PASSPHRASE_FILE=$D/disk JIPAN_USER=boss JIPAN_PASSWORD_FILE=$D/boss
        exec "$J" "$@"
    ) > /dev/null 2>&1 &
    p=$!
    sleep "$after"
    kill -9 "$p" 2>/dev/null
    wait "$p" 2>/dev/null
}

# part_of MS N OF: that share of it, in seconds
part_of() { printf '%d.%03d' $(($1 * $2 / $3 / 1000)) $(($1 * $2 / $3 % 1000)); }

found_group
start s1 boss "$PORT"
code=$(at s1 boss invite --kind station --station S2 --scope group)
rc 0 at s2 boss join "$code"
start s2 boss $((PORT + 1))

# An ordinary stop, and a kill -9, keep the epoch.
add s1 一号客户 > /dev/null
is 'epoch at first' "$(epoch s1)" 1
stop s1; start s1 boss "$PORT"; is 'epoch after a stop' "$(epoch s1)" 1
for _ in 1 2 3; do kill9 s1; start s1 boss "$PORT"; done
is 'epoch after kill -9' "$(epoch s1)" 1

# A backup while people write.
( for i in $(seq 12); do add s1 "忙时$i" > /dev/null 2>&1; done ) &
writer=$!
rc 0 at s1 boss backup "$D/b1" --json
is 'names the file' "$(jq -r .file "$D/out")" "$D/b1"
is 'born from node' "$(jq -r .node "$D/out")" 1
is 'born in epoch' "$(jq -r .epoch "$D/out")" 1
wait "$writer"
is 'mode of a backup' "$(stat -c %a "$D/b1")" 600
hasnt 'no half backup' "$(ls "$D")" part
if grep -qaF -e 一号客户 -e SQLite "$D/b1"; then bad 'readable text in a backup'; else ok; fi
rc 6 at s1 boss backup "$D/b1"
rc 0 at s1 boss backup "$D/b1" --force
rc 2 at s1 boss backup "$D/s1/jipan.db" --force
rc 2 at s1 boss backup
rc 3 at s1 boss backup "$D/none/b"
rc 1 at s1 wang backup "$D/b2"
rc 0 at s1 boss verify --deep
born=$(total s1)

# What the backup will not know: written, sent, acknowledged by the other node.
lost1=$(add s1 备份后甲); lost2=$(add s1 备份后乙)
rc 0 at s2 boss sync --once

# Wrong secret, damage, no file, a home in use: nothing is installed.
secret wrong 'not the passphrase'
into r b1 "$D/wrong" > "$D/out" 2> "$D/err"; is 'wrong passphrase' $? 7
flip "$D/b1" $(($(stat -c %s "$D/b1") / 2)) "$D/hurt"
into r hurt > "$D/out" 2> "$D/err"; is 'damaged backup' $? 4
head -c 5000 "$D/b1" > "$D/cut"; into r cut > "$D/out" 2> "$D/err"; is 'cut backup' $? 4
into r none > "$D/out" 2> "$D/err"; is 'no backup' $? 3
if [ -e "$D/r" ]; then bad 'something was installed'; else ok; fi
into s1 b1 > "$D/out" 2> "$D/err"; is 'a running node stays' $? 4
JIPAN_PASSPHRASE_FILE=$D/disk "$J" --home "$D/s1" restore "$D/b1" --force > "$D/out" 2> "$D/err"; is 'a running node stays, forced' $? 4
stop s1
into s1 b1 > "$D/out" 2> "$D/err"; is 'a live store stays' $? 6

# The disk of s1 is lost with its store; the backup comes back; people go on at once, before any contact.
mv "$D/s1" "$D/s1.dead"
into s1 b1 > "$D/out" 2> "$D/err"; is 'restore' $? 0
new=$(jq .epoch "$D/out")
is 'born epoch' "$(jq .born_epoch "$D/out")" 1
if [ "$new" -gt 1 ]; then ok; else bad "no new epoch: $new"; fi
is 'the backup is whole' "$(total s1)" "$born"
rc 0 at s1 boss verify --deep --rebuild
dot=$(add s1 恢复之后)
is 'the new epoch is used' "$(echo "$dot" | cut -d. -f1-2)" "1.$new"
hasnt 'nothing reused' "$lost1 $lost2" "$dot"
start s1 boss "$PORT"
rc 0 at s2 boss sync --once
is 'own lost commits are back' "$(total s1)" $((born + 3))
is 'the others lose nothing' "$(total s2)" $((born + 3))
is 'both hold the same' "$(at s1 boss statehash)" "$(at s2 boss statehash)"
is 'the epoch stays' "$(epoch s1)" "$new"

# A raw copy of the directory is another place; the original goes on as it was.
stop s1
cp -a "$D/s1" "$D/copy"
copied=$(epoch copy)
if [ "$copied" != "$new" ]; then ok; else bad "a copied directory kept the epoch $new"; fi
is 'the original keeps its epoch' "$(epoch s1)" "$new"
a=$(add s1 原机); b=$(add copy 拷贝)
if [ "$a" != "$b" ]; then ok; else bad "the same dot twice: $a"; fi
start s1 boss "$PORT"; rc 0 at s2 boss sync --once; stop s1
start copy boss "$PORT"; rc 0 at s2 boss sync --once; stop copy
start s1 boss "$PORT"; rc 0 at s2 boss sync --once
is 'both twins are kept' "$(total s1)" $((born + 5))
is 'both twins are kept elsewhere' "$(total s2)" $((born + 5))
rc 0 at s1 boss backup "$D/b3"
stop s1

# An older store put back by hand into its own file.
cp "$D/s1/jipan.db" "$D/older"
was=$(epoch s1); add s1 又一位 > /dev/null
cat "$D/older" > "$D/s1/jipan.db"
now=$(epoch s1)
if [ "$now" != "$was" ]; then ok; else bad 'an older file kept the epoch'; fi
rc 0 at s1 boss verify --deep

# --force moves the old store aside; a second time it does not overwrite it.
JIPAN_PASSPHRASE_FILE=$D/disk "$J" --home "$D/s1" restore "$D/b3" --force > "$D/out" 2> "$D/err"; is 'forced restore' $? 0
if [ -e "$D/s1/jipan.db.before-restore" ]; then ok; else bad 'the old store is gone'; fi
JIPAN_PASSPHRASE_FILE=$D/disk "$J" --home "$D/s1" restore "$D/b3" --force > "$D/out" 2> "$D/err"; is 'not twice' $? 6
rc 0 at s1 boss verify --deep

# Killed at any moment: no node, or the whole one; the next run finishes. A killed backup leaves no file of that name.
began=$(date +%s%N)
into k b3 > "$D/out" 2> "$D/err"; is 'restore not disturbed' $? 0
takes=$((($(date +%s%N) - began) / 1000000))
whole=0
for i in $(seq 12); do
    rm -rf "$D/k"
    kill_after "$(part_of "$takes" "$i" 10)" --home "$D/k" restore "$D/b3" # up to 1.2 times what it takes
    if [ -e "$D/k/jipan.db" ]; then
        whole=$((whole + 1))
        rc 0 at k boss verify --deep
        # A kill right behind the last move leaves the emptied directory, which the next restore takes away.
        is 'nothing is left to move' "$(ls "$D/k/restore.part" 2> /dev/null)" ''
    else
        into k b3 > "$D/out" 2> "$D/err"; is "restore after a kill ($i)" $? 0
        rc 0 at k boss status
        hasnt 'no leftovers' "$(ls "$D/k")" restore.part
    fi
done
echo "killed restores: $whole of 12 were complete"
began=$(date +%s%N)
rc 0 at s1 boss backup "$D/kb"
takes=$((($(date +%s%N) - began) / 1000000))
for i in 1 2 3 4 5; do
    rm -f "$D/kb"
    kill_after "$(part_of "$takes" "$i" 5)" --home "$D/s1" backup "$D/kb"
    if [ -e "$D/kb" ]; then rm -rf "$D/k"; into k kb > "$D/out" 2> "$D/err"; is 'a backup that exists is whole' $? 0; else ok; fi
done
rc 0 at s1 boss backup "$D/kb" --force

finish
