#!/bin/sh
# chapter.sh N: prints whalebox.c as of chapter N, with nothing in it of what
# comes later: the text that a reader of chapter N has to know.

set -eu
cd "$(dirname "$0")/.."

die() {
	echo "chapter.sh: $1" >&2
	[ $# -lt 2 ] || echo "  hint: $2" >&2
	exit 1
}

chapter=${1:-}
last=$(tests/switches.sh | tail -n 1)
seq 0 "${last% *}" | grep -Fxq -e "$chapter" ||
	die "there is no chapter \"$chapter\"" "chapters are 0 to ${last% *}"
command -v unifdef >/dev/null || die "unifdef is missing" "./install.sh test"

# unifdef keeps, of each #if with a switch in it, what that switch selects, and
# drops the #if.  Other conditions stay.  -x2: to have changed a text is no error.
flags=-DSTAGE=$chapter
while read -r number switch; do
	on=0
	[ "$number" -gt "$chapter" ] || on=1
	flags="$flags -DWITH_$switch=$on"
done <<END
$(tests/switches.sh)
END
# Some go with several chapters.
from() {
	[ "$chapter" -lt "$1" ] && echo 0 || echo 1
}
flags="$flags -DWITH_NAME=$(from 1) -DWITH_NAMESPACES=$(from 1)"
flags="$flags -DWITH_GATE=$(from 5) -DWITH_TOOLS=$(from 5)"
flags="$flags -DWITH_AFTER=$(from 7) -DWITH_COMMANDS=$(from 13)"
# The doctor speaks of all chapters, and so do the names of what a build leaves
# out, and of what other tools have.
whole=0
[ "$chapter" -lt "${last% *}" ] || whole=1
flags="$flags -DWITH_DOCTOR=$whole -DWITH_LEFT_OUT=$whole -DWITH_FOREIGN=$whole"

# cat -s: where something went, the empty lines around it become one.
# shellcheck disable=SC2086 # a list of flags
unifdef -x2 $flags whalebox.c | cat -s
