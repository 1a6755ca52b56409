#!/bin/sh
# words.sh N: what is chapter N's own, a line each: its switch, its options, and
# its functions, as "name(".  The text of no earlier chapter has any of them.
set -eu
cd "$(dirname "$0")/.."

tests/switches.sh | sed -n "s/^$1 /WITH_/p"
./whalebox --help | awk -v chapter="$1" '
	/^Chapter/ { inside = $2 + 0 == chapter; next }
	inside && match($0, /--[a-z-]+/) { print substr($0, RSTART, RLENGTH) }
'
# What stands below a banner of its own within a section serves others, too.
awk -v chapter="$1" '
	/^\/\* === / { inside = $3 == "Chapter" && $4 + 0 == chapter }
	/^\/\* --- (Tools of|The gate|A box)/ { inside = 0 }
	inside && /^(static|TOOL|PRINTF).*\(/ && !/;$/ {
		sub(/^PRINTF\([0-9]\) /, "")
		sub(/\(.*/, "(")
		sub(/.*[ *]/, "")
		print
	}
' whalebox.c
