#!/usr/bin/env bash
# Writes the fixture stores of this version into tests/golden/stores/NAME: a group station, a laptop, a backup, each with
# what must be read from it for ever. They hold every entity, conflicts open and decided, quarantine, members, a revoked
# node, audit, books, and things of a later version (jipan_next). Run it once for a version that is going to be used, under
# a new name; never over an old one: tests/e2e/stores.sh opens all of them with every later build.
# Usage: JIPAN=build/jipan tests/golden/make_stores.sh NAME
cd "$(dirname "$0")/../.." || exit 1
name=${1:?usage: make_stores.sh NAME, e.g. v1}
JIPAN_SECRETS=full
source tests/e2e/common.bash
OLD=$J
NEXT=$(realpath "${JIPAN_NEXT:-$(dirname "$J")/jipan_next}")
into=tests/golden/stores/$name
if [ -e "$into" ]; then echo "$into exists already" >&2; exit 1; fi
declare -A prog=([s1]=$OLD [s2]=$OLD [lap]=$OLD [late]=$NEXT [gone]=$OLD)
declare -A port=([s1]=$PORT [s2]=$((PORT + 1)) [lap]=$((PORT + 2)) [late]=$((PORT + 3)) [gone]=$((PORT + 4)))

at() {
    local h=$1 u=$2
    shift 2
    JIPAN_HOME=$D/$h JIPAN_PASSPHRASE_FILE=$D/disk JIPAN_USER=$u JIPAN_PASSWORD_FILE=$D/$u "${prog[$h]}" "$@"
}
up() { J=${prog[$1]}; start "$1" boss "${port[$1]}"; }
new() { local h=$1 u=$2; shift 2; at "$h" "$u" new "$@" --json | jq -r .id; }
want() { if [ -z "$1" ]; then bad "not written: $2"; fi; }
even() { for _ in 1 2; do for h in "$@"; do rc 0 at "$h" boss sync --once; done; done; }

secret disk 'fixture passphrase 1'
for u in boss zhao wang sun rui guo li fang; do secret "$u" "fixture $u"; done
rc 0 at s1 boss init --group '样本集团' --station S1 --admin boss
while read -r u roles; do
    rc 0 at s1 boss user add "$u" --role "$roles" --station S1 --new-password-file "$D/$u"
done << 'USERS'
zhao SM,SC
wang SC
sun SA
rui RT
guo GM
li PA
fang FN
USERS
up s1
invite() { at s1 boss invite "$@"; }
rc 0 at s2 boss join "$(invite --kind station --station S2 --scope group)"
rc 0 at late boss join "$(invite --kind station --station S3 --scope group)"
rc 0 at lap boss join "$(invite --kind laptop --station S1 --owner wang)"
rc 0 at gone boss join "$(invite --kind station --station S4)"
up s2; up late; up lap
even s2 late lap

# Every entity. wang's customer is on the laptop too.
c1=$(new s1 wang customer kind=个人 full_name=王小明 sex=M birth_date=1985-03-07 occupation=医生 origin=来店 remark=周末联系)
c2=$(new lap wang customer kind=个人 full_name=周小雨 origin=转介绍)
c3=$(new s1 zhao customer kind=单位 full_name=南方物流有限公司 origin=来电)
want "$c1" customer; want "$c2" customer; want "$c3" customer
p1=$(new s1 wang contact_point customer="$c1" value=13800138000); want "$p1" contact_point
want "$(new s1 wang contact_point customer="$c1" type=email value=xiaoming@example.com)" contact_point
want "$(new s1 wang identity_document customer="$c1" doc_type=居民身份证 doc_no=440106197707070019)" identity_document
a1=$(new s1 wang address customer="$c1" region_code=440106 town=石牌 detail=天河路一号); want "$a1" address
want "$(new s1 wang consent customer="$c1" purpose=敏感信息 action=同意)" consent
want "$(new s1 wang customer_profile customer="$c1" colours=红 budget_band=10-15万 income_band=20-50万)" customer_profile
want "$(new s1 zhao customer_class customer="$c1" vip_flag=指定)" customer_class
want "$(new s1 zhao customer_assignment customer="$c1" staff=wang)" customer_assignment
want "$(new s1 wang consent customer="$c1" purpose=电话营销 action=同意)" consent
v1=$(new s1 wang vehicle vin=LSVAA49J132047371); want "$v1" vehicle
want "$(new s1 wang vehicle_ownership customer="$c1" vehicle="$v1")" vehicle_ownership
want "$(new s1 rui lead_intake channel=来电)" lead_intake
o1=$(new s1 wang opportunity customer="$c1" stage=需求); want "$o1" opportunity
want "$(new s1 wang grade_event customer="$c1" to_grade=A)" grade_event
want "$(new s1 wang followup_task customer="$c1" kind=意向跟进 due_at=2026-12-01)" followup_task
want "$(new s1 wang contact_event customer="$c1" mode=电话)" contact_event
want "$(new s1 boss staff user=wang name=王强)" staff
want "$(new s1 boss station code=S1 name=第一店)" station
even s2 late lap

# Conflicts: one decided, one open, a delete against an edit; written on both sides of a cut line.
stop s2
rc 0 at s1 zhao set "$c1" occupation=护士
rc 0 at s2 zhao set "$c1" occupation=大学教师
rc 0 at s1 wang set "$c1" birth_date=1985-03-08
rc 0 at s2 wang set "$c1" birth_date=1985-03-09
rc 0 at s1 zhao set "$a1" detail=天河路二号
rc 0 at s2 zhao set "$a1" detail=天河路三号 town=沙河
rc 0 at s1 zhao set "$p1" status=停用
rc 0 at s2 zhao delete "$p1"
up s2
even s2 late lap
conflict=$(at s1 zhao conflicts --json | jq -r '[.[] | select(.field == "occupation")][0].id')
rc 0 at s1 zhao decide "$conflict" --value 教师 --reason 本人确认

# A later version's doing, a revoked node, reads and a refusal in the audit log.
want "$(new late zhao loyalty_card customer="$c1" card_no=K-1001 tier=银 points=100)" loyalty_card
rc 0 at late zhao set "$c1" nickname=小明 'industry=~新写法'
rc 0 at late wang set "$o1" stage=报价
want "$(new late rui lead_intake channel=来店)" lead_intake
even s2 late lap
rc 0 at s1 wang get "$c1" --purpose P1
rc 1 at s1 boss get "$c1" --purpose P1
rc 0 at s1 boss node revoke 5 --reason 样本
even s2 late lap
stop late; stop lap; stop s2; stop s1

mkdir -p "$into"
cp "$D/disk" "$into/passphrase"
for u in boss zhao wang; do cp "$D/$u" "$into/$u"; done
rc 0 at s1 boss backup "$D/backup"
# keep DIR: the store and what must be read from it. The digest of a later version is that of the tests' own.
keep() {
    local h=$1 u=$2
    mkdir "$into/$h"
    cp "$D/$h/jipan.db" "$into/$h/jipan.db"
    {
        echo "user $u"
        echo "statehash $(at "$h" boss statehash)"
        echo "next_statehash $(cp -a "$D/$h" "$D/$h.next" && prog[$h.next]=$NEXT && at "$h.next" boss statehash)"
        at "$h" boss status --json | jq -r '"newer \(.newer)", "quarantined \(.quarantined)", "customers \(.customers)", "members \(.members)", "conflict_entries \(.conflict_entries)"'
    } > "$into/$h/expect"
    at "$h" "$u" dump --canonical --purpose P1 > "$into/$h/dump"
    at "$h" "$u" conflicts --json | jq -S -c 'sort_by(.id)[]' > "$into/$h/conflicts"
}
keep s1 zhao
keep lap zhao
cp "$D/backup" "$into/backup"
chmod -R u+w,go+r "$into"
du -ab "$into"
finish
