#!/bin/bash
# Bad input of every kind gets the documented exit code and a message that says what to do, and leaves nothing half done.
source "$(dirname "$0")/common.bash"
export LANG=zh_CN.UTF-8 LC_ALL=
found_group

# Words.
rc 2 at s1 boss statsu; has 'nearest verb' "$(cat "$D/err")" 'jipan status'
rc 2 at s1 wang new customr full_name=甲; has 'nearest entity' "$(cat "$D/err")" customer
rc 2 at s1 wang new customer full_nmae=甲; has 'nearest field' "$(cat "$D/err")" full_name
rc 2 at s1 wang new customer full_name; has 'field=value' "$(cat "$D/err")" '字段=值'
rc 2 at s1 wang find customer --limit x
rc 2 at s1 wang get customer/xyz --purpose P1
rc 2 at s1 wang get customer/0000 --porpose P1; has 'unknown option' "$(cat "$D/err")" '--porpose'
rc 2 at s1 boss user add new1 --role XX --station S1 --new-password-file "$D/wang"
rc 2 at s1 boss run; has 'run says how' "$(cat "$D/err")" '--listen'

# Values: nothing of a refused record is kept.
rc 1 at s1 wang new customer full_name=甲 birth_date=2026-02-30
rc 1 at s1 wang new customer full_name=甲 sex=Q
rc 1 at s1 wang new customer full_name="$(printf '长%.0s' $(seq 200))"
rc 1 at s1 wang new customer sex=M; has 'names the missing field' "$(cat "$D/err")" '姓名'
rc 2 at s1 wang new customer full_name="$(printf '\xff\xfe')"
rc 1 at s1 wang new vehicle vin=LTESTA125TA000002; has 'check digit' "$(cat "$D/err")" '校验位'
is 'nothing was written' "$(at s1 zhao find customer --purpose P1 --json | jq length)" 0
id=$(at s1 wang new customer full_name=王小明 --json | jq -r .id)
rc 1 at s1 wang new contact_point customer="$id" value=12345
rc 1 at s1 wang new customer_profile customer="$id"; has 'an empty record' "$(cat "$D/err")" '至少写一个字段'
rc 1 at s1 wang new identity_document customer="$id" doc_no=440106199003078514
rc 3 at s1 wang new contact_point customer=customer/00000000000000000000000000000000 value=13900001234
rc 3 at s1 zhao decide 00000000000000000000000000000000 --value x --reason y

# Secrets.
secret wrong 'not the passphrase'
JIPAN_HOME=$D/s1 JIPAN_PASSPHRASE_FILE=$D/wrong JIPAN_USER=boss JIPAN_PASSWORD_FILE=$D/boss "$J" status > "$D/out" 2> "$D/err"; is 'wrong passphrase' $? 7
JIPAN_HOME=$D/s1 JIPAN_PASSPHRASE_FILE=$D/none JIPAN_USER=boss JIPAN_PASSWORD_FILE=$D/boss "$J" status > "$D/out" 2> "$D/err"; is 'missing secret file' $? 3
rc 3 at nowhere boss status; has 'says how to begin' "$(cat "$D/err")" 'jipan init'
rc 6 at s1 boss init --group 另一个 --station S9 --admin boss

# Daemons and ports.
start s1 boss "$PORT"
rc 4 at s1 boss run --listen "127.0.0.1:$((PORT + 1))"; has 'second daemon' "$(cat "$D/err")" '已经在运行'
mkdir "$D/other"
at other boss init --group '另一集团' --station S1 --admin boss > /dev/null 2>&1
at other boss run --listen "127.0.0.1:$PORT" > "$D/out" 2> "$D/err"; got=$?
if [ "$got" -ne 0 ]; then ok; else bad 'port in use was not noticed'; fi
has 'port in use' "$(cat "$D/err")" "$PORT"
rc 2 at other boss run --listen nonsense

# Invites: one use, whole line, right group.
code=$(at s1 boss invite --kind station --station S2 --scope group)
rc 1 at s2 boss join "${code%?}"; has 'mistyped code' "$(cat "$D/err")" '邀请码'
if [ -e "$D/s2/jipan.db" ]; then bad 'a failed join left a store'; else ok; fi
rc 0 at s2 boss join "$code"
rc 1 at s3 boss join "$code"; has 'used code' "$(cat "$D/err")" '用过'
rc 6 at s2 boss join "$code"
rc 5 at s1 boss sync --once; has 'nobody reachable' "$(cat "$D/err")" '没有连上'

# A peer of another group is not let in.
start other boss $((PORT + 2))
rc 3 at other boss peer add "127.0.0.1:$PORT" --node 7
key_before=$(at s1 boss status --json | jq '.links | length')
sleep 0.3
is 'no stranger is linked' "$(at s1 boss status --json | jq '.links | length')" "$key_before"

# A disk that takes no more: the write is refused, what was acknowledged stays.
stop s1
before=$(at s1 boss statehash)
(
    trap '' XFSZ
    ulimit -f $(($(stat -c %s "$D/s1/jipan.db") / 1024))
    for n in $(seq 200); do at s1 wang new customer full_name="满盘$n" > "$D/full" 2>&1 || exit 9; done
)
is 'a full disk refuses' $? 9
rc 0 at s1 boss verify --deep
if [ "$(at s1 boss statehash)" = "$before" ]; then ok; else
    # Some may have been acknowledged before the limit was met; each of them must be whole.
    rc 0 at s1 zhao find customer --purpose P1
fi

# A read-only directory.
mkdir "$D/ro"
if [ "$(id -u)" = 0 ]; then
    if mount -t tmpfs -o ro,size=1m none "$D/ro" 2>/dev/null; then
        rc 4 at ro/x boss init --group 甲 --station S1 --admin boss
        umount "$D/ro"
    else
        echo 'not checked: no permission to mount a read-only directory' >&2
    fi
else
    chmod 500 "$D/ro"
    rc 4 at ro/x boss init --group 甲 --station S1 --admin boss
fi
rc 3 at nowhere/deep/er boss init --group 甲 --station S1 --admin boss

# The passphrase can be changed, and set anew with the recovery key.
rec=$(at s3 boss init --group 丙 --station S1 --admin boss --json 2>/dev/null | jq -r .recovery_key)
secret rec "$rec"; secret disk2 'another passphrase, 2'
JIPAN_HOME=$D/s3 "$J" passphrase --recovery-file "$D/rec" --new-passphrase-file "$D/disk2" > "$D/out" 2> "$D/err"; is 'recovery key' $? 0
rc 7 at s3 boss status
JIPAN_HOME=$D/s3 JIPAN_PASSPHRASE_FILE=$D/disk2 "$J" passphrase --new-passphrase-file "$D/disk" > "$D/out" 2> "$D/err"; is 'old passphrase' $? 0
rc 0 at s3 boss status
JIPAN_HOME=$D/s3 "$J" passphrase --recovery-file "$D/wrong" --new-passphrase-file "$D/disk2" > "$D/out" 2> "$D/err"; is 'wrong recovery key' $? 7

# Import: bad files.
rc 3 at s1 zhao import "$D/none.csv" --entity customer
printf '\0\0\0' > "$D/zero.csv"; rc 1 at s1 zhao import "$D/zero.csv" --entity customer
printf 'x,y\n1,2\n' > "$D/unknown.csv"; rc 2 at s1 zhao import "$D/unknown.csv" --entity customer; has 'says --map' "$(cat "$D/err")" '--map'
printf '姓名\n张三\n' > "$D/ok.csv"; rc 2 at s1 zhao import "$D/ok.csv" --entity customer --map '名字=full_name'; has 'names the column' "$(cat "$D/err")" '名字'
# Many refused rows: the first stand on the screen, all of them in the file and in the JSON.
{ printf '姓名,手机\n'; for i in $(seq 50); do printf '张%d,12\n' "$i"; done; } > "$D/bad.csv"
rc 0 at s1 zhao import "$D/bad.csv" --entity customer
is 'refused rows on the screen' "$(grep -c 手机 "$D/out")" 20
is 'refused rows in the file' "$(($(wc -l < "$D/bad.csv.refused.csv") - 1))" 50
rc 0 at s1 zhao import "$D/bad.csv" --entity customer --json; is 'refused rows in the JSON' "$(jq '.refused | length' "$D/out")" 50
rc 0 at s1 zhao import "$D/ok.csv" --entity customer --dry-run --json; is 'dry run counts' "$(jq .imported "$D/out")" 1
is 'dry run writes nothing' "$(at s1 zhao find customer full_name=张三 --purpose P1 --json | jq length)" 0
finish
