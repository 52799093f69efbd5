#!/bin/bash
# Is this number known? As people ask it: the words of the answer, what a refusal says, and a limit that neither another
# login nor a node that stops and starts can get around.
source "$(dirname "$0")/common.bash"
export LANG=zh_CN.UTF-8 LC_ALL=
found_group
secret sun 'sun secret 1'
start s1 boss "$PORT"
rc 0 at s2 boss join "$(at s1 boss invite --kind station --station S2 --scope group)"
rc 0 at s1 boss user add sun --role SC --station S2 --new-password-file "$D/sun"
id=$(at s1 wang new customer full_name=诸葛孔明 --json | jq -r .id)
rc 0 at s1 wang new contact_point customer="$id" value=13977766655

# A consultant of another station: where, a masked name, and nothing else.
is 'known' "$(at s1 sun known '+86 139-7776-6655' --purpose P1 --json)" \
    '{"known":true,"matches":[{"station":"S1","name":{"value":"诸葛**","view":"masked"}}]}'
is 'unknown' "$(at s1 sun known 13977766656 --purpose P1 --json)" '{"known":false,"matches":[]}'
out=$(at s1 sun known 13977766655 --purpose P1)
has 'in words' "$out" 已有登记
has 'a table' "$out" '诸葛**'
hasnt 'no id' "$out" customer/
hasnt 'no name' "$out" 孔明
is 'the owner gets the id' "$(at s1 wang known 13977766655 --purpose P1 --json | jq -r '.matches[0] | .id + " " + .owner')" "$id wang"

rc 1 at s1 sun known 13977766655
has 'names the purpose' "$(cat "$D/err")" --purpose
rc 1 at s1 boss known 13977766655 --purpose P11
rc 1 at s1 sun known 1397776665 --purpose P1
hasnt 'a mistake is not repeated' "$(cat "$D/err")" 1397776665
rc 2 at s1 sun known --purpose P1
rc 2 at s1 sun known 13977766655 13977766656 --purpose P1

# What the log says: who asked, and about whom it was answered; never the number.
log=$(at s1 li audit --subject "$id" --json)
is 'noted with the customer' "$(jq -r '[.[] | select(.event == "search")] | last | .user + " " + .view' <<< "$log")" 'wang masked'
hasnt 'without the number' "$(at s1 li audit --json)" 139777

# Sixty an hour. Three are asked; a login, a stop and a start count on.
at s1 sun login sun > "$D/out" 2>&1
for _ in $(seq 55); do at s1 sun known 13977766656 --purpose P1 > /dev/null || bad 'within the limit'; done
stop s1
rc 0 at s1 sun known 13977766655 --purpose P1
rc 0 at s1 sun known 13977766655 --purpose P1
rc 1 at s1 sun known 13977766655 --purpose P1
has 'says when again' "$(cat "$D/err")" 分钟
start s1 boss "$PORT"
rc 1 at s1 sun known 13977766655 --purpose P1
cp "$D/err" "$D/hit"
rc 1 at s1 sun known 13977766656 --purpose P1
is 'hit and miss alike' "$(cat "$D/err")" "$(cat "$D/hit")"
rc 0 at s1 wang known 13977766655 --purpose P1
finish
