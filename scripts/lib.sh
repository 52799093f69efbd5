# shellcheck shell=bash
# Shared by the scripts: where the project is, which files are ours, how to say that a rule is broken.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top" || exit

# our_files PATTERN...: tracked and new files, generated ones excluded.
our_files() {
    git ls-files --cached --others --exclude-standard -- "$@" | while read -r f; do
        if [ -f "$f" ]; then echo "$f"; fi
    done
}

faults=0

# fault MESSAGE: counts one broken rule.
fault() {
    faults=$((faults + 1))
    echo "$*" >&2
}

# finish WHAT: last line of a check; fails when a rule was broken.
finish() {
    if [ "$faults" -gt 0 ]; then
        echo "$1: $faults 处不合规 / broken rules" >&2
        exit 1
    fi
    echo "$1: 通过 / passed"
}
