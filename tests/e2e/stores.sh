#!/usr/bin/env bash
# Stores that earlier versions wrote open for ever: digest, canonical dump and conflict log are what they were, every check
# passes, people work on, a later version (jipan_next) opens them too and finds what waited for it, backups restore.
# The fixtures are tests/golden/stores/*, made by tests/golden/make_stores.sh.
# Usage: JIPAN=build/jipan tests/e2e/stores.sh
cd "$(dirname "$0")/../.." || exit 1
JIPAN_SECRETS=full
source tests/e2e/common.bash
OLD=$J
NEXT=$(realpath "${JIPAN_NEXT:-$(dirname "$J")/jipan_next}")
G=

on() { # on HOME USER VERB...
    local h=$1 u=$2
    shift 2
    JIPAN_HOME=$D/$h JIPAN_PASSPHRASE_FILE=$G/passphrase JIPAN_USER=$u JIPAN_PASSWORD_FILE=$G/$u "$J" "$@"
}
serve() { # one opening of the store for all questions
    cp "$G/passphrase" "$D/disk"; cp "$G/boss" "$D/boss"; chmod 600 "$D/disk" "$D/boss"
    start "$1" boss "$PORT"
}
expected() { sed -n "s/^$2 //p" "$1/expect"; }

check_store() {
    local at=$1 h=$2 u
    u=$(expected "$at" user)
    mkdir "$D/$h"
    chmod 700 "$D/$h"
    cp "$at/jipan.db" "$D/$h/"
    serve "$h"
    is "$at: digest" "$(on "$h" boss statehash)" "$(expected "$at" statehash)"
    for what in newer quarantined customers members conflict_entries; do
        is "$at: $what" "$(on "$h" boss status --json | jq -r ".$what")" "$(expected "$at" $what)"
    done
    is "$at: dump" "$(on "$h" "$u" dump --canonical --purpose P1 | diff - "$at/dump" | head -n 5)" ''
    is "$at: conflicts" "$(on "$h" "$u" conflicts --json | jq -S -c 'sort_by(.id)[]' | diff - "$at/conflicts" | head -n 5)" ''
    rc 0 on "$h" boss verify --deep --rebuild
    is "$at: digest after a rebuild" "$(on "$h" boss statehash)" "$(expected "$at" statehash)"
    cp -a "$D/$h" "$D/$h.later" # before anything is written; the log is part of the copy
    rc 0 on "$h" wang new customer full_name=新客户 # owner of the laptop, consultant of the station
    rc 0 on "$h" boss verify --deep
    stop "$h"
    J=$NEXT
    serve "$h.later"
    is "$at: digest of a later version" "$(on "$h.later" boss statehash)" "$(expected "$at" next_statehash)"
    is "$at: nothing waits" "$(on "$h.later" boss status --json | jq .newer)" 0
    rc 0 on "$h.later" boss verify --deep
    stop "$h.later"
    J=$OLD
}

for G in tests/golden/stores/*/; do
    G=$(realpath "$G")
    n=$(basename "$G")
    check_store "$G/s1" "$n.s1"
    check_store "$G/lap" "$n.lap"
    JIPAN_PASSPHRASE_FILE=$G/passphrase "$J" --home "$D/$n.back" restore "$G/backup" > "$D/out" 2>&1
    is "$G: restore" $? 0
    is "$G: digest of the restored" "$(on "$n.back" boss statehash)" "$(expected "$G/s1" statehash)"
done
finish
