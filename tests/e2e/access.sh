#!/bin/bash
# Who may see what, from outside: every way out of a node for every kind of person, what is left on the disk and in the
# process table, junk on the control socket, logins that should have ended, and files changed while the node was down.
JIPAN_SECRETS=full
source "$(dirname "$0")/common.bash"
export LANG=zh_CN.UTF-8 LC_ALL=
umask 022
found_group
for u in rui sun boss2; do secret "$u" "$u secret 1"; done
rc 0 at s1 boss user add rui --role RT --station S1 --new-password-file "$D/rui"
rc 0 at s1 boss user add sun --role SA --station S1 --new-password-file "$D/sun"
start s1 boss "$PORT"

# One customer of wang's; every value that must not be seen is unlike anything else.
name=诸葛孔明 phone=13977766655 mail=kongming@example.com doc=440106197707070019 birth=1977-07-07 road=卧龙岗七号
id=$(at s1 wang new customer kind=个人 full_name=$name birth_date=$birth remark=密语甲乙 --json | jq -r .id)
rc 0 at s1 wang new contact_point customer="$id" value=$phone
point=$(jq -r .id < <(at s1 wang new contact_point customer="$id" type=email value=$mail --json))
rc 0 at s1 wang new identity_document customer="$id" doc_type=居民身份证 doc_no=$doc
rc 0 at s1 wang new address customer="$id" region_code=440106 detail=$road
has 'the owner sees it' "$(at s1 wang find contact_point customer="$id" --purpose P1)" $phone

# Everybody else, by every way out.
everything() {
    local u=$1 p=$2 e
    at s1 "$u" get "$id" --purpose "$p"
    at s1 "$u" history "$id" --purpose "$p"
    at s1 "$u" history "$point" --purpose "$p"
    for e in customer contact_point identity_document address; do
        at s1 "$u" find "$e" --purpose "$p"
        at s1 "$u" export "$e" --purpose "$p"
    done
    at s1 "$u" dump --canonical --purpose "$p"
    at s1 "$u" conflicts
    at s1 "$u" audit --subject "$id"
}
for who in chen:P1 rui:P1 sun:P3 li:P9 boss:P11 zhao:P8; do
    out=$(everything "${who%:*}" "${who#*:}" 2>&1)
    for canary in $name $phone $mail $doc $birth $road 密语甲乙 kongming; do hasnt "$who" "$out" "$canary"; done
done

# A search by what one may not read answers hit and miss alike.
for who in chen:P1 rui:P1 sun:P3 li:P9; do
    for f in "customer full_name=$name full_name=司马仲达" "customer birth_date=$birth birth_date=1980-01-01" \
        "contact_point value_norm=$phone value_norm=13900000000" "identity_document doc_no=$doc doc_no=440106199003078513"; do
        read -r entity hit miss <<< "$f"
        at s1 "${who%:*}" find "$entity" "$hit" --purpose "${who#*:}" > "$D/hit" 2>&1; echo $? >> "$D/hit"
        at s1 "${who%:*}" find "$entity" "$miss" --purpose "${who#*:}" > "$D/miss" 2>&1; echo $? >> "$D/miss"
        is "$who $entity $hit" "$(cat "$D/hit")" "$(cat "$D/miss")"
    done
done

# What was refused or taken out stands in the audit log, with fields.
entries() { at s1 boss status --json | jq .audit_entries; }
refused() {
    local before after
    before=$(entries)
    rc 1 "$@"
    after=$(entries)
    is "noted: $*" "$((after - before))" 1
}
refused at s1 rui export customer --purpose P1
refused at s1 wang dump --purpose P1
refused at s1 zhao invite --kind station --station S9
refused at s1 zhao user add x1 --role SM --station S1 --new-password-file "$D/wang"
refused at s1 zhao node revoke 1 --reason x
refused at s1 zhao audit
rc 0 at s1 zhao export customer --purpose P1 --output "$D/out.csv"
is 'an export is private' "$(stat -c %a "$D/out.csv")" 600
last=$(at s1 li audit --user zhao --json | jq -c '[.[] | select(.event == "export")] | last | [.view, (.fields | index("full_name") != null)]')
is 'an export names its fields' "$last" '["clear",true]'
printf 'full_name\n曹操孟德\n' > "$D/in.csv"
before=$(entries)
rc 0 at s1 wang import "$D/in.csv" --entity customer --dry-run
is 'a trial import is noted' "$(($(entries) - before))" 1

# Junk on the control socket: an answer, and the node lives on.
raw() {
    LC_ALL=C perl -MIO::Socket::UNIX -e '
        my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
        local $/; my $m = <STDIN>;
        print $s pack("N", length $m), $m;
        read($s, my $n, 4) == 4 or exit 1;
        read($s, my $r, unpack("N", $n)); print $r;' "$D/s1/control.sock"
}
login='"user":"wang","password":"wang secret 1"'
for junk in '' null '[]' '"x"' '{' '{"verb":1}' '{"verb":"status","verb":"status"}' '{"verb":"sta\u0000tus"}' '{"verb":"nothing"}' \
    "{\"verb\":\"get\",$login}" "{\"verb\":\"get\",$login,\"args\":[]}" "{\"verb\":\"get\",$login,\"args\":{\"id\":[],\"clear\":\"x\"}}" \
    "{\"verb\":\"get\",$login,\"args\":{\"id\":\"$id\",\"purpose\":\"P1\",\"clear\":[null,1,{}]}}" \
    "{\"verb\":\"find\",$login,\"args\":{\"entity\":\"customer\",\"where\":{\"full_name\":[1]},\"purpose\":\"P1\"}}" \
    "{\"verb\":\"find\",$login,\"args\":{\"entity\":\"customer\",\"limit\":-9223372036854775808,\"purpose\":\"P1\"}}" \
    "{\"verb\":\"find\",$login,\"args\":{\"entity\":\"customer\",\"limit\":99999999999999999999,\"purpose\":\"P1\"}}" \
    "{\"verb\":\"new\",$login,\"args\":{\"entity\":\"customer\",\"fields\":{\"full_name\":{}}}}" \
    "{\"verb\":\"import\",$login,\"args\":{\"entity\":\"customer\",\"header\":[1,null],\"rows\":{}}}" \
    "{\"verb\":\"whoami\",\"user\":[],\"password\":{},\"token\":7}" \
    "{\"verb\":\"find\",\"args\":$(printf '[%.0s' $(seq 3000))"; do
    code=$(printf %s "$junk" | raw | jq .code)
    case "$code" in 1 | 2 | 7) ok ;; *) bad "junk: ${junk:0:80} gave '$code'" ;; esac
done
rc 0 at s1 boss status

# A login kept by jipan login belongs to one person and ends with him.
export XDG_RUNTIME_DIR=$D/runtime
mkdir -m 700 "$XDG_RUNTIME_DIR"
by_login() { JIPAN_HOME=$D/s1 "$J" "$@" < /dev/null; }
rc 0 at s1 wang login wang
is 'the login is used' "$(by_login whoami --json | jq -r .login)" wang
rc 2 by_login --as zhao whoami
is 'tokens are private' "$(find "$XDG_RUNTIME_DIR" -type f -perm /077 | wc -l)" 0
rc 0 at s1 chen whoami
rc 0 at s1 chen login chen
rc 0 at s1 boss user disable chen
rc 7 by_login whoami
rc 7 at s1 chen whoami
rc 0 at s1 boss user enable chen
rc 7 by_login whoami
rc 0 at s1 chen whoami
rm -rf "$XDG_RUNTIME_DIR"
unset XDG_RUNTIME_DIR

# The group keeps an administrator; names are what they look like.
rc 1 at s1 boss user disable boss
rc 1 at s1 boss user role boss --role SM
rc 1 at s1 boss user role boss --role AD,PA
rc 0 at s1 boss user add boss2 --role AD --station S1 --new-password-file "$D/boss2"
rc 0 at s1 boss user disable boss
rc 7 at s1 boss whoami
rc 0 at s1 boss2 user enable boss
# Who makes an account can act as that person: the auditor sees whose it is and who set its password.
change() { at s1 li audit --user boss --json | jq -c "[.[] | select(.event == \"member\" and .member.login == \"$1\")] | last | .member | $2"; }
is 'an account made' "$(change boss2 '[.kind, .roles, .is_new, .password_set_by_other]')" '["user","AD",true,true]'
rc 0 at s1 boss user passwd boss --new-password-file "$D/boss"
is 'an own new password' "$(change boss '[.is_new, .password_set, .password_set_by_other]')" '[false,true,false]'
rc 0 at s1 boss user passwd wang --new-password-file "$D/wang"
is "somebody's new password" "$(change wang '[.is_new, .password_set, .password_set_by_other]')" '[false,true,true]'
has 'in words' "$(at s1 li audit --user boss)" '员工 wang：岗位 SC，密码由他人设定'
hasnt 'no verifier' "$(at s1 li audit --user boss --json)" argon2
rc 2 at s1 boss invite --kind station --station $'S\e[31m'
rc 2 at s1 boss invite --kind laptop --station S1 --owner wang --scope group
code=$(at s1 boss invite --kind station --station S2)
flip=A
[ "${code:60:1}" = A ] && flip=B
rc 1 at s2 boss join "${code:0:60}$flip${code:61}"
is 'a mistyped code leaves nothing' "$(ls -d "$D/s2" 2> /dev/null)" ''

# The process and the disk tell nothing.
# shellcheck disable=SC2154 # pid comes from common.bash
arguments=$(tr '\0' ' ' < "/proc/${pid[s1]}/cmdline"; tr '\0' '\n' < "/proc/${pid[s1]}/environ")
for s in 'passphrase for the disk' 'boss secret 1' "$name"; do hasnt 'argv and environment' "$arguments" "$s"; done
is 'no core dump' "$(awk '/Max core file size/ {print $5, $6}' "/proc/${pid[s1]}/limits")" '0 0'
kill9 s1
for s in $name $phone ${mail%@*} $doc $road 密语甲乙 'wang secret 1' 'passphrase for the disk'; do
    is "on the disk: $s" "$(grep -rlaF -- "$s" "$D/s1" "$D/s1.log")" ''
done
is 'files are private' "$(find "$D/s1" -perm /077 ! -type s)" ''
is 'the socket is private' "$(find "$D/s1" -type s -perm /077)" ''

# Somebody works on the files of a stopped node: an error, never another value.
rc 0 at s1 boss verify --deep
for at_byte in 100 5000 60000 150000; do
    rm -rf "$D/x"
    cp -a "$D/s1" "$D/x"
    printf 'JUNKJUNK' | dd of="$D/x/jipan.db" bs=1 seek=$at_byte conv=notrunc 2> /dev/null
    at x boss verify --deep > "$D/out" 2> "$D/err"
    is "flipped at $at_byte" $? 4
done
rm -rf "$D/x"
cp -a "$D/s1" "$D/x"
: > "$D/x/jipan.db"
rc 4 at x boss status
rc 6 at x boss init --group 另一个 --station S9 --admin boss
rm -rf "$D/x"
cp -a "$D/s1" "$D/x"
truncate -s 90000 "$D/x/jipan.db"
rc 4 at x boss verify --deep

finish
