#!/usr/bin/env bash
# Runs scripts/demo as CI does and holds it to what it claims: it ends well, the stations agree, the conflict is shown
# and decided, one customer is clear to the owner and masked for the auditor, nothing is left behind.
# Usage: JIPAN_BUILD=build tests/e2e/demo.sh      Exit 0 and a last line "N passed, 0 failed" when all holds.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
export JIPAN_BUILD=${JIPAN_BUILD:-$top/build} CI=true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*" >&2; }
has() { if grep -qE -- "$2" "$work/out"; then ok; else bad "$1: $2"; fi; }
hasnt() { if grep -qE -- "$2" "$work/out"; then bad "$1: $2"; else ok; fi; }

# run LANG: the demo, its output in $work/out, its temporary files where we can look for leftovers.
run() {
    mkdir -p "$work/tmp"
    TMPDIR=$work/tmp LC_ALL='' LC_MESSAGES='' LANG=$1 "$top/scripts/demo" --no-wait </dev/null >"$work/out" 2>"$work/err"
}

export LC_CTYPE=C.UTF-8
if run zh_CN.UTF-8; then ok; else bad "exit $?: $(tail -n 5 "$work/err")"; fi

has 'import counts rows taken, skipped and refused' '收下 1[0-9]{3} 行，跳过重复 [1-9][0-9]* 行，退回 [1-9][0-9]* 行'
has 'a refused row has line and reason' '^ +[0-9]+ +.*手机号'
s1=$(sed -nE 's/^ +S1 +(1[0-9]{3})$/\1/p' "$work/out")
l1=$(sed -nE 's/^ +L1 +([0-9]+)$/\1/p' "$work/out" | head -n 1)
if [ -n "$l1" ] && [ -n "$s1" ] && [ "$l1" -gt 0 ] && [ "$l1" -lt "$s1" ]; then ok; else bad "laptop $l1 of $s1"; fi
has 'the line is seen to be cut' '^ +S1 +0$'
has 'an edit of the office reached the laptop' '行业 +医疗 +医疗 +医疗'
has 'an edit of the laptop reached the stations' '备注 +.*周末联系 +.*周末联系 +.*周末联系'
for value in 医生 护士 大学教师; do has 'the conflict shows every value' "^ +职业 +$value +"; done
has 'the decision is everywhere' '^ +S1 +大学教师 +0$'
has 'the decision is everywhere' '^ +S2 +大学教师 +0$'
has 'the decision is everywhere' '^ +L1 +大学教师 +0$'
has 'mobile clear and masked' '^ +手机 +1[0-9]{10} +1[0-9]{2}\*{4}[0-9]{4}$'
has 'name clear and masked' '^ +姓名 +[^* ]+ +.\*+$'
has 'a read without a purpose is refused' '没有说明目的: .*--purpose'
has 'the search of the auditor is refused' '按手机号搜索: '
has 'the audit names who read' '^ +[0-9:]{5} +李审计 +PA +查看 +P9 +成功'
digests=$(grep -oE '[0-9a-f]{64}' "$work/out")
if [ "$(wc -l <<<"$digests")" = 2 ] && [ "$(sort -u <<<"$digests" | wc -l)" = 1 ]; then ok; else bad "digests: $digests"; fi
hasnt 'no raw JSON' '[{}]|"[a-z_]+":'
if [ -z "$(ls -A "$work/tmp")" ]; then ok; else bad "left behind: $(ls "$work/tmp")"; fi
hasnt 'no error is shown' '失败'
if [ -s "$work/err" ]; then bad "talk on standard error: $(head -n 3 "$work/err")"; else ok; fi

# Once with secrets at their real cost is enough.
if ! nm -D "$JIPAN_BUILD/jipan" | grep -q __asan_init; then export LD_PRELOAD=$JIPAN_BUILD/liblight_secrets.so; fi
if run en_US.UTF-8; then ok; else bad "English: exit $?: $(tail -n 5 "$work/err")"; fi
has 'English headings' '^1\. Three nodes'
hasnt 'no Chinese headings' '^[0-9]+\. .*[点线]'

# A failure is told, with the reason and where the logs are.
if JIPAN_BUILD=$work/none run en_US.UTF-8; then bad 'no programs, and no failure'; else ok; fi
if grep -q 'run scripts/build' "$work/err" && grep -q 'logs:' "$work/err"; then ok; else bad "reason not told"; fi
if [ -z "$(ls -A "$work/tmp")" ]; then ok; else bad "left behind after a failure: $(ls "$work/tmp")"; fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
