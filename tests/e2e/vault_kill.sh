#!/bin/sh
# Kill -9 loop of the encrypted store in every durability, with a tiny cache: every acknowledged id must be there.
# Usage: vault_kill.sh BUILD_DIR [LOOPS]      default 100 loops per durability; 2000 before a release
set -eu

build=${1:?usage: vault_kill.sh BUILD_DIR [LOOPS]}
loops=${2:-100}

for mode in OFF NORMAL FULL; do
    dir=$(mktemp -d)
    "$build/vault_writer" "$dir" "$loops" "$mode" || {
        echo "vault_kill: FAILED in mode $mode; files kept in $dir" >&2
        exit 1
    }
    rm -rf "$dir"
done
echo "vault_kill: ok"
