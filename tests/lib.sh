# shellcheck shell=sh
# lib.sh: the words that whalebox's tests are written in.
#
# A chapter's check, tutorial/NN-name/check.sh, is a plain sh script:
#
#	#!/bin/sh
#	# needs: root cgroup2
#	. "$(dirname "$0")/../../tests/lib.sh"
#
#	it 'gives the box a hostname of its own' '
#		before=$(hostname) &&
#		box /bin/hostname &&
#		want_status 0 &&
#		differ "$before" "$out" &&
#		same "$before" "$(hostname)"
#	' 'Which flag of clone gives a process a view of its own?'
#
#	finish
#
# The line `# needs:` says where the check can work: any of `root`, `user` (not
# root), `cgroup2` (cgroup v2 with its controllers), `vm`, `host` (too slow under
# emulation), `once` (in the VM as root alone: it is not about users), `compiler` (run
# once, on the host, in the source tree), or nothing.
# test.sh runs it wherever all of them are met, and fails if that is nowhere.  A
# test for one kind of caller stands in `if is_root; then ... fi`; the VM has both
# kinds.
#
# It is run with these set, and may be run by hand with none of them:
#	WHALEBOX          the binary under test, an absolute path
#	WHALEBOX_ROOTFS   the root file system, an absolute path
#	WHALEBOX_HOME     a private folder for whalebox's records
#
# it TITLE BODY [HINT]    one test.  BODY runs in a subshell, in an empty folder
#                         of its own, as one chain of &&: a line that is not
#                         chained is an error.  An `a || b` needs { } around it.
#                         HINT, a must in a check, helps a student whom the test
#                         fails, without giving the answer.
# slow TITLE BODY [HINT]  one of many runs, in which no kernel differs from another:
#                         left out in the VM, where all takes ten times as long.
# skip REASON TITLE       a test that cannot be run here.  A failure, if
#                         WHALEBOX_MUST_WORK=1.
# finish                  prints the plan; exits 0 if all passed, else 1.
#
# run COMMAND...          runs it, and judges nothing but that it ends in time
#                         (LIMIT seconds).  Sets $out, $err (its output, without
#                         the last newline) and $status; ./out and ./err hold
#                         the same to the byte.  Standard input is empty, unless
#                         redirected.
# box ARGUMENT...         run "$WHALEBOX" ARGUMENT...
# $unkept                 --rm, if this build keeps a box that has a --name
#
# want_status N           it ended with exit status N
# want_out TEXT           it printed this and no more
# want_line TEXT          it printed this line     want_no_line TEXT
# want_match ERE          it printed a line like   want_no_match ERE
# want_err TEXT           its errors contain this  want_no_err (there are none)
# same A B                two texts are equal      differ A B
# soon COMMAND...         the command succeeds within PATIENCE seconds
#
# snapshot                notes the host's mounts, cgroups, namespaces, network
#                         devices, and whalebox's records
# unchanged               all of them are as they were noted
#
# is_root, has_cgroup2    true or not
# apart COMMAND...        (as root) runs it in scratch namespaces in which every
#                         mount is shared, as on a host with systemd, where a
#                         mount leaked is a mount seen; and with a cgroup of
#                         its own for the top of cgroup v2's tree, so that no
#                         other whalebox's boxes are in sight, or in the way

our_uid=$(id -u)
LIMIT=${LIMIT:-60}
PATIENCE=${PATIENCE:-10}
newline='
'

# The project's folder is the one above the script that holds whalebox.c.
project=$(cd "$(dirname "$0")" && pwd)
while [ -n "$project" ] && [ ! -e "$project/whalebox.c" ]; do
	project=${project%/*}
done

scratch=$(mktemp -d) || exit 1

# By this we know the processes that come of this script, boxes and what has
# left its parent included, from those of any other: a limit which the kernel
# does not heed, and every child inherits, has a value of its own.
mark=$(echo "$scratch" | awk '{
	letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for (i = 1; i <= length($0); i++)
		n = (n * 62 + index(letters, substr($0, i, 1))) % 1000000007
	print n + 1
}')
# shellcheck disable=SC3045 # which dash, bash and busybox have
ulimit -S -m "$mark"

# discard FOLDER: unless something is mounted there, as then the removal would
# go on to what it shows.
discard() {
	if grep -Fq " $1" /proc/self/mountinfo; then
		echo "# kept, as something is mounted there: $1"
	else
		# overlay leaves a folder with mode 0 behind.
		rm -rf "$1" 2>/dev/null || { chmod -R u+rwX "$1" && rm -rf "$1"; }
	fi
}

cleanup() {
	[ -z "${unfinished:-}" ] || failed 'runs to its end'
	if [ "${KEEP:-0}" = 1 ]; then
		echo "# kept: $scratch"
	else
		discard "$scratch"
	fi
	drop_cgroups "${apart_group:-none}"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

export WHALEBOX="${WHALEBOX:-$project/whalebox}"
export WHALEBOX_ROOTFS="${WHALEBOX_ROOTFS:-$project/rootfs}"
export WHALEBOX_HOME="${WHALEBOX_HOME:-$scratch/home}"
mkdir -p "$WHALEBOX_HOME" || exit 1

tests=0 failures=0 unfinished=yes

# WHALEBOX_WHERE is the beginning of every title; WHALEBOX_FILTER, lines of
# which one has to be in the title of a test that is to be run.
wanted() {
	[ -n "${WHALEBOX_FILTER:-}" ] || return 0
	printf '%s\n' "$WHALEBOX_FILTER" >"$scratch/filter"
	printf '%s\n' "${WHALEBOX_WHERE:-}$1" | grep -Fqf "$scratch/filter"
}

passed() {
	tests=$((tests + 1))
	echo "ok $tests - ${WHALEBOX_WHERE:-}$1"
}

# failed TITLE [FILE]: FILE tells why.
failed() {
	tests=$((tests + 1)) failures=$((failures + 1))
	echo "not ok $tests - ${WHALEBOX_WHERE:-}$1"
	[ -z "${2:-}" ] || sed 's/^/#   /' "$2"
}

# chained BODY: it does nothing after a first command that failed.  If its status
# is not that command's, the chain is broken somewhere.
chained() {
	( eval "fail_first && $1" )
	[ $? -eq 117 ] || {
		echo 'a && is missing in this test'
		return 1
	}
}

fail_first() {
	return 117
}

it() {
	wanted "$1" || return 0
	folder=$scratch/test.$tests
	mkdir "$folder" || exit 1
	if ( cd "$folder" && chained "$2" && eval "$2" ) \
	    >"$scratch/log" 2>&1 </dev/null
	then
		passed "$1"
	else
		# A command that fails without a word says nothing in the log.
		[ -s "$scratch/log" ] || printf '%s\n' \
		    'one of these failed, and did not say why:' "$2" >"$scratch/log"
		failed "$1" "$scratch/log"
		[ -z "${3:-}" ] || echo "# hint: $3"
	fi
	discard "$folder"
}

slow() {
	case ${WHALEBOX_WHERE:-} in
	vm*) ;;
	*)   it "$@" ;;
	esac
}

skip() {
	wanted "$2" || return 0
	if [ "${WHALEBOX_MUST_WORK:-0}" = 1 ]; then
		failed "$2"
		echo "#   it has to work here, but: $1"
	else
		passed "$2 # SKIP $1"
	fi
}

finish() {
	unfinished=
	echo "1..$tests"
	[ "$failures" -eq 0 ]
	exit
}

run() {
	ran=$*
	now
	started=$now
	timeout -k 5 "$LIMIT" "$@" >out 2>err && status=0 || status=$?
	out='' err=''
	[ ! -s out ] || out=$(cat out)
	[ ! -s err ] || err=$(cat err)
	now
	[ $((now - started)) -lt "$LIMIT" ] ||
		wrong "an end within $LIMIT seconds" "none"
}

# now: sets $now to a time in whole seconds.  As everything here that is done at
# each step of a test, it starts no process: an emulated machine is slow at that.
now() {
	read -r now rest </proc/uptime
	now=${now%.*}
}

case $("$WHALEBOX" --help 2>/dev/null) in
*" --rm "*) unkept=--rm ;;
*)          unkept= ;;
esac

box() {
	run "$WHALEBOX" "$@"
}

# wrong EXPECTED ACTUAL: says so, and fails.  The beginning of each will do.
wrong() {
	printf '%s\n' "command:  ${ran:-none}" "expected: $1"
	printf 'actual:   %s\n' "$2" | head -n 30
	if [ -s err ]; then
		echo 'standard error:'
		head -n 30 err | sed 's/^/  /'
	fi
	return 1
}

want_status() {
	[ "$status" -eq "$1" ] || wrong "exit status $1" "$status$newline$out"
}

want_out() {
	[ -z "$1" ] || printf '%s\n' "$1" >wanted
	[ -n "$1" ] || : >wanted
	cmp -s wanted out || wrong "the output$newline$1" "$newline$out"
}

want_line() {
	grep -Fxq -e "$1" out || wrong "a line: $1" "$newline$out"
}

want_no_line() {
	grep -Fxq -e "$1" out || return 0
	wrong "no line: $1" "$newline$out"
}

want_match() {
	grep -Eq -e "$1" out || wrong "a line like /$1/" "$newline$out"
}

want_no_match() {
	grep -Eq -e "$1" out || return 0
	wrong "no line like /$1/" "$newline$out"
}

want_err() {
	grep -Fq -e "$1" err || wrong "an error with: $1" "$newline$err"
}

want_no_err() {
	[ ! -s err ] || wrong 'no errors' "$newline$err"
}

same() {
	[ "$1" = "$2" ] || wrong "the same as: $1" "$2"
}

differ() {
	[ "$1" != "$2" ] || wrong "something other than: $1" "$2"
}

soon() {
	now
	until_when=$((now + PATIENCE))
	# What the tries say before the last one, nobody wants to read.
	until "$@" >"$scratch/soon" 2>&1; do
		now
		[ "$now" -le "$until_when" ] || {
			{ cat "$scratch/soon" && wrong "soon: $*" 'not so far'; } >&2
			return 1
		}
		sleep 0.1
	done
	[ ! -s "$scratch/soon" ] || cat "$scratch/soon"
}

is_root() {
	[ "$our_uid" -eq 0 ]
}

# The mount points of the file systems of a type.
mounts_of() {
	awk -v type="$1" '{
		for (i = 6; $i != "-"; i++);
		if ($(i + 1) == type) print $5
	}' /proc/self/mountinfo
}

has_cgroup2() {
	for m in $(mounts_of cgroup2); do
		grep -q memory "$m/cgroup.controllers" && return 0
	done
	return 1
}

host_state() {
	cat /proc/self/mountinfo
	sed -n 's/^ *\(.*\):.*/network device \1/p' /proc/net/dev
	( cd "$WHALEBOX_HOME" && find . -path './*/*' )
}

# The cgroups of boxes with nobody in them.  One with a process in it is that of
# a box that lives, which may be another whalebox's; one of ours would show as a
# namespace.  A user cannot look into root's, nor leave a box there.
empty_cgroups() {
	for m in $(mounts_of cgroup; mounts_of cgroup2); do
		find "$m" -type d -path '*/whalebox/*' 2>/dev/null
	done | while read -r cgroup; do
		grep -qs "^populated 1" "$cgroup/cgroup.events" || echo "$cgroup"
	done | sort
}

# Every namespace that some process of this script is in.  Processes that have
# just ended, and those of other users, cannot be looked into.
namespaces() {
	grep -ls "^Max resident set  *$((mark * 1024)) " /proc/[0-9]*/limits |
	    sed 's/limits$//' | while read -r process; do
		stat -c %N "$process"/ns/* 2>/dev/null
	done | sed 's/.* -> //' | sort -u
}

snapshot() {
	host_state >state.before
	empty_cgroups >cgroups.before
	namespaces >namespaces.before
}

# Other whaleboxes may remove a cgroup meanwhile, so that only new ones count.
as_before() {
	host_state >state.after
	empty_cgroups >cgroups.after
	namespaces >namespaces.after
	{
		diff -u state.before state.after | grep '^[-+][^-+]'
		diff -u cgroups.before cgroups.after | grep '^+[^+]'
		grep -Fxvf namespaces.before namespaces.after
	} >state.changes
	[ ! -s state.changes ]
}

# The kernel takes a namespace apart a little after its last process is gone.
unchanged() {
	soon as_before || {
		sed 's/^/  /' state.changes
		return 1
	}
}

apart() {
	apart_group=${scratch##*/}.${where##* }
	APART=$apart_group unshare --mount --uts --ipc --net --pid --fork \
	    --kill-child --mount-proc sh -c '
		mount --make-rshared / || exit
		for m in $(awk "/ - cgroup2 /{ print \$5 }" /proc/self/mountinfo); do
			mkdir "$m/$APART" 2>/dev/null || continue
			mount --bind "$m/$APART" "$m" || exit
		done
		unset APART
		ip link set lo up && exec "$@"
	' sh "$@"
	apart_status=$?
	drop_cgroups "$apart_group"
	return $apart_status
}

# drop_cgroups NAME: what is left of the cgroups in which apart() had its boxes.
drop_cgroups() {
	for m in $(mounts_of cgroup2); do
		[ ! -d "$m/$1" ] || find "$m/$1" -depth -type d -exec rmdir {} +
	done
}
