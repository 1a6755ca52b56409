#!/bin/sh
# run.sh [ROUNDS]: measures whalebox beside other runtimes: how long it takes to
# run /bin/true in a box, and what is left behind, by killed runs above all.
# Prints Markdown. Needs root, and a machine with nothing else to do.
#
# In every round (20, unless told) each contender runs ten times in turn, so
# that whatever disturbs the machine disturbs all of them. A run that fails ends
# the measurement: a failure is no timing.

set -eu
umask 022
per_round=10
left_runs=200           # for the leftovers: runs that end, then runs killed
within=10000            # microseconds; a kill comes at random before that

. "$(dirname "$0")/apart.sh"

rounds=${1:-20}
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

# settle FOLDER: from now on all files of all contenders are in it.
settle() {
	place=$1
	export WHALEBOX_HOME="$place/home" WHALEBOX_ROOTFS="$place/rootfs"
	rootfs=$WHALEBOX_ROOTFS
	"$project/busybox-rootfs.sh" "$rootfs"
}

# What is made and removed on a disk takes the time of that disk, and of what is
# written there besides. So one file system is the same on every machine: a new
# ext4, with the features that mke2fs gives one, in memory. It goes with the
# mount table that it is in.
make_disk() {
	mkdir "$tmp/memory" "$tmp/disk" &&
		mount -t tmpfs tmpfs "$tmp/memory" &&
		truncate -s 512M "$tmp/memory/image" &&
		mke2fs -q -F -t ext4 "$tmp/memory/image" &&
		mount -o loop "$tmp/memory/image" "$tmp/disk"
}

# ---- The contenders ---------------------------------------------------------

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
	minimal)
		set -- "$@" "$built/minimal" "$rootfs" "$place/scratch"
		;;
	whalebox)
		set -- "$@" "$project/whalebox"
		;;
	whalebox-9)
		set -- "$@" "$project/build/whalebox-9"
		;;
	bwrap)
		set -- "$@" "$(command -v bwrap)" --unshare-all --die-with-parent \
		    --bind "$rootfs" / --proc /proc --dev /dev
		;;
	crun | runc)
		set -- "$@" "$(command -v "$who")" --root "$place/$who.state" \
		    run --bundle "$place/$who" "bench-$$"
		command=        # the bundle says it
		;;
	esac
	# shellcheck disable=SC2086 # a command and its arguments, or nothing
	timeout 600 "$@" $command </dev/null
}

version_of() {
	case $1 in
	minimal) echo "the bare system calls" ;;
	whalebox) "$project/whalebox" --version ;;
	whalebox-9) echo "chapters 0 to 9 alone" ;;
	*) "$1" --version | head -n 1 ;;
	esac
}

# try WHO: one run that is not timed. Sets $why if it fails.
try() {
	case $1 in
	minimal | whalebox | whalebox-9) ;;
	*)
		why="not installed"
		command -v "$1" >/dev/null || return 1
		;;
	esac
	case $1 in
	crun | runc) make_bundle "$1" ;;
	esac
	launch "$1" "$built/timer" "time" 1 >/dev/null 2>"$tmp/why" || {
		why=$(tail -n 2 "$tmp/why" | tr '\n|' '  ')
		return 1
	}
}

# ---- Launching --------------------------------------------------------------

# quantile FILE PERCENT: microseconds in, milliseconds out.
quantile() {
	sort -n "$1" | awk -v percent="$2" '
		{ t[NR] = $1 }
		END {
			i = NR * percent / 100
			i = i > int(i) ? int(i) + 1 : int(i)
			printf "%.2f\n", t[i] / 1000
		}'
}

ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'
}

# Who can run here, in $contenders; rows of the table for the others in absent.
find_contenders() {
	contenders=
	: >"$tmp/absent"
	for who in minimal whalebox whalebox-9 bwrap crun runc; do
		if try "$who"; then
			contenders="$contenders $who"
			continue
		fi
		case $who in
		minimal | whalebox*) die "$who: $why" ;;
		esac
		[ "${WHALEBOX_MUST_WORK-}" != 1 ] || die "$who: $why"
		echo "| $who | – | – | – | – | not measured: $why |" >>"$tmp/absent"
	done
}

# measure_launches TITLE
measure_launches() {
	find_contenders
	echo "### $1: $(findmnt -no FSTYPE,OPTIONS -T "$place" | tr -s ' ')"
	echo
	rm -f "$tmp"/times.*
	round=0
	while [ "$round" -lt "$rounds" ]; do
		for who in $contenders; do
			launch "$who" "$built/timer" "time" "$per_round" \
			    >>"$tmp/times.$who"
		done
		round=$((round + 1))
	done
	floor=$(quantile "$tmp/times.minimal" 50)
	ours=$(quantile "$tmp/times.whalebox" 50)
	echo "| contender | median, ms | p90, ms | of minimal | of whalebox | |"
	echo "|---|--:|--:|--:|--:|---|"
	for who in $contenders; do
		median=$(quantile "$tmp/times.$who" 50)
		echo "| $who | $median | $(quantile "$tmp/times.$who" 90)" \
		    "| $(ratio "$median" "$floor") | $(ratio "$median" "$ours")" \
		    "| $(version_of "$who") |"
	done
	cat "$tmp/absent"
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

compile timer minimal

echo "## Launching /bin/true"
echo
echo "$((rounds * per_round)) runs of each, $(uname -srm), $(nproc) CPUs;" \
    "cgroups: $layout."
echo
if make_disk 2>"$tmp/why"; then
	settle "$tmp/disk"
	measure_launches "On a new disk in memory"
else
	[ "${WHALEBOX_MUST_WORK-}" != 1 ] || die "$(cat "$tmp/why")"
	echo "Not measured on a new disk in memory: $(cat "$tmp/why")"
fi
echo
mkdir "$tmp/here"
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
