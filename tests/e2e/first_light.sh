#!/usr/bin/env bash
# Runs the public acceptance script of the command line. It is a contract kept outside this project: JIPAN_CONTRACT
# names it, or it stands beside the checkout. Without it: failure under CI, skipped (exit 77) by hand.
# Usage: JIPAN=build/jipan tests/e2e/first_light.sh
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
contract=${JIPAN_CONTRACT:-$top/../shared/contract/first-light.sh}
JIPAN=${JIPAN:-$top/build/jipan}
export JIPAN
if [ ! -f "$contract" ]; then
    echo "没有验收脚本 / no acceptance script: $contract (JIPAN_CONTRACT)" >&2
    if [ "${CI:-}" = true ]; then
        exit 1
    fi
    exit 77
fi
source "$top/tests/e2e/ports.bash"
take_ports
trap 'rm -f "${PORTS_FILE:-}"' EXIT
export PORT
# The script writes UTF-8 and asks iconv for GB18030: that needs a UTF-8 locale, which a bare machine has not set.
export LC_ALL=C.UTF-8
bash "$contract"
