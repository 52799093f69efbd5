# Shared by the end-to-end scripts: a scratch directory, secrets, nodes, and counting of checks. Source it, then call finish.
set -u
J=${JIPAN:-build/jipan}
J=$(realpath "$J")
D=$(mktemp -d)
source "$(dirname "${BASH_SOURCE[0]}")/ports.bash"
take_ports
# Secrets cost next to nothing, in everything that is started here. A script that is about secrets, and one that opens
# stores of other times, sets JIPAN_SECRETS=full.
light=$(dirname "$J")/liblight_secrets.so
if [ "${JIPAN_SECRETS:-light}" = light ] && [ -e "$light" ] && ! nm -D "$J" | grep -q __asan_init; then
    export LD_PRELOAD=$light
fi
passed=0
failed=0
declare -A pid=()

cleanup() {
    local p
    for p in "${pid[@]}"; do kill -9 "$p" 2>/dev/null; done
    wait 2>/dev/null
    rm -f "${PORTS_FILE:-}"
    if [ -n "${KEEP:-}" ]; then echo "kept: $D"; else chmod -R u+w "$D"; rm -rf "$D"; fi
}
trap cleanup EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*" >&2; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: wanted '$3', got '$2'"; fi; }
has() { case "$2" in *"$3"*) ok ;; *) bad "$1: '$3' not in '$2'" ;; esac }
hasnt() { case "$2" in *"$3"*) bad "$1: '$3' must not be in '$2'" ;; *) ok ;; esac }

secret() { printf '%s' "$2" > "$D/$1"; chmod 600 "$D/$1"; }

# at HOME USER VERB...: run as USER on the node in HOME; the password file is $D/USER, the passphrase file $D/disk.
at() {
    local h=$1 u=$2
    shift 2
    JIPAN_HOME=$D/$h JIPAN_PASSPHRASE_FILE=$D/disk JIPAN_USER=$u JIPAN_PASSWORD_FILE=$D/$u "$J" "$@"
}

# rc WANT COMMAND...: checks the exit code; output is in $D/out and $D/err.
rc() {
    local want=$1 got
    shift
    "$@" > "$D/out" 2> "$D/err"
    got=$?
    if [ "$got" = "$want" ]; then ok; else bad "exit of: $* (wanted $want, got $got: $(head -c 300 "$D/err"))"; fi
}

# start HOME USER PORT [OPTIONS of run]
start() {
    local h=$1 u=$2 port=$3
    shift 3
    # exec: the pid must be the node's own, or kill -9 would only hit the shell around it.
    (
        export JIPAN_HOME=$D/$h JIPAN_PASSPHRASE_FILE=$D/disk JIPAN_USER=$u JIPAN_PASSWORD_FILE=$D/$u
        exec "$J" run --listen "127.0.0.1:$port" "$@"
    ) >> "$D/$h.log" 2>&1 &
    pid[$h]=$!
    for _ in $(seq 200); do
        [ -S "$D/$h/control.sock" ] && at "$h" "$u" status --json > /dev/null 2>&1 && return 0
        sleep 0.05
    done
    bad "$h did not start"
}

stop() { kill -TERM "${pid[$1]}"; wait "${pid[$1]}" 2>/dev/null; unset "pid[$1]"; }
kill9() { kill -9 "${pid[$1]}"; wait "${pid[$1]}" 2>/dev/null; unset "pid[$1]"; }

# flip FILE OFFSET COPY: a copy with another byte at that place, whatever stood there.
flip() {
    local was
    cp "$1" "$3"
    was=$(od -An -tu1 -j "$2" -N 1 "$3" | tr -d ' ')
    printf '%b' "\\x$(printf %02x $((was ^ 1)))" | dd of="$3" bs=1 seek="$2" conv=notrunc status=none
}

# A group with the usual staff on node s1 of station S1.
found_group() {
    local u
    secret disk 'a passphrase for the disk, 1'
    for u in boss wang chen zhao li; do secret "$u" "$u secret 1"; done
    rc 0 at s1 boss init --group '测试集团' --station S1 --admin boss
    rc 0 at s1 boss user add wang --role SC --station S1 --new-password-file "$D/wang"
    rc 0 at s1 boss user add chen --role SC --station S1 --new-password-file "$D/chen"
    rc 0 at s1 boss user add zhao --role SM --station S1 --new-password-file "$D/zhao"
    rc 0 at s1 boss user add li --role PA --station S1 --new-password-file "$D/li"
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
