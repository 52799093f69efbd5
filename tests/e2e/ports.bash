# Sets PORT, unless it is set: the first of eight free ports that no other script takes while this one runs (a locked file
# keeps them, also from one that has not begun to listen). Below the ports that the system gives to those that call.
take_ports() {
    local n
    [ -z "${PORT:-}" ] || return 0
    for _ in $(seq 100); do
        PORT=$((10000 + 8 * (RANDOM % 1200)))
        PORTS_FILE=${TMPDIR:-/tmp}/jipan-ports-$PORT
        exec 8>> "$PORTS_FILE" && flock -n 8 || continue
        for n in 0 1 2 3 4 5 6 7; do
            if (exec 3<> "/dev/tcp/127.0.0.1/$((PORT + n))") 2> /dev/null; then continue 2; fi
        done
        return 0
    done
    echo 'no free ports' >&2
    exit 1
}
