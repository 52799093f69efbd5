#!/bin/bash
# What leaves a node as a file: an exported spreadsheet opens safely and holds what its reader may carry away, no more,
# all of it, in one piece or not at all; a dump is the same text on every node for the same right.
source "$(dirname "$0")/common.bash"
export LANG=zh_CN.UTF-8 LC_ALL=
found_group
for u in sun hui nobody; do secret "$u" "$u secret 1"; done
rc 0 at s1 boss user add hui --role SC,CS --station S1 --new-password-file "$D/hui"
start s1 boss "$PORT"
rc 0 at s2 boss join "$(at s1 boss invite --kind station --station S2 --scope group)"
rc 0 at s1 boss user add sun --role SC --station S2 --new-password-file "$D/sun"
start s2 boss $((PORT + 1))
rc 0 at s2 boss sync --once

# More customers than three pages hold, one whose words would run as formulas, one of another station.
many=650
LC_ALL=C perl -CS -e 'my @d = split //, "\x{4E00}\x{4E8C}\x{4E09}\x{56DB}\x{4E94}\x{516D}\x{4E03}\x{516B}\x{4E5D}\x{5341}";
    print "full_name\r\n"; for my $i (1 .. shift) { print "\x{738B}", (map { $d[$_] } split //, sprintf "%03d", $i), "\r\n" }' \
    "$many" > "$D/many.csv"
rc 0 at s1 wang import "$D/many.csv" --entity customer
odd=$(at s1 wang new customer full_name=诸葛孔明 birth_date=1977-07-08 remark='=1+1' industry='+cmd|calc' occupation='A,"B"' --json | jq -r .id)
rc 0 at s1 wang new contact_point customer="$odd" value=13977766655
rc 0 at s1 wang new identity_document customer="$odd" doc_no=440106199003078513
other=$(at s2 sun new customer full_name=司马仲达 --json | jq -r .id)
for _ in 1 2; do rc 0 at s2 boss sync --once; rc 0 at s1 boss sync --once; done
is 'both stations hold the same' "$(at s1 boss statehash)" "$(at s2 boss statehash)"
total=$((many + 1))

# Cells of a file, unguarded, one JSON array a row.
cells() {
    LC_ALL=C perl -MJSON::PP -e 'local $/; open my $f, "<:encoding(UTF-8)", $ARGV[0] or die; my $t = <$f>; $t =~ s/^\x{FEFF}// or die;
        my $row = []; while ($t =~ /\G(?:"((?:[^"]|"")*)"|([^,\r\n"]*))(,|\r\n)/g) {
            my ($quoted, $plain, $end) = ($1, $2, $3); push @$row, defined $quoted ? $quoted =~ s/""/"/gr : $plain;
            if ($end ne ",") { print encode_json($row), "\n"; $row = [] } }' "$1"
}
column() { cells "$1" | jq -rn --arg name "$2" 'input as $head | ($head | index($name)) as $i | inputs | .[$i]'; }

# A manager's file: every customer of the station once, no other one, safe to open.
csv=$D/out.csv
rc 0 at s1 zhao export customer --purpose P1 --output "$csv"
is 'byte order mark' "$(head -c 3 "$csv" | od -An -tx1 | tr -d ' ')" efbbbf
is 'valid UTF-8' "$(iconv -f UTF-8 -t UTF-8 "$csv" > /dev/null && echo yes)" yes
is 'every line ends in CR LF' "$(grep -c $'\r$' "$csv")" "$(wc -l < "$csv")"
is 'all rows and a header' "$(cells "$csv" | wc -l)" $((total + 1))
is 'every row has all columns' "$(cells "$csv" | jq length | sort -u | wc -l)" 1
is 'each once' "$(column "$csv" id | sort -u | wc -l)" "$total"
is 'the count told' "$(at s1 zhao export customer --purpose P1 --output "$csv" --json | jq .exported)" "$total"
is 'the last of many is there' "$(column "$csv" full_name | grep -c 王七六一)" 1
is 'names in clear' "$(column "$csv" full_name | grep -c 诸葛孔明)" 1
hasnt 'rows of another station' "$(cat "$csv")" "$other"
hasnt 'names of another station' "$(cat "$csv")" 司马仲达
is 'cells that would run' "$(cells "$csv" | jq -c '.[]' | grep -cE '^"[=+@-]')" 0
has 'the guarded remark' "$(column "$csv" remark)" "'=1+1"
has 'the guarded industry' "$(column "$csv" industry)" "'+cmd|calc"
has 'quotes and commas' "$(column "$csv" occupation)" 'A,"B"'
is 'the file is private' "$(stat -c %a "$csv")" 600

# The same over no daemon at all is the same file.
stop s1
rc 0 at s1 zhao export customer --purpose P1 --output "$D/again.csv"
is 'a node that does not run gives the same' "$(cmp "$csv" "$D/again.csv" && echo same)" same
start s1 boss "$PORT"

# The auditor carries away masks, of every station.
rc 0 at s1 li export customer --purpose P9 --output "$D/li.csv"
has 'masked' "$(column "$D/li.csv" full_name)" '诸葛**'
has 'other stations too' "$(column "$D/li.csv" id)" "$other"
hasnt 'nothing in clear' "$(cat "$D/li.csv")" 孔明
hasnt 'no remark' "$(cat "$D/li.csv")" '1+1'
rc 0 at s1 li export contact_point --purpose P9 --output "$D/li2.csv"
has 'masked number' "$(column "$D/li2.csv" value_norm)" '139****6655'
hasnt 'no number' "$(cat "$D/li2.csv")" 13977766655

# Two roles: what one of them reads in clear, the other may carry away masked only.
own=$(at s1 hui new customer full_name=关云长 --json | jq -r .id)
is 'read in clear' "$(at s1 hui get "$own" --purpose P6 --json | jq -r .fields.full_name.value)" 关云长
rc 0 at s1 hui export customer --purpose P6 --output "$D/hui.csv"
has 'the row is there' "$(column "$D/hui.csv" id)" "$own"
hasnt 'but masked' "$(cat "$D/hui.csv")" 关云长

# Who may not export gets no byte and leaves no file; what stood there stays.
rc 1 at s1 wang export customer --purpose P1 --output "$D/wang.csv"
is 'no file' "$(find "$D" -name 'wang.csv*' | wc -l)" 0
cp "$csv" "$D/kept.csv"
rc 1 at s1 wang export customer --purpose P1 --output "$D/kept.csv"
is 'the old file stands' "$(cmp "$csv" "$D/kept.csv" && echo same)" same
rc 1 at s1 wang export customer --purpose P1
is 'nothing on stdout' "$(stat -c %s "$D/out")" 0
rc 1 at s1 zhao export customer --output "$D/none.csv"
has 'names the purpose' "$(cat "$D/err")" --purpose
rc 2 at s1 zhao export custmer --purpose P1 --output "$D/none.csv"
rc 1 at s1 boss export customer --purpose P11 --output "$D/none.csv"
rc 7 at s1 nobody export customer --purpose P1 --output "$D/none.csv"
is 'no file of any of them' "$(find "$D" -name 'none.csv*' | wc -l)" 0

# A second run replaces the file at once: who holds the old one open reads the old one to its end.
rc 0 at s1 zhao export customer --purpose P1 --output "$csv"
old=$(md5sum < "$csv")
exec 5< "$csv"
rc 0 at s1 wang new customer full_name=赵子龙
rc 0 at s1 zhao export customer --purpose P1 --output "$csv"
is 'the old file is whole' "$(md5sum <&5)" "$old"
exec 5<&-
has 'the new file is new' "$(column "$csv" full_name)" 赵子龙
is 'nothing beside it' "$(find "$D" -name '*.part' | wc -l)" 0

# What cannot be written says so, leaves nothing, and leaves what was there.
rc 4 at s1 zhao export customer --purpose P1 --output "$D/no/such/dir.csv"
mkdir "$D/dir.csv"
rc 4 at s1 zhao export customer --purpose P1 --output "$D/dir.csv"
small() { (trap '' XFSZ; ulimit -f 16; "$@"); }
rc 4 small at s1 zhao export customer --purpose P1 --output "$csv"
has 'says which file' "$(cat "$D/err")" out.csv
has 'the old file stands' "$(column "$csv" full_name)" 赵子龙
is 'no half file' "$(find "$D" -name '*.part' | wc -l)" 0
: > "$csv.part"
rc 4 at s1 zhao export customer --purpose P1 --output "$csv"
has 'says what is in the way' "$(cat "$D/err")" out.csv.part
rm "$csv.part"

# A dump: the same each time and on each node, in the order of ids, nothing masked.
rc 0 at s2 boss sync --once
dump() { at "$1" zhao dump --canonical --purpose P1; }
dump s1 > "$D/dump1"
dump s1 > "$D/dump2"
dump s2 > "$D/dump3"
is 'a dump is stable' "$(cmp "$D/dump1" "$D/dump2" && echo same)" same
is 'the same on the other node' "$(cmp "$D/dump1" "$D/dump3" && echo same)" same
is 'every customer' "$(jq -r 'select(.[1] == "full_name") | .[0]' "$D/dump1" | sort -u | wc -l)" $((total + 2))
jq -r '.[0] | split("/")[1][:20]' "$D/dump1" > "$D/order"
is 'in the order of dossiers' "$(LC_ALL=C sort -c "$D/order" && echo yes)" yes
is 'no line twice' "$(sort "$D/dump1" | uniq -d | wc -l)" 0
is 'three words a line' "$(jq -c length "$D/dump1" | sort -u)" 3
has 'clear values' "$(cat "$D/dump1")" 13977766655
is 'no mask' "$(grep -cF '**' "$D/dump1")" 0
is 'nothing that is shown masked' "$(grep -c 'birth_date\|07-08' "$D/dump1")" 0
has 'but get shows it' "$(at s1 zhao get "$odd" --purpose P1)" 07-08
hasnt 'no document number' "$(cat "$D/dump1")" 440106199003078513
hasnt 'no other station' "$(cat "$D/dump1")" "$other"
hasnt 'nothing derived' "$(cat "$D/dump1")" completeness
rc 1 at s1 zhao dump --canonical
has 'a dump needs a purpose' "$(cat "$D/err")" --purpose
rc 1 at s1 wang dump --canonical --purpose P1
is 'a refused dump is empty' "$(stat -c %s "$D/out")" 0
rc 4 small at s1 zhao dump --canonical --purpose P1
finish
