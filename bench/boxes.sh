#!/bin/sh
# boxes.sh: what many boxes cost: the memory of one that idles, the time to list,
# start, visit, stop and remove them, how starts go at once and among many that
# live, and whether anything fails or is left behind. Prints a Markdown table.
# Needs root, and a machine with nothing else to do.
#
# A command that fails ends the measurement, but for those that are counted.

set -eu
umask 022

case ${1-} in
-h | --help)
	cat <<'END'
usage: bench/boxes.sh [BOXES]

Measures what BOXES (1,000, unless told; 10 at least) boxes in the background cost,
and prints a Markdown table. Needs root, and a machine with nothing else to do;
`make` first. With bwrap installed, starts at once are compared with its.
END
	exit
	;;
esac

. "$(dirname "$0")/apart.sh"

boxes=${1:-1000}
case $boxes in
*[!0-9]* | 0* | ?) die "$boxes: not a number of boxes from 10" ;;
esac

w=$project/whalebox
mount --make-rshared /

mount -t tmpfs tmpfs "$tmp"      # as fast on one machine as on another
chmod 711 "$tmp"        # root of a user namespace has to walk through
export WHALEBOX_HOME="$tmp/home" WHALEBOX_ROOTFS="$tmp/rootfs"
"$project/busybox-rootfs.sh" "$WHALEBOX_ROOTFS"
name=bench$$
mark=1$$                # seconds to sleep, a number that nobody else has

# However this ends, no box stays.
end_all() {
	"$w" ps -aq | xargs -r -n 100 "$w" rm -f >/dev/null || true
}
trap end_all EXIT
trap 'exit 1' HUP INT TERM

# In the VM there is no compiler: VM_FILES=build/bench/timer takes it there.
compile timer

# ---- Figures ----------------------------------------------------------------

# row WHAT MEASURED GOAL
row() {
	echo "| $1 | $2 | $3 |"
}

# median: of the numbers on standard input, in milliseconds of microseconds.
median() {
	sort -n | awk '{ t[NR] = $1 }
		END { printf "%.2f\n", t[int((NR + 1) / 2)] / 1000 }'
}

# quickest: the least of them, which other work disturbed least.
quickest() {
	sort -n | awk 'NR == 1 { printf "%.2f\n", $1 / 1000 }'
}

mean() {
	awk '{ sum += $1 } END { printf "%.2f\n", sum / NR / 1000 }'
}

ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'
}

# What is there of boxes: processes, mounts, cgroups, folders.
things() {
	echo "$(pgrep -fc "$name|sleep $mark" || true)" \
	    "$(wc -l </proc/self/mountinfo)" \
	    "$(find /sys/fs/cgroup -type d -path '*/whalebox/*' | wc -l)" \
	    "$(find "$WHALEBOX_HOME/containers" | wc -l)"
}

# Since $before: what there is more of now, once the dying are gone.
left_over() {
	for try in 1 2 3 4 5 6 7 8 9 10; do
		now=$(things)
		[ "$now" != "$before" ] || break
		sleep 0.5
	done
	echo "$before $now" | awk '{ print $5 - $1 " processes, " $6 - $2 \
	    " mounts, " $7 - $3 " cgroups, " $8 - $4 " folders" }'
}

# pss PID: in KiB. Its own memory, and its part of what it shares.
pss() {
	awk '/^Pss:/ { print $2 }' "/proc/$1/smaps_rollup"
}

# ---- One box ----------------------------------------------------------------

measure_one() {
	"$w" -d --name "$name" /bin/sleep "$mark" >/dev/null
	sleep 0.5
	row "memory (Pss) of the supervisor of the only box" \
	    "$(pss "$("$w" inspect "$name" supervisor_pid)") KiB" "≤ 300 KiB"
	# By turns, so that what disturbs the machine disturbs both.
	for round in 1 2 3 4 5 6 7 8 9 10; do
		"$built/timer" "time" 10 "$w" /bin/true >>"$tmp/run"
		"$built/timer" "time" 10 "$w" exec "$name" /bin/true >>"$tmp/exec"
	done
	run=$(median <"$tmp/run")
	visit=$(median <"$tmp/exec")
	row "\`exec\` of /bin/true, beside a run of it" \
	    "$visit ms, $run ms: $(ratio "$visit" "$run")" ""
	"$w" rm -f "$name" >/dev/null
}

# in_time ARGUMENT...: whalebox; a command that hangs is an error.
in_time() {
	timeout -s KILL 30 "$w" "$@"
}

# --init, so that sleep ends at once when it is told to.
measure_cycles() {
	errors=0
	begun=$(date +%s)
	for cycle in $(seq "$boxes"); do
		{ in_time -d --name "$name" --init /bin/sleep "$mark" &&
			in_time stop "$name" && in_time start "$name" &&
			in_time stop "$name" && in_time rm "$name"; } \
			>/dev/null 2>>"$tmp/errors" || {
			errors=$((errors + 1))
			in_time rm -f "$name" >/dev/null 2>&1 || true
		}
	done
	took=$(($(date +%s) - begun))
	row "$boxes cycles of \`-d\`, \`stop\`, \`start\`, \`stop\`, \`rm\`" \
	    "$errors errors, $took s" "0 errors"
	row "left behind by them" "$(left_over)" "nothing"
}

# started: a box that sleeps, to be stopped or removed.
started() {
	"$w" -d --name "$name" --init /bin/sleep "$mark" >/dev/null
}

measure_commands() {
	for round in $(seq 20); do
		started
		"$built/timer" "time" 1 "$w" stop "$name" >>"$tmp/stop" 2>/dev/null
		"$built/timer" "time" 1 "$w" start "$name" >>"$tmp/start" 2>/dev/null
		"$w" stop "$name" >/dev/null
		"$built/timer" "time" 1 "$w" rm "$name" >>"$tmp/rm" 2>/dev/null
	done
	row "\`stop\` (of an \`--init\`), \`start\`, \`rm\`" \
	    "$(median <"$tmp/stop"), $(median <"$tmp/start"), $(median <"$tmp/rm") ms" ""
}

# rate N COMMAND...: starts a second, N at a time, 20 times each.
rate() {
	many=$1
	shift
	# shellcheck disable=SC2016 # for the other shell
	"$built/timer" "time" 1 /bin/sh -c 'n=$0
		while [ "$n" -gt 0 ]; do "$@" >/dev/null & n=$((n - 1)); done; wait' \
	    "$many" "$built/timer" "time" 20 "$@" |
		awk -v runs=$((many * 20)) '{ printf "%.0f\n", runs / $1 * 1000000 }'
}

middle() {
	sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
}

# By turns, five times; the median of the rates.
measure_at_once() {
	rival=$(command -v bwrap || true)
	for many in 1 2 4 8; do
		for round in 1 2 3 4 5; do
			rate "$many" "$w" /bin/true >>"$tmp/ours.$many"
			[ -z "$rival" ] || rate "$many" "$rival" --unshare-all \
			    --die-with-parent --bind "$WHALEBOX_ROOTFS" / --proc /proc \
			    --dev /dev /bin/true >>"$tmp/theirs.$many"
		done
		ours=$(middle <"$tmp/ours.$many") told='' goal=''
		if [ -n "$rival" ]; then
			theirs=$(middle <"$tmp/theirs.$many")
			told="; bwrap $theirs: $(ratio "$ours" "$theirs")"
			[ "$many" != 4 ] || goal="≥ 0.95"
		fi
		row "starts a second, $many at once" "$ours$told" "$goal"
	done
}

# ---- Many boxes -------------------------------------------------------------

# with_all COMMAND...: with the names of all boxes, in two processes.
with_all() {
	"$w" ps -aq | xargs -n 50 -P 2 "$w" "$@" >"$tmp/acted" 2>>"$tmp/errors" ||
		echo "$* failed" >>"$tmp/errors"
}

# more COUNT: so many more boxes that sleep; the time of each start in the file
# starts, its name in names.
more() {
	[ "$1" -eq 0 ] || "$built/timer" "time" "$1" "$w" -d /bin/sleep "$mark" \
	    2>>"$tmp/names" >>"$tmp/starts"
}

# The mean time of a start, with as many alive as there are.
among() {
	"$built/timer" "time" 50 "$w" /bin/true | mean
}

measure_many() {
	few=$((boxes < 200 ? boxes / 2 : 100))
	some=$((boxes < 40 ? boxes / 2 : 20))       # what is compared does not overlap
	: >"$tmp/errors"
	none=$(among)
	more "$few"
	few_alive=$(among)
	more $((boxes - few))
	all_alive=$(among)
	row "boxes alive at once" "$("$w" ps -q | wc -l)" "$boxes"
	row "a start of /bin/true, the mean of 50, with none alive" "$none ms" ""
	row "with $few alive" "$few_alive ms: $(ratio "$few_alive" "$none")" ""
	row "with $boxes alive" "$all_alive ms: $(ratio "$all_alive" "$none")" "≤ 1.5"
	first=$(head -n "$some" "$tmp/starts" | quickest)
	last=$(tail -n "$some" "$tmp/starts" | quickest)
	row "\`-d\`, the quickest of the last $some, beside that of the first $some" \
	    "$last ms, $first ms: $(ratio "$last" "$first")" "≤ 1.5"
	row "memory (Pss) of one of $boxes supervisors" \
	    "$(pss "$("$w" inspect "$(head -n 1 "$tmp/names")" supervisor_pid)") KiB" \
	    "≤ 300 KiB"
	row "CPU time of \`ps\`, $boxes alive" \
	    "$("$built/timer" cpu 11 "$w" ps 2>/dev/null | median) ms" "≤ 50 ms"
	with_all stop -t 0
	row "boxes stopped" \
	    "$("$w" ps -a | awk '$3 == "exited"' | wc -l)" "$boxes"
	row "CPU time of \`ps -a\`, $boxes stopped" \
	    "$("$built/timer" cpu 11 "$w" ps -a 2>/dev/null | median) ms" "≤ 50 ms"
	"$built/timer" "time" "$some" "$w" -d --rm /bin/true 2>/dev/null \
	    >"$tmp/with-stopped"
	last=$(quickest <"$tmp/with-stopped")
	row "\`-d\` with $boxes stopped, beside that of the first $some" \
	    "$last ms, $first ms: $(ratio "$last" "$first")" "≤ 1.5"
	for try in 1 2 3 4 5 6 7 8 9 10; do     # until the last of these is gone
		[ "$("$w" ps -aq | wc -l)" -gt "$boxes" ] || break
		sleep 0.2
	done
	with_all rm
	row "errors of all these" "$(wc -l <"$tmp/errors")" "0"
	row "left behind by them" "$(left_over)" "nothing"
}

"$w" /bin/true          # so that the folders of all boxes are there
before=$(things)
echo "## Boxes in the background"
echo
echo "$("$w" --version), $(uname -srm), $(nproc) CPUs."
echo
echo "| | measured | goal |"
echo "|---|---|---|"
measure_one
measure_commands
measure_at_once
measure_cycles
measure_many
[ ! -s "$tmp/errors" ] || head -n 20 "$tmp/errors" >&2
