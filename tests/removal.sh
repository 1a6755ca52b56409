#!/bin/sh
# needs: host root
# removal.sh [full]: what removes a box's folder removes nothing else, whatever
# the box does meanwhile, and whatever else lies beside it.
#
# A fault here could cost this machine its files.  So each attack is made in a
# world of its own: a mount namespace whose whole root is a file system in memory
# that is made for it, with the tests' tools beside it, read-only.  Nothing of the
# machine is mounted there: what is lost is lost in that world, and is missed in
# the comparison of all that was there before and after.
#
# Each is made by three callers: "user", an ordinary one; "root", without a
# cgroup v2; and "cgroup", root who has one.  `full` makes those, too, that take
# minutes.  Another binary: WHALEBOX=FILE.
. "$(dirname "$0")/lib.sh"

# ---- The world: from outside --------------------------------------------------

# What there is besides whalebox itself and the rootfs.  Everything is a copy.
pack_tools() {
	mkdir -p tools/bin tools/build tools/tests tools/lib &&
	busybox=$(readlink -f "$WHALEBOX_ROOTFS/bin/busybox") &&
	cp "$busybox" tools/bin/busybox &&
	for applet in $(tools/bin/busybox --list | grep -v "^busybox$"); do
		ln -s busybox "tools/bin/$applet" || return
	done &&
	for tool in setpriv chattr strace; do
		rm -f "tools/bin/$tool" && tool=$(command -v "$tool") &&
		cp "$tool" tools/bin &&
		for file in $(ldd "$tool" | sed -n 's/[^/]*\(\/[^ ]*\) (.*/\1/p'); do
			cp -L "$file" tools/lib || return
		done || return
	done &&
	cp "$WHALEBOX" tools/whalebox &&
	cp "$project/build/whalebox-no-LOCKS" tools/build &&
	cp "$project/build/tests/squat" tools/build &&
	cp "$project/tests/removal.sh" "$project/tests/lib.sh" tools/tests &&
	: >tools/whalebox.c &&
	cp -R "$WHALEBOX_ROOTFS" tools/rootfs && cp tools/build/squat tools/rootfs &&
	chmod 755 tools
}

# attack WHO... -- TITLE BODY: BODY is run inside, by each of these callers.
attack() {
	callers=
	while [ "$1" != -- ]; do
		callers="$callers $1"
		shift
	done
	title=$2 body=$3
	for who in $callers; do
		# shellcheck disable=SC2016 # the test's own
		it "$who: $title" '
			cd "$scratch" && export LIMIT PATIENCE &&
			timeout -k 5 200 unshare --mount --uts --ipc --net --pid \
			    --fork --kill-child sh "$project/tests/attacks/world.sh" \
			    "$who" "$title" "$body" "$group"
		'
		[ "$who" != cgroup ] || find "$group" -depth -type d -exec rmdir {} +
	done
}

# A cgroup in which a world's boxes have theirs: other whaleboxes on this machine
# would end a box whose own whalebox is dead.
group=$(mounts_of cgroup2 | head -n 1)
group=${group:+$group/removal.$$}

# ---- The world: from inside ---------------------------------------------------

# Nothing may be writable here that is not of this world.
is_closed() {
	awk '$6 !~ /^ro/ {
		for (i = 7; $i != "-"; i++);
		if ($(i + 1) !~ /^(tmpfs|proc|devpts|cgroup2)$/) exit 1
	}' /proc/self/mountinfo
}

# inside WHO TITLE BODY
inside() {
	is_closed || { echo 'something of the machine is here'; exit 1; }
	who=$1
	unset WHALEBOX_WHERE WHALEBOX_FILTER
	ip link set lo up
	case $who in
	user)
		as='/tools/bin/setpriv --reuid 1000 --regid 1000 --clear-groups
		    --inh-caps=-all'
		HOME=/home/ann WHALEBOX_HOME=/home/ann/.local/share/whalebox
		;;
	*)
		as=
		HOME=/root WHALEBOX_HOME=/var/lib/whalebox
		;;
	esac
	export HOME
	containers=$WHALEBOX_HOME/containers
	started_boxes=0
	# Made by whalebox itself, as its modes and owners are its own.
	rmdir "$WHALEBOX_HOME"
	# shellcheck disable=SC2086 # words
	$as "$WHALEBOX" /bin/true || exit 1
	it "$2" "$3"
	finish
}

# box, run as the caller whom the test is about.
box() {
	# shellcheck disable=SC2086 # words
	run $as "$WHALEBOX" "$@"
}

# A listing of names, kinds, modes, owners, links, targets and contents of what
# is in FOLDER, without what is in the folders of the boxes.
list_files() (
	cd / &&
	find "$1" -xdev -path "$containers/*" -prune -o -print0 | sort -z |
	    xargs -0 stat -c '%N %F %a %u:%g' -- &&
	find "$1" -xdev -path "$containers/*" -prune -o -type f -print0 | sort -z |
	    xargs -0 sh -c 'stat -c "%n %h" -- "$@" && sha256sum -- "$@"' sh
)

note() {
	list_files / >/scratch/before
}

untouched() {
	list_files / >/scratch/after 2>&1
	diff -U 0 /scratch/before /scratch/after >/scratch/changes || {
		echo "$(grep -c '^-[^-]' /scratch/changes) lines of what is not a box's are lost or changed:"
		grep '^[-+][^-+]' /scratch/changes | head -12
		return 1
	}
}

# What is in the folder of boxes, and below it at one level.
boxes() {
	ls -A "$containers"
}

nothing_left() {
	[ -z "$(boxes)" ] || wrong 'no box' "$(boxes | head -5)"
}

# squat [OPTION...] /squat WHAT...: a box in the background, which says when its
# files are there.  Sets $whalebox, whalebox's process, and $said, what it prints.
squat() {
	started_boxes=$((started_boxes + 1))
	said=/scratch/said.$started_boxes
	# shellcheck disable=SC2086 # words
	$as "${SQUAT_WITH:-$WHALEBOX}" "$@" >$said 2>&1 </dev/null &
	whalebox=$!
	soon says ready
}

says() {
	grep -Fxq "$1" "$said" || {
		cat "$said"
		return 1
	} >/scratch/unsaid
}

# The processes of squatters, in whatever box.
squatters() {
	for process in /proc/[0-9]*; do
		case $(tr '\0' ' ' <"$process/cmdline") in
		/squat\ *) echo "${process#/proc/}" ;;
		esac
	done 2>/dev/null
}

lives() {
	[ -n "$(squatters)" ] || wrong 'a box that lives on' 'it has ended'
}

none_lives() {
	[ -z "$(squatters)" ]
}

# The box's whalebox is killed, and the box lives on.
orphan() {
	kill -9 "$whalebox" && soon is_over "$whalebox" && lives
}

is_over() {
	[ ! -e "/proc/$1" ] || grep -q '^State:	Z' "/proc/$1/status" 2>/dev/null
}

# works [ARGUMENT...]: the next run does, and says nothing else.
works() {
	box "$@" /bin/echo works && want_status 0 && want_out works
}

if [ "${1:-}" = inside ]; then
	"$@"
fi

( cd "$scratch" && pack_tools ) || exit 1
everybody='user root cgroup'

# ---- A box that lives on ------------------------------------------------------

# shellcheck disable=SC2086 # words, all through
attack $everybody -- 'moves the folder in which the sweep stands' '
	note && squat /squat move && orphan &&
	works && untouched && want_no_err && soon none_lives && nothing_left
'

finish
