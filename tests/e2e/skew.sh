#!/usr/bin/env bash
# Version skew: an old node (this version) is the only way between two nodes of a later version (jipan_next: more fields, an
# entity, a code, other kinds of change, see tests/next). Nothing is lost, forwarded bytes are the same, the old node works
# on with what it knows, and after its upgrade it holds what the others hold. An old program leaves a newer store alone.
# Usage: JIPAN=build/jipan tests/e2e/skew.sh         JIPAN_NEXT: default jipan_next beside it
cd "$(dirname "$0")/../.." || exit 1
source tests/e2e/common.bash
OLD=$J
NEXT=$(realpath "${JIPAN_NEXT:-$(dirname "$J")/jipan_next}")
declare -A prog=([n1]=$NEXT [o]=$OLD [n2]=$NEXT)
declare -A port=([n1]=$PORT [o]=$((PORT + 1)) [n2]=$((PORT + 2)))

at() {
    local h=$1 u=$2
    shift 2
    JIPAN_HOME=$D/$h JIPAN_PASSPHRASE_FILE=$D/disk JIPAN_USER=$u JIPAN_PASSWORD_FILE=$D/$u "${prog[$h]}" "$@"
}
up() { J=${prog[$1]}; start "$1" boss "${port[$1]}"; }

new() { local h=$1 u=$2; shift 2; at "$h" "$u" new "$@" --json | jq -r .id; }
field() { at "$1" zhao get "$2" --purpose P1 --json | jq -r --arg f "$3" '.fields[$f] // .[$f] // "" | if type == "object" then .value else . end'; }
digest() { at "$1" boss statehash; }
log_of() { at "$1" zhao conflicts --json | jq -S -c 'sort_by(.id)'; }
count() { at "$1" boss status --json | jq -r ".$2"; }
# All three hold what the others hold: o dials n1, n2 dials o.
even() {
    for _ in 1 2; do rc 0 at o boss sync --once; rc 0 at n2 boss sync --once; done
}

# A group of a later version; then a node of this version joins, and a third one behind it.
secret disk 'a passphrase for the disk, 1'
for u in boss zhao rui; do secret "$u" "$u secret 1"; done
rc 0 at n1 boss init --group '测试集团' --station S1 --admin boss
rc 0 at n1 boss user add zhao --role SM,SC --station S1 --new-password-file "$D/zhao"
rc 0 at n1 boss user add rui --role RT --station S1 --new-password-file "$D/rui"
up n1
rc 0 at o boss join "$(at n1 boss invite --kind station --station S2 --scope group)"
rc 0 at n2 boss join "$(at n1 boss invite --kind station --station S3 --scope group)"
up o
rc 0 at n2 boss peer remove "127.0.0.1:${port[n1]}"
rc 0 at n2 boss peer add "127.0.0.1:${port[o]}" --node 2
up n2
even

# Written in the later version: everything it has more.
id=$(new n1 zhao customer kind=个人 full_name=王小明 nickname=小明 hobbies=钓鱼 occupation=医生)
point=$(new n1 zhao contact_point customer="$id" value=13800138000 call_after=18)
card=$(new n1 zhao loyalty_card customer="$id" card_no=K-1001 tier=银 points=100)
opp=$(new n1 zhao opportunity customer="$id" stage=报价)
rc 0 at n1 zhao set "$id" 'industry=~新写法'
book=$(new n1 rui lead_intake channel=来电)
even
is 'the new field passed the old node' "$(field n2 "$id" nickname)" 小明
is 'the new set passed' "$(field n2 "$id" hobbies)" 钓鱼
is 'the new field of a child passed' "$(field n2 "$point" call_after)" 18
is 'the new entity passed' "$(field n2 "$card" card_no)" K-1001
is 'the new code passed' "$(field n2 "$opp" stage)" 报价
is 'the new kind of cell passed' "$(field n2 "$id" industry)" '~新写法'
is 'a group with a critical flag passed' "$(field n2 "$book" channel)" 来电
is 'the two new ones agree' "$(digest n2)" "$(digest n1)"

# The old node shows what it can, lists what it cannot, and works on.
is 'known field at the old node' "$(field o "$id" occupation)" 医生
is 'unknown code at the old node' "$(field o "$opp" stage)" '#9900'
is 'cell of a newer kind is not shown' "$(field o "$id" industry)" ''
if [ "$(count o newer)" -gt 0 ]; then ok; else bad 'nothing is listed as newer'; fi
is 'no origin stands still' "$(count o stopped)" '[]'
rc 2 at o zhao get "$card" --purpose P1
if [ "$(field o "$book" channel)" = '' ]; then ok; else bad 'a group with an unknown critical flag is shown'; fi
rc 0 at o zhao set "$id" occupation=护士
rc 0 at o zhao set "$point" status=有效
own=$(new o zhao customer full_name=周小雨)
rc 0 at o zhao export customer --purpose P1 --output "$D/o.csv"
printf 'full_name,occupation\n李四光,教师\n' > "$D/in.csv"
rc 0 at o zhao import "$D/in.csv" --entity customer
rc 0 at o boss verify --deep --rebuild
even
is 'an edit at the old node destroys nothing' "$(field n2 "$id" nickname) $(field n2 "$id" hobbies) $(field n2 "$id" occupation)" '小明 钓鱼 护士'
is 'an edit of a child destroys nothing' "$(field n1 "$point" call_after)" 18
is 'written at the old node' "$(field n1 "$own" full_name)" 周小雨
is 'the new ones still agree' "$(digest n2)" "$(digest n1)"

# Apart: both new ones write the same new things, the old one what it did not see of a known field.
stop o
rc 0 at n1 zhao set "$id" nickname=老王
rc 0 at n2 zhao set "$id" nickname=王总
rc 0 at n1 zhao set "$id" hobbies=下棋
rc 0 at n2 zhao set "$id" hobbies=游泳
rc 0 at n1 zhao set "$card" tier=金 points=300
rc 0 at n2 zhao set "$card" points=200
rc 0 at n1 zhao set "$opp" stage=报价
rc 0 at n2 zhao set "$opp" stage=谈判
up o
rc 0 at o zhao set "$id" industry=医疗
even; even
for h in n1 n2; do
    is "set at $h" "$(field $h "$id" hobbies | grep -oE '钓鱼|下棋|游泳' | sort -u | wc -l)" 3
    is "largest at $h" "$(field $h "$card" points)" 300
    is "state at $h" "$(field $h "$card" tier)" 金
done
is 'the conflict on the new field is the same' "$(log_of n1)" "$(log_of n2)"
has 'the conflict on the new field is there' "$(at n1 zhao conflicts --json)" nickname
has 'what was written unseen is a conflict' "$(at n1 zhao conflicts --json)" industry
hasnt 'the old node knows no conflict on what it does not know' "$(at o zhao conflicts --json)" nickname
is 'the new ones agree after conflicts' "$(digest n2)" "$(digest n1)"

# The upgrade of the old node, without a line: killed ever later, until one ordinary command comes to its end.
stop o; stop n1; stop n2
cp -a "$D/o" "$D/before"
prog[before]=$OLD
prog[o]=$NEXT
killed=0
for ((ms = 8; ms < 20000; ms += ms / 6)); do
    JIPAN_HOME=$D/o JIPAN_PASSPHRASE_FILE=$D/disk timeout -s KILL "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))" \
        "$NEXT" status > "$D/out" 2>> "$D/said" && break
    killed=$((killed + 1))
done
echo "killed upgrades: $killed"
has 'the upgrade is announced' "$(cat "$D/said")" '升级'
is 'everything is applied' "$(digest o)" "$(digest n1)"
is 'the conflict log is equal' "$(log_of o)" "$(log_of n1)"
is 'nothing waits' "$(count o newer)" 0
is 'an upgrade writes no commit' "$(count o commits)" "$(count before commits)"
is 'a new field is found by its value' "$(at o zhao find customer nickname=王总 --purpose P1 --json | jq length)" "$(at n1 zhao find customer nickname=王总 --purpose P1 --json | jq length)"
is 'the new field is shown' "$(field o "$card" card_no)" K-1001
rc 0 at o boss verify --deep --rebuild
is 'a rebuild gives the same' "$(digest o)" "$(digest n1)"
dumped() { at "$1" zhao dump --canonical --purpose P1 > "$D/dump.$1" 2> /dev/null; cat "$D/dump.$1"; }
is 'dumps are equal' "$(dumped o | sha256sum)" "$(dumped n1 | sha256sum)"
up o; up n1; up n2; even
rc 0 at o zhao set "$id" nickname=明哥
even
is 'decided at the upgraded node' "$(field n2 "$id" nickname)" 明哥
is 'all three agree' "$(digest o) $(digest n2)" "$(digest n1) $(digest n1)"
stop o; stop n1; stop n2

# Back to the old program: refused with words, nothing changed.
before=$(cd "$D/o" && sha256sum jipan.db* jipan.mark 2>/dev/null)
prog[o]=$OLD
for verb in status 'verify --deep' 'find customer --purpose P1'; do
    # shellcheck disable=SC2086
    at o zhao $verb > "$D/out" 2> "$D/err"; is "old program: $verb" $? 1
    has 'says what to do' "$(cat "$D/err")" '升级'
done
is 'nothing was changed' "$(cd "$D/o" && sha256sum jipan.db* jipan.mark 2>/dev/null)" "$before"
prog[o]=$NEXT
is 'and the new one goes on' "$(digest o)" "$(digest n1)"
rc 0 at before boss verify --deep

finish
