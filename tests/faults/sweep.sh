# shellcheck shell=sh
# sweep.sh: makes each step of a run fail, in turn.  Part of tests/faults.sh.
#
# A run is two processes, the parent and its child, each with its list of system
# calls.  One good run, traced by strace, gives the lists.  A *point* is one of
# these calls, as in "the child's third mount", which is how strace counts: the
# run is begun again, and that call fails, or its process is killed there.
#
# The box runs a probe, which prints all that makes the box strong.  So a fault
# that makes the box weaker, and lets it run all the same, shows as another
# output than the good run's.  That is called failing open.

HANGS=5                         # seconds after which a run counts as hung

box_name=faults$$               # finds what is left of our boxes, no others

# All in one write, so that a run prints it whole or not at all.  Its arguments
# are the host's namespaces.
probe='echo "$(
	exec 2>&1
	for ns in $(ls -l /proc/self/ns | sed -n "s/.* -> //p"); do
		case " $* " in
		*" $ns "*) echo "the host has it: $ns" ;;
		*) echo "its own: ${ns%%:*}" ;;
		esac
	done
	echo "pid $$, umask $(umask), in $PWD"
	grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Sig(Blk|Ign))" \
	    /proc/$$/status
	cut -d " " -f 4- /proc/self/mountinfo
	ls /proc/self/fd /dev /
	ifconfig -a | grep -E "^[a-z]|UP"
	cd /sys/fs/cgroup
	cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups \
	    /proc/self/cgroup /proc/sys/kernel/hostname /etc/hosts \
	    /etc/hostname /etc/resolv.conf $(ls | grep "[.]max$")
)"'

# with_probe COMMAND...: the command followed by that of the run, whalebox's
# or, in a comparison, another's.
# shellcheck disable=SC2086 # lists of words
with_probe() {
	case $tool in
	whalebox) set -- "$@" "$WHALEBOX" --name "$box_name" $limits ;;
	bwrap)    set -- "$@" bwrap --unshare-all --ro-bind "$WHALEBOX_ROOTFS" / \
		      --proc /proc --dev /dev ;;
	esac
	"$@" /bin/sh -c "$probe" "$box_name" $host_namespaces
}

good_run() {
	with_probe timeout -k 1 "$HANGS" >"$1.out" 2>"$1.err"
}

# traced PROCESS OPTION...: the run with strace, with these options, looking at
# one process, or at `each` of them at once.  The status is the run's.
traced() {
	who=$1
	shift
	case $who in
	parent) with_probe timeout -k 1 "$HANGS" strace -qq "$@" ;;
	child)  traced_child "$@" ;;
	each)   with_probe timeout -k 1 "$HANGS" strace -f -b execve -qq "$@" ;;
	esac
}

# strace cannot tell the child from the parent, but it can join it alone: while
# the child waits for the parent, and the parent has been stopped in the first
# write after its clone.
traced_child() {
	with_probe timeout -k 1 "$HANGS" strace -qq -o /dev/null -e trace=write \
	    -e "inject=write:signal=STOP:when=$held_write" &
	job=$!
	ends=$(($(date +%s) + HANGS)) child=
	until [ -n "$child" ] || [ "$(date +%s)" -gt "$ends" ]; do
		# This shell, timeout, strace, the parent, the child.
		parent=$(pgrep -n -P "$(pgrep -n -P "$(pgrep -P $job)")") &&
		    child=$(pgrep -P "$parent")
	done 2>/dev/null
	timeout -k 1 "$HANGS" strace -qq -b execve -p "$child" "$@" &
	tracer=$!
	until grep -q '^TracerPid:.*[1-9]' "/proc/$child/status"; do
		kill -0 $tracer || break
	done
	# It may not yet have come to its stop.
	while kill -CONT "$parent"; do
		sleep 0.01
	done 2>/dev/null
	wait $job
}

# calls FILE: each call of each process in a trace, as "call count", where it
# can fail and can be blamed.  What libc does before main() is not ours.
calls() {
	awk '
		{ sub(/^[0-9]+ +/, "") }
		!/^[a-z_0-9]+\(/ { next }
		{ call = $0; sub(/\(.*/, "", call); print call, ++count[call] }
	' "$1" | grep -v -e '^execve ' -e '^exit_group ' -e '^arch_prctl ' \
	    -e '^set_tid_address '
}

# points PROCESS: of a process, or of each: the good run is traced twice, and
# what only one of the two runs did, chance did.
list_points() {
	for run in 1 2; do
		traced "$1" -o trace >traced.out 2>traced.err &&
		cmp good.out traced.out && calls trace >calls.$run || return 1
	done
	sort calls.1 >calls.sorted
	sort calls.2 | comm -12 calls.sorted - | sort -k 1,1 -k 2n |
	    sed "s/^/$1 /" >>points
}

# What a call may say, which fits it: two errors.
errors_of() {
	case $1 in
	write | mkdir* | symlink*)   echo ENOSPC EIO ;;
	read | getdents64 | unlink*) echo EIO EPERM ;;
	open* | pipe2 | socket)      echo EMFILE EACCES ;;
	clone* | fork | vfork | mmap | mprotect) echo ENOMEM EPERM ;;
	*)                           echo EPERM EINVAL ;;
	esac
}

# Its words, in whichever libc.
words_of() {
	case $1 in
	ENOSPC) echo 'No space left on device' ;;
	EIO)    echo '(Input/output|I/O) error' ;;
	EPERM)  echo 'Operation not permitted' ;;
	EMFILE) echo '(Too many open files|No file descriptors available)' ;;
	EACCES) echo 'Permission denied' ;;
	ENOMEM) echo '(Cannot allocate memory|Out of memory)' ;;
	EINVAL) echo 'Invalid argument' ;;
	esac
}

# What a box could leave in the system, and on the disk.
left_behind() {
	pgrep -l -f "$box_name"
	diff mounts.before /proc/self/mountinfo
	for m in $(mounts_of cgroup2); do
		find "$m" -type d -name "$box_name*"
	done
	[ ! -d "$WHALEBOX_HOME/containers" ] || ls "$WHALEBOX_HOME/containers"
}

nothing_left() {
	left_behind >left
	[ ! -s left ]
}

# bad KIND: counts a point that did not end as it has to, and tells of it.
bad() {
	echo "$1: $point $fault: exit status $status" >>bad
	{
		echo "$1: $point $fault: exit status $status"
		diff good.out out | head -n 5
		head -n 3 err
		[ ! -s left ] || cat left
	} | sed 's/^/    /' >>report
}

# strike PROCESS CALL K FAULT: the run, with that fault at that point.
strike() {
	point="$1 $2 $3" fault=$4
	began=$(date +%s)
	traced "$1" -o struck -e trace="$2" -e inject="$2:$4:when=$3" \
	    >out 2>err
	status=$?
	[ $(($(date +%s) - began)) -lt "$HANGS" ] || {
		bad hangs
		pkill -KILL -f "$box_name"      # our own
	}
}

# Whatever the fault was: a box as strong as the good one, or none.
as_strong() {
	[ ! -s out ] || cmp -s good.out out || bad 'fails open'
}

# An error has to be told of, in a line with its name, unless nothing is lost.
is_told() {
	case $status in
	0)         cmp -s good.out out && [ ! -s err ] ;;
	125 | 126) told=$(grep '^whalebox: chapter [0-9]*: ' err) &&
		   [ "$(grep -vc '^  hint: ' err)" -eq 1 ] &&
		   echo "$told" | grep -Eq "$(words_of "$1")" ;;
	*)         false ;;
	esac || bad 'goes untold'
}

# error PROCESS CALL K ERROR
error() {
	strike "$1" "$2" "$3" "error=$4"
	as_strong
	is_told "$4"
	soon nothing_left || bad 'leaves something'
}

# kill_at PROCESS CALL K: what a killed parent leaves, the next run removes.
kill_at() {
	strike "$1" "$2" "$3" signal=KILL
	as_strong
	next_is_good
}

next_is_good() {
	good_run next && cmp good.out next.out && [ ! -s next.err ] ||
		bad 'spoils the next run'
	soon nothing_left || bad 'leaves something'
}
