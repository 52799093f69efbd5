#!/bin/bash
# The catalogue must not compile when a field line lacks a column, says something senseless or reuses a number.
# Usage: CC=gcc bash tests/e2e/catalogue_compile.sh      Exit 0 and a last line "N passed, 0 failed" when all holds.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cc=${CC:-gcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# compile: does the catalogue in the copy compile?
compile() { "$cc" -std=c17 -D_GNU_SOURCE -fsyntax-only -I"$work" "$work/schema/catalogue.c" >"$work/out" 2>&1; }
fresh() { rm -rf "$work/schema" && cp -r "$root/schema" "$work/schema"; }
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*" >&2; }

# refused WHAT FILE SED: with that edit the copy must not compile, and the edit must have changed something.
refused() {
    fresh
    sed -i "$3" "$work/schema/catalogue/$2"
    if cmp -s "$work/schema/catalogue/$2" "$root/schema/catalogue/$2"; then
        bad "$1: the edit changed nothing"
    elif compile; then
        bad "$1: compiled"
    else
        ok
    fi
}

fresh
if compile; then ok; else bad "the untouched catalogue does not compile: $(head -3 "$work/out")"; fi

# One line, one column less: every column in turn, cut out and left empty. The line has no comma inside a text.
line=$(grep '^FIELD(CUSTOMER_OCCUPATION,' "$root/schema/catalogue/customer.def")
columns=$(awk -F', ' '{ print NF }' <<<"$line")
[ "$columns" = 17 ] || bad "expected 17 columns, found $columns"
for ((c = 1; c <= columns; c++)); do
    for how in cut empty; do
        fresh
        new=$(awk -F', ' -v c="$c" -v how="$how" '{
            sub(/^FIELD\(/, ""); sub(/\)$/, "")
            out = ""
            n = 0
            for (i = 1; i <= NF; i++) {
                if (i == c && how == "cut") continue
                out = out (n++ ? ", " : "") (i == c ? "" : $i)
            }
            print "FIELD(" out ")"
        }' <<<"$line")
        awk -v new="$new" '/^FIELD\(CUSTOMER_OCCUPATION,/ { print new; next } { print }' \
            "$root/schema/catalogue/customer.def" >"$work/schema/catalogue/customer.def"
        if compile; then bad "column $c ($how) is not missed: $new"; else ok; fi
    done
done

refused 'a number twice' customer.def 's/CUSTOMER_INDUSTRY, 6,/CUSTOMER_INDUSTRY, 5,/'
refused 'number 0' customer.def 's/CUSTOMER_INDUSTRY, 6,/CUSTOMER_INDUSTRY, 0,/'
refused 'number 1001' customer.def 's/CUSTOMER_INDUSTRY, 6,/CUSTOMER_INDUSTRY, 1001,/'
refused 'a stored field without retention' customer.def '/CUSTOMER_INDUSTRY/s/, REL,/, NONE,/'
refused 'a derived field with retention' customer.def '/CUSTOMER_AGE_BAND/s/, NONE, 0, NONE/, REL, 0, NONE/'
refused 'personal data without a mask' customer.def '/CUSTOMER_INDUSTRY/s/, HIDE,/, NONE,/'
refused 'a class that does not exist' customer.def '/CUSTOMER_INDUSTRY/s/BEHAVIOURAL/SECRET/'
refused 'a code without a list' customer.def '/CUSTOMER_SEX/s/LIST(sex)/NO_LIST/'
refused 'a list that does not exist' customer.def '/CUSTOMER_SEX/s/LIST(sex)/LIST(gender)/'
refused 'a reference to nothing' contact_point.def '/CONTACT_POINT_CUSTOMER/s/, CUSTOMER, NULL/, NONE, NULL/'
refused 'a set rule on a text' customer.def '/CUSTOMER_INDUSTRY/s/, LWW,/, SET,/'
refused 'a required derived field' customer.def '/CUSTOMER_AGE_BAND/s/, 0, NONE, NULL/, FIELD_REQUIRED, NONE, NULL/'
refused 'an empty label' customer.def '/CUSTOMER_INDUSTRY/s/"行业"/""/'
refused 'an entity without a file' all.def '/consent.def/d'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
