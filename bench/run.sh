#!/bin/sh
# run.sh: measures whalebox beside other runtimes: how long it takes to run
# /bin/true in a box, where that time goes, and what is left behind, by killed runs
# above all. Prints Markdown, and draws two plots. Needs root, and a machine with
# nothing else to do.
#
# A run that fails ends the measurement: a failure is no timing.

set -eu
umask 022
left_runs=200           # for the leftovers: runs that end, then runs killed
within=10000            # microseconds; a kill comes at random before that

case ${1-} in
-h | --help)
	cat <<'END'
usage: bench/run.sh [ROUNDS]

Measures whalebox beside other runtimes, and prints Markdown. In each round (200,
unless told) every contender runs /bin/true in a box once, in random order. Draws
build/bench/contenders.svg and build/bench/budget.svg. Needs root, and a machine
with nothing else to do; `make bench` builds what it needs.

  TMPDIR=DIR             the folder on the disk that is measured
  WHALEBOX_MUST_WORK=1   a contender that cannot run here is an error
END
	exit
	;;
esac

. "$(dirname "$0")/apart.sh"

rounds=${1:-200}
case $rounds in
*[!0-9]* | 0*) die "$rounds: not a number of rounds" ;;
esac

# Mounts are shared, as they are under systemd: where nothing is shared,
# nothing leaks. And cgroup v2 stands where today's machines have it: some
# runtimes refuse a mix of v1 and v2.
mount --make-rshared /
layout="as the machine has it"
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
	umount --recursive /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	layout="v2 alone, in place of this machine's mix of v1 and v2"
fi

chmod 711 "$tmp"        # root of a user namespace has to walk through
: >"$tmp/nothing"

# Some contenders give /dev/null to the box's root: theirs is not the machine's.
mknod -m 666 "$tmp/null" c 1 3
mount --bind "$tmp/null" /dev/null

# settle FOLDER: from now on all files of all contenders are in it.
settle() {
	place=$1
	mkdir "$place"
	export WHALEBOX_HOME="$place/home" WHALEBOX_ROOTFS="$place/rootfs"
	rootfs=$WHALEBOX_ROOTFS
	"$project/busybox-rootfs.sh" "$rootfs"
}

# ---- The contenders ---------------------------------------------------------

last=$("$project/tests/switches.sh" | tail -n 1 | cut -d' ' -f1)
stages=$(seq -f whalebox-%.0f 0 "$last")

# The default bundle of an OCI runtime, with what the other boxes have too: a
# user namespace, a writable root, no terminal, no filter on devices (in a user
# namespace there is none to make).
make_bundle() {
	ids='[{"containerID": 0, "hostID": 100000, "size": 65536}]'
	users="\"uidMappings\": $ids, \"gidMappings\": $ids"
	mkdir "$place/$1"
	(
		cd "$place/$1"
		"$1" spec
		sed -e '/"resources": {/,/^[[:space:]]*},$/d' \
		    -e 's|"terminal": true|"terminal": false|' \
		    -e 's|"readonly": true|"readonly": false|' \
		    -e 's|"sh"|"/bin/true"|' \
		    -e "s|\"path\": \"rootfs\"|\"path\": \"$rootfs\"|" \
		    -e "s|\"namespaces\": \[|$users, &{\"type\": \"user\"},|" \
		    config.json >adapted.json
		mv adapted.json config.json
	)
}

# launch WHO PREFIX...: runs PREFIX with, after it, WHO's command line for a box
# that runs $inside.
inside=/bin/true
launch() {
	who=$1
	command=$inside
	shift
	case $who in
	minimal | minimal-10)
		set -- "$@" "$built/$who" "$rootfs" "$place/scratch"
		;;
	whalebox)
		set -- "$@" "$project/whalebox"
		;;
	whalebox-*)
		set -- "$@" "$project/build/$who"
		# Before chapter 8 a box is on the host's files.
		[ "${who#*-}" -ge 8 ] || command=$rootfs$inside
		;;
	bwrap)
		set -- "$@" "$(command -v bwrap)" --unshare-all --die-with-parent \
		    --bind "$rootfs" / --proc /proc --dev /dev
		;;
	unshare)
		set -- "$@" "$(command -v unshare)" --map-root-user --mount --uts --ipc \
		    --net --pid --cgroup --fork --kill-child --root "$rootfs" \
		    --mount-proc=/proc
		;;
	crun | runc)
		set -- "$@" "$(command -v "$who")" --root "$place/$who.state" \
		    run --bundle "$place/$who" "bench-$$"
		command=        # the bundle says it
		;;
	systemd-nspawn)
		set -- "$@" "$(command -v systemd-nspawn)" --quiet --register=no \
		    --private-users=100000:65536 --private-network --ephemeral \
		    --directory="$rootfs"
		;;
	podman)
		set -- "$@" "$(command -v podman)" run --rm --network=none \
		    --rootfs "$rootfs:O"
		;;
	esac
	# shellcheck disable=SC2086 # a command and its arguments, or nothing
	timeout 600 "$@" $command </dev/null
}

version_of() {
	case $1 in
	minimal) echo "the bare system calls of chapters 0 to 9" ;;
	minimal-10) echo "with chapter 10: the floor" ;;
	whalebox) "$project/whalebox" --version ;;
	whalebox-9) echo "chapters 0 to 9 alone" ;;
	*) "$1" --version | head -n 1 ;;
	esac
}

# try WHO: one run that is not timed. Sets $why if it fails.
try() {
	case $1 in
	minimal* | whalebox*) ;;
	*)
		why="not installed"
		command -v "$1" >/dev/null || return 1
		;;
	esac
	case $1 in
	crun | runc) make_bundle "$1" ;;
	esac
	launch "$1" <"$tmp/nothing" >"$tmp/said" 2>"$tmp/why" || {
		why=$(tail -n 2 "$tmp/why" | tr '\n|' '  ')
		return 1
	}
}

# find_contenders WHO...: those who can run here, in $contenders; rows of the table
# for the others in the file absent.
find_contenders() {
	contenders=
	for who; do
		if try "$who"; then
			contenders="$contenders $who"
			continue
		fi
		case $who in
		minimal* | whalebox*) die "$who: $why" ;;
		esac
		[ "${WHALEBOX_MUST_WORK-}" != 1 ] || die "$who: $why"
		echo "| $who | – | – | – | – | – | not measured: $why |" >>"$tmp/absent"
	done
}

# ---- Launching --------------------------------------------------------------

# race ROUNDS WHO...: in the file race, a line a round.  Some contenders make their
# streams files of the box's root: so these are files of ours, and not the device null
# or the caller's.
race() {
	count=$1
	shift
	files=
	for who; do
		launch "$who" printf '%s\n' >"$tmp/command.$who"
		files="$files $tmp/command.$who"
	done
	# shellcheck disable=SC2086 # names without blanks
	timeout 3600 "$built/timer" race "$count" $files \
	    <"$tmp/nothing" >"$tmp/race" 2>"$tmp/why" || die "$(cat "$tmp/why")"
}

# figures BASE WHO...: what the race of these told: see figures.awk.
figures() {
	base=$1
	shift
	awk -v names="$*" -v base="$base" -f "$project/bench/sort.awk" \
	    -f "$project/bench/figures.awk" "$tmp/race"
}

# table BASE WHO...: the rows of these.
table() {
	figures "$@" | while IFS=$(printf '\t') read -r who p10 median p90 more error \
	    ratio ratio_error; do
		echo "| $who | $median | $p10 | $p90 | $more ± $error" \
		    "| $ratio ± $ratio_error | $(version_of "$who") |"
	done
}

# goal WHAT WHO BASE MOST
goal() {
	case " $contenders " in
	*" $2 "*) ;;
	*) return ;;
	esac
	case " $contenders " in
	*" $3 "*) ;;
	*) return ;;
	esac
	# shellcheck disable=SC2086 # names without blanks
	figures "$3" $contenders | awk -F '\t' -v what="$1" -v who="$2" -v most="$4" '
		$1 == who { print "| " what " | " $7 " ± " $8 " | ≤ " most " |" }'
}

# measure_launches TITLE
measure_launches() {
	: >"$tmp/absent"
	find_contenders systemd-nspawn podman
	slow=$contenders
	find_contenders minimal-10 whalebox minimal whalebox-9 bwrap unshare crun runc
	echo "### $1: $(findmnt -no FSTYPE,OPTIONS -T "$place" | tr -s ' ')"
	echo
	echo "| | median, ms | p10 | p90 | more than the floor, ms | of the floor | |"
	echo "|---|--:|--:|--:|--:|--:|---|"
	# shellcheck disable=SC2086 # names without blanks
	{
		race "$rounds" $contenders
		table minimal-10 $contenders
		cp "$tmp/race" "$tmp/fast"
		figures minimal-10 $contenders >"$tmp/drawn"
		if [ -n "$slow" ]; then
			race $(((rounds + 9) / 10)) minimal-10 $slow
			table minimal-10 minimal-10 $slow | tail -n +2
			figures minimal-10 minimal-10 $slow | tail -n +2 >>"$tmp/drawn"
		fi
	}
	cat "$tmp/absent"
	cp "$tmp/fast" "$tmp/race"
	echo
	echo "| medians of the differences within a round | measured | goal |"
	echo "|---|--:|--:|"
	goal "all chapters, of their floor" whalebox minimal-10 1.15
	goal "chapters 0 to 9, of theirs" whalebox-9 minimal 1.10
	goal "all chapters, of bwrap" whalebox bwrap 0.85
}

# What each chapter adds.
measure_stages() {
	echo "| up to chapter | median, ms | more than the one before, ms |"
	echo "|--:|--:|--:|"
	# shellcheck disable=SC2086 # names without blanks
	race "$rounds" $stages
	before=whalebox-0
	for stage in $stages; do
		# shellcheck disable=SC2086 # names without blanks
		figures "$before" $stages | awk -F '\t' -v who="$stage" '
			$1 == who {
				sub(/whalebox-/, "")
				print "| " $1 " | " $3 " | " ($1 > 0 ? $5 " ± " $6 : "") " |"
			}'
		before=$stage
	done
}

# Where the time of a start goes: --explain, with a clock.
measure_budget() {
	sed -n 's|.*/\* \([0-9]*: .*[^ ]\) *\*/$|\1|p; /^#if WITH_ROOT && /q' \
	    "$project/whalebox.c" | sed '1i 0: a plain process' >"$tmp/titles"
	launch whalebox printf '%s\n' >"$tmp/words"
	timeout 600 "$built/timer" steps "$rounds" "$project/whalebox" --explain \
	    "$inside" </dev/null >"$tmp/steps"
	awk -f "$project/bench/sort.awk" -f "$project/bench/budget.awk" \
	    file=1 "$tmp/titles" file=2 "$tmp/steps" >"$tmp/budget"
	echo "| chapter | ms |"
	echo "|---|--:|"
	sed 's/\(.*\)	\(.*\)/| \1 | \2 |/' "$tmp/budget"
}

# draw NAME TITLE: the figures on standard input.
draw() {
	awk -v title="$2" -v unit=ms -f "$project/bench/plot.awk" >"$built/$1.svg"
}

# ---- Leftovers --------------------------------------------------------------

count_mounts() {
	wc -l </proc/self/mountinfo
}

count_cgroups() {
	find /sys/fs/cgroup -type d | wc -l
}

count_folders() {
	find "$tmp" -type d | wc -l
}

# leftovers WHO HOW WITHIN: the row of one contender. What a later run tidies
# up is no leftover, so one more run comes before the counting.
leftovers() {
	mounts=$(count_mounts)
	cgroups=$(count_cgroups)
	folders=$(count_folders)
	processes=$(launch "$1" "$built/timer" leave "$left_runs" "$3")
	inside=/bin/true
	launch "$1"
	echo "| $1, $2 | $(($(count_mounts) - mounts))" \
	    "| $(($(count_cgroups) - cgroups)) | $processes" \
	    "| $(($(count_folders) - folders)) |"
}

measure_leftovers() {
	echo "| $left_runs runs | mounts | cgroups | process trees | folders |"
	echo "|---|--:|--:|--:|--:|"
	for who in whalebox bwrap; do
		case " $contenders " in
		*" $who "*) ;;
		*) continue ;;
		esac
		leftovers "$who" "each ran to its end" 0
		# A box that would go on, so that all that ends it is the kill.
		inside="/bin/sleep 60"
		leftovers "$who" "each killed" "$within"
	done
}

# ---- The measurement --------------------------------------------------------

compile timer minimal minimal-10

echo "## Launching /bin/true"
echo
echo "$rounds runs of each, $(uname -srm), $(nproc) CPUs; cgroups: $layout."
echo
mkdir "$tmp/memory"
mount -t tmpfs -o mode=755 tmpfs "$tmp/memory"
settle "$tmp/memory/all"
measure_launches "In memory"
awk -F '\t' -v OFS='\t' '{ print $1, $3, $2, $4 }' "$tmp/drawn" |
	draw contenders "A start of /bin/true: median, and 10th to 90th percentile"
echo
echo "### What each chapter costs"
echo
measure_stages
echo
echo "### Where the time of a start goes"
echo
echo "The medians of $rounds runs with \`--explain\`, whose words cost some of it."
echo
measure_budget
draw budget "Where the time of a start goes, by chapter" <"$tmp/budget"
echo
settle "$tmp/here"
measure_launches "On this machine's disk (TMPDIR=DIR: on another)"
rmdir /sys/fs/cgroup/whalebox-min       # minimal's; whalebox removes its own
echo
echo "## Leftovers"
echo
echo "The killed got SIGKILL at a random moment of their first" \
    "$((within / 1000)) ms."
echo
measure_leftovers
echo
echo "Drawn: build/bench/contenders.svg, build/bench/budget.svg"
