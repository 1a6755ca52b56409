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

# Seconds after which a run counts as hung: more than 5 on a slow machine, which
# prepare() finds out.
HANGS=30

# The program is that of chapter 9, say, which has no limits before 7.
stage=99

# By this we find what is left of our boxes, and of no others.
box_name=faults-${scratch##*.}

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
	whalebox)
		set -- "$@" "$WHALEBOX" ${unkept:+--rm}
		[ "$stage" -eq 0 ] || set -- "$@" --name "$box_name"
		set -- "$@" $limits $options
		;;
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

# hold_child: begin the run, as $job, with its $parent stopped and its $child
# waiting for it.
hold_child() {
	with_probe timeout -k 1 "$HANGS" strace -qq -o /dev/null -e trace=close \
	    -e "inject=close:signal=STOP:when=$held_close" &
	job=$!
	ends=$(($(date +%s) + HANGS)) child=
	until [ -n "$child" ] || [ "$(date +%s)" -gt "$ends" ]; do
		# This shell, timeout, strace, the parent, the child.
		parent=$(pgrep -n -P "$(pgrep -n -P "$(pgrep -P $job)")") &&
		    child=$(own_child "$parent")
	done 2>/dev/null
	[ -n "$child" ]
}

# own_child PARENT: the one that runs the same program, and not nft, say.
own_child() {
	for a_child in $(pgrep -P "$1"); do
		[ "$(readlink "/proc/$a_child/exe")" != "$(readlink "/proc/$1/exe")" ] ||
			echo "$a_child"
	done
}

# join_child OPTION...: strace looks at the child, with these options.
join_child() {
	timeout -k 1 "$HANGS" strace -qq -b execve -p "$child" "$@" 2>joined &
	tracer=$!
	until grep -q '^TracerPid:.*[1-9]' "/proc/$child/status"; do
		kill -0 $tracer || return
	done 2>/dev/null
}

# strace cannot tell the child from the parent, but it can join it alone: while
# the child waits for the parent, and the parent has been stopped in the first
# close after its clone, which is that of the child's end of the gate.
traced_child() {
	for try in 1 2 3; do
		began=$(date +%s)               # of the run, for strike
		! { hold_child && join_child "$@"; } || break
		# It took too long on a busy machine: once more, from a clean state,
		# and as if it had said nothing.
		end_all
		wait "$job"
		: >out
		: >err
		good_run next
	done
	# It may not yet have come to its stop.
	while kill -CONT "$parent"; do
		sleep 0.01
	done 2>/dev/null
	wait "$job"
}

# prepare TOOL [OPTION...]: everything that is the same at each point, and the
# points.
prepare() {
	tool=$1 limits=''
	shift
	options=$*
	! is_root || ! has_cgroup2 || [ "$stage" -lt 7 ] ||
		limits='--memory 64m --pids-limit 64 --cpus 0.9'
	# Without chapter 3 it has another number each time.
	[ "$stage" -ge 3 ] ||
		probe=$(printf '%s\n' "$probe" | sed 's/pid \$\$,/pid,/')
	host_namespaces=$(for ns in /proc/self/ns/*; do readlink "$ns"; done)
	cat /proc/self/mountinfo >mounts.before
	: >points
	: >bad
	: >report
	if ! good_run good || [ ! -s good.out ]; then
		cat good.err
		return 1
	fi
	prepared=$(date +%s)
	# Before chapter 5 the child waits for nothing.
	case $tool,$stage in
	whalebox,[0-4] | bwrap,*)
		list_points each ;;
	*)
		list_points parent &&
		held_close=$(awk '/^close\(/  { closes++ }
				  /^clone3\(/ { print closes + 1; exit }' trace) &&
		list_points child ;;
	esac || return 1
	HANGS=$((5 + $(date +%s) - prepared))   # four runs, or two
	keep_wanted points
}

# keep_wanted FILE: of its points, those of the calls that $only has, as in
# "mount|open", which is also openat; or all.
keep_wanted() {
	[ -n "${only:-}" ] || return 0
	grep -E " ($only)[a-z0-9]* [0-9]+$" "$1" >wanted.points
	mv wanted.points "$1"
}

# calls FILE: each call in a trace of one process or of each, as "call count".
# Left out are those that cannot fail, those that libc makes before main(), those
# that the kernel begins anew by itself, as often as it pleases, and execve, from
# where on it is the command's own affair.
calls() {
	awk '
		{ process = $0 ~ /^[0-9]/ ? $1 : 0; sub(/^[0-9]+ +/, "") }
		/^(execve|exit_group|arch_prctl|set_tid_address|get[a-z]+id)\(/ ||
		    !/^[a-z_0-9]+\(/ || / = \? ERESTART/ { next }
		{
			call = $0
			sub(/\(.*/, "", call)
			count = ++counts[process, call]
			if (!seen[call, count]++) print call, count
		}
	' "$1"
}

# list_points PROCESS: appends them to ./points.  The run is traced twice: what
# only one of the two did, chance did.
list_points() {
	for run in 1 2; do
		traced "$1" -o trace >traced.out 2>traced.err &&
		cmp good.out traced.out && calls trace >calls.$run || return 1
	done
	grep -Fxf calls.1 calls.2 | sort -k 1,1 -k 2n | sed "s/^/$1 /" >listed
	[ -s listed ] && cat listed >>points
}

# What a call may say that fails: two errors of its own.
errors_of() {
	case $1 in
	write | mkdir* | symlink*)         echo ENOSPC EIO ;;
	read | getdents64 | unlink*)       echo EIO EPERM ;;
	open* | pipe2 | socket)            echo EMFILE EIO ;;
	clone* | fork | vfork | m*map | mprotect | brk) echo ENOMEM EPERM ;;
	wait4)                             echo ECHILD EINTR ;;
	*)                                 echo EPERM EINVAL ;;
	esac
}

# The words for it, in whichever libc.
words_of() {
	case $1 in
	ECHILD) echo 'No child process' ;;
	EINTR)  echo 'Interrupted system call' ;;
	EINVAL) echo 'Invalid argument' ;;
	EIO)    echo '(Input/output|I/O) error' ;;
	EMFILE) echo '(Too many open files|No file descriptors available)' ;;
	ENOMEM) echo '(Cannot allocate memory|Out of memory)' ;;
	ENOSPC) echo 'No space left on device' ;;
	EPERM)  echo 'Operation not permitted' ;;
	esac
}

# What a box on a bridge could leave of its wires.  The host is one of the tests'
# own: see faults.sh.
wires_left() {
	case "$options $limits" in
	*bridge*)
		ip -o link | sed -n 's/^[0-9]*: \(wb[^@:]*\|whalebox[0-9]*\).*/a link: \1/p'
		nft list tables | grep whalebox
		grep -hs '^10[.]' "$WHALEBOX_HOME"/networks/*/leases ;;
	esac
}

# What a run could leave in the system, and on the disk.
left_behind() {
	wires_left
	pgrep -l -f "$box_name"
	diff mounts.before /proc/self/mountinfo
	for m in $(mounts_of cgroup2); do
		find "$m" -type d -name "$box_name*" 2>/dev/null
	done
	[ ! -d "$WHALEBOX_HOME/containers" ] || ls "$WHALEBOX_HOME/containers"
}

# The dying take a moment.
nothing_left() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		left_behind >left 2>&1
		[ -s left ] || return 0
		sleep 0.1
	done
	return 1
}

# Ends the processes of our boxes, which a fault has left.
end_all() {
	for pid in $(pgrep -f "$box_name"); do
		kill -KILL "$pid"
	done
}

# bad KIND: counts a point that did not end as it has to, and tells of it.
bad() {
	echo "$1" >>bad
	{
		echo "$1: $point $fault: exit status $status"
		[ ! -s out ] || diff good.out out | head -n 8
		head -n 3 err
		head -n 3 left
	} | sed '2,$s/^/    /' >>report
}

# strike PROCESS CALL K FAULT: the run, with that fault at that point.
strike() {
	point="$1 $2 $3" fault=$4
	began=$(date +%s)
	: >left
	: >out
	: >err
	traced "$1" -o struck -e trace="$2" -e inject="$2:$4:when=$3" \
	    >>out 2>>err </dev/null
	status=$?
	[ $(($(date +%s) - began)) -lt "$HANGS" ] || {
		bad 'hangs'
		end_all
	}
	# Whatever the fault was: a box as strong as the good one, or none.
	[ ! -s out ] || cmp -s good.out out || bad 'fails open'
}

# The error is told of, in one line that has its step and its words; or in two,
# if it is an error of both processes.
told() {
	lines=$(grep -vc '^  hint: ' err)
	{ [ "$lines" -eq 1 ] || { [ "$lines" -eq 2 ] && [ "$stage" -lt 5 ]; }; } &&
	grep -Eq "^whalebox: chapter [0-9]+: .*: $(words_of "$1")" err
}

# error PROCESS CALL K ERROR.  A status of 0 is right where nothing depends on
# the call, as for most close(2).  Nothing stays, whatever it was that failed once.
error() {
	strike "$1" "$2" "$3" "error=$4"
	[ "$tool" = whalebox ] || return 0
	case $status in
	0)   cmp -s good.out out && { [ ! -s err ] || told "$4"; } ;;
	125) told "$4" ;;
	*)   false ;;
	esac || bad 'goes untold'
	nothing_left || {
		bad 'leaves something'
		next_run
	}
}

# kill_at PROCESS CALL K: what a killed run leaves, the next one removes.
kill_at() {
	strike "$1" "$2" "$3" signal=KILL
	next_run
}

# The next run is good, and leaves nothing.
next_run() {
	if ! good_run next || ! cmp -s good.out next.out || [ -s next.err ]; then
		cat next.err >>err
		bad 'spoils the next run'
	fi
	nothing_left || {
		bad 'outlasts the next run'
		end_all
		good_run next           # for the points to come
	}
}

# kill_randomly TIMES [SECONDS]: a SIGKILL at any moment of the first 10 ms, or of
# that time.
kill_randomly() {
	awk -v seed="$SEED" -v times="$1" -v within="${2:-0.01}" 'BEGIN {
		srand(seed)
		while (times-- > 0) printf "%.4f\n", 0.0001 + rand() * within
	}' >moments
	while read -r moment; do
		point="after $moment s" fault=signal=KILL
		with_probe timeout --foreground -s KILL "$moment" \
		    >out 2>err </dev/null
		status=$?
		: >left
		[ ! -s out ] || cmp -s good.out out || bad 'fails open'
		next_run
	done <moments
	figures "$1 SIGKILLs at random"
}

# figures WHAT: how many points ended in each bad way.
figures() {
	echo "$tool, $(id -un), $1:"
	for kind in 'fails open' 'hangs' 'goes untold' 'leaves something' \
	    'spoils the next run' 'outlasts the next run'; do
		echo "  $kind: $(grep -cx "$kind" bad)"
	done
	: >bad
}

# is_enough: only one bad end was looked for, and there is one.
is_enough() {
	[ -n "${only:-}" ] && [ -s report ]
}

# choose FILE POINTS: of its lines POINTS, or all of them, are ./chosen.  Which these
# are is another matter each day: SEED.
choose() {
	every=1
	[ "$2" = all ] || every=$(($(wc -l <"$1") / $2 + 1))
	awk -v every=$every -v first=$((SEED % every)) \
	    'NR % every == first' "$1" >chosen
	[ -s chosen ]
}

# sweep ERRORS POINTS: at POINTS of the points, or at all of them, so many
# errors, and then a SIGKILL.
sweep() {
	choose points "$2" || return
	errors=0
	while read -r process call k; do
		for error in $(errors_of "$call" | cut -d ' ' -f "-$1"); do
			! is_enough || break 2
			error "$process" "$call" "$k" "$error"
			errors=$((errors + 1))
		done
	done <chosen
	figures "$errors errors at $(wc -l <chosen) of $(wc -l <points) points"
	while read -r process call k; do
		! is_enough || break
		kill_at "$process" "$call" "$k"
	done <chosen
	figures "a SIGKILL at each of $(wc -l <chosen) points"
}
