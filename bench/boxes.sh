#!/bin/sh
# boxes.sh [BOXES]: what boxes in the background cost, 1,000 of them unless told:
# the memory of one that idles, the time to list, start and visit them, and
# whether anything fails or is left behind. Prints a Markdown table. Needs root,
# and a machine with nothing else to do.
#
# A command that fails ends the measurement, but for those that are counted.

set -eu
umask 022

. "$(dirname "$0")/apart.sh"

boxes=${1:-1000}
case $boxes in
*[!0-9]* | 0* | ?) die "$boxes: not a number of boxes from 10" ;;
esac

w=$project/whalebox
mount --make-rshared /

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

# ---- Many boxes -------------------------------------------------------------

# with_all COMMAND...: with the names of all boxes, in two processes.
with_all() {
	"$w" ps -aq | xargs -n 50 -P 2 "$w" "$@" >"$tmp/acted" 2>>"$tmp/errors" ||
		echo "$* failed" >>"$tmp/errors"
}

measure_many() {
	: >"$tmp/errors"
	"$built/timer" "time" "$boxes" "$w" -d /bin/sleep "$mark" 2>"$tmp/names" \
	    >"$tmp/starts"
	row "boxes alive at once" "$("$w" ps -q | wc -l)" "$boxes"
	first=$(head -n 20 "$tmp/starts" | quickest)
	last=$(tail -n 20 "$tmp/starts" | quickest)
	row "\`-d\`, the quickest of the last 20, beside that of the first 20" \
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
	"$built/timer" "time" 20 "$w" -d --rm /bin/true 2>/dev/null >"$tmp/start"
	last=$(quickest <"$tmp/start")
	row "\`-d\` with $boxes stopped, beside that of the first 20" \
	    "$last ms, $first ms: $(ratio "$last" "$first")" "≤ 1.5"
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
measure_cycles
measure_many
[ ! -s "$tmp/errors" ] || head -n 20 "$tmp/errors" >&2
