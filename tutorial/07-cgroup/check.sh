#!/bin/sh
# Chapter 7: a box has limits, from its birth on, and leaves no cgroup behind.
# needs: root cgroup2
. "$(dirname "$0")/../../tests/lib.sh"

top=$(mounts_of cgroup2 | tail -n 1)
own=$top/check.$$

# limit FILE OPTION...: runs a box that prints FILE of its cgroup.  Before
# chapter 8 the box has the host's /sys, and after it a /sys with its own leaf.
limit() {
	file=$1
	shift
	box ${unkept:+--rm} --name "t$$" "$@" /bin/sh -c "
		cat '$top/whalebox/t$$/$file' /sys/fs/cgroup/$file 2>/dev/null; true"
}

# hog OPTION...: runs a box that fills 200 MiB.
hog() {
	box "$@" /bin/dd if=/dev/zero of=/dev/null bs=200M count=1
}

# forks OPTION...: runs a box that starts thirty processes more.
forks() {
	box "$@" /bin/sh -c '
		n=0; while [ $n -lt 30 ]; do sleep 9 & n=$((n + 1)); done; echo $n'
}

# user CGROUP ARGUMENT...: runs whalebox in the cgroup as an ordinary user, with
# records of its own in $home.
user() {
	cgroup=$1
	shift
	run sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$cgroup" \
	    setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all \
	    env WHALEBOX_HOME="$home" "$WHALEBOX" "$@"
}

it 'gives the box a cgroup namespace, in which its cgroup is the top' '
	mkdir "$own" &&
	run sh -c "echo 0 >\$0/cgroup.procs && exec \"\$@\"" "$own" \
	    "$WHALEBOX" /bin/cat /proc/self/cgroup &&
	rmdir "$own" &&
	want_status 0 &&
	want_line "0::/" &&
	box /bin/readlink /proc/self/ns/cgroup &&
	want_status 0 &&
	differ "$(readlink /proc/self/ns/cgroup)" "$out"
' 'It is rooted at the cgroup of whoever asks for it: who has to ask, and when?'

it 'has the process in whalebox/NAME from its birth on' '
	mkfifo gate &&
	{ "$WHALEBOX" $unkept --name "t$$" /bin/cat <gate & } &&
	exec 9>gate &&
	soon grep -q . "$top/whalebox/t$$/cgroup.procs" &&
	exec 9>&- &&
	wait &&
	same "" "$(ls -d "$top/whalebox/t$$" 2>/dev/null)"
' 'clone3 takes a descriptor of the folder, with CLONE_INTO_CGROUP. Is it gone at the end?'

# A kernel without swap has no /proc/swaps, and no memory.swap.max.
it 'sets memory.max, and no swap beside it' '
	limit memory.max -m 20m &&
	want_status 0 &&
	want_out 20971520 &&
	if [ -e /proc/swaps ]; then
		limit memory.swap.max --memory=20m &&
		want_out 0
	fi
' 'Is the controller handed down, by each cgroup above the leaf?'

it 'has a hog killed at its limit, and says so' '
	hog -m 100m &&
	want_status 137 &&
	want_err "oom_kill 1" &&
	hog -m 300m &&
	want_status 0
' 'memory.max has to be written before the box begins.'

it 'throttles at cpu.max' '
	limit cpu.max --cpus 1.5 &&
	want_out "150000 100000" &&
	box $unkept --name "t$$" --cpus 0.1 /bin/sh -c "
		timeout 1 dd if=/dev/zero of=/dev/null 2>/dev/null
		cat $top/whalebox/t$$/cpu.stat /sys/fs/cgroup/cpu.stat 2>/dev/null
		true" &&
	want_match "^nr_throttled [1-9]"
' 'Two numbers: microseconds of CPU time, and of what period.'

it 'sets cpu.weight from shares' '
	limit cpu.weight --cpu-shares 2 &&
	want_out 1 &&
	limit cpu.weight --cpu-shares 262144 &&
	want_out 10000
' 'The range 2 to 262144 is to become 1 to 10000.'

it 'runs on the CPUs it may, and refuses those that are not there' '
	box --cpuset-cpus 0 /bin/cat /proc/self/status &&
	want_match "^Cpus_allowed_list:.0$" &&
	box --cpuset-cpus 8191 /bin/true &&
	want_status 125
' 'What is in cpuset.cpus.effective is what the box really gets.'

it 'stops forks at pids.max' '
	forks --pids-limit 10 &&
	want_no_line 30 &&
	want_err "fork" &&
	forks &&
	want_line 30
' 'pids counts threads, and the whole box is below the one limit.'

it 'refuses what is no limit' '
	for value in "" 0 -1 1x 1mb 18446744073709551616; do
		box --memory="$value" /bin/true &&
		want_status 125 &&
		want_err "hint: --memory " || exit
	done &&
	for option in --cpus=0 --cpus=1. --cpus=1.123456 --pids-limit=0; do
		box "$option" /bin/true &&
		want_status 125 &&
		want_err "hint: ${option%=*} " || exit
	done
' 'Numbers are read strictly: what is not one is an error, never 0.'

it 'refuses a name that is in use' '
	mkfifo gate &&
	{ "$WHALEBOX" $unkept --name "t$$" /bin/cat <gate & } &&
	exec 9>gate &&
	soon [ -d "$top/whalebox/t$$" ] &&
	box $unkept --name "t$$" /bin/true &&
	exec 9>&- &&
	wait &&
	want_status 125 &&
	want_err "t$$"
' 'mkdir says EEXIST. Two boxes in one cgroup would share one limit.'

it 'refuses a limit to a user without a cgroup, and gives one who has it' '
	home=$(mktemp -d) &&
	chown 1000:1000 "$home" &&
	user "$top" -m 20m /bin/true &&
	want_status 125 &&
	want_err "hint: no cgroup is delegated" &&
	mkdir "$own" "$own/leaf" &&
	chown 1000 "$own" "$own/cgroup.procs" "$own/cgroup.subtree_control" \
	    "$own/leaf" "$own/leaf/cgroup.procs" &&
	user "$own/leaf" -m 100m \
	    /bin/dd if=/dev/zero of=/dev/null bs=200M count=1 &&
	want_status 137 &&
	want_err "oom_kill 1" &&
	rmdir "$own/leaf" "$own" &&
	rm -r "$home"
' 'A user may write where cgroup.procs is its own: the topmost such cgroup.'

it 'leaves no cgroup behind, whether the box ran or not' '
	snapshot &&
	forks -m 100m --cpus 1 --pids-limit 50 &&
	want_line 30 &&
	box -m 100m --cpuset-cpus 8191 /bin/true &&
	want_status 125 &&
	box -m 100m /bin/nothing-of-that-name &&
	want_status 127 &&
	unchanged
' 'rmdir works on an empty cgroup alone, and on every way out it has to be done.'

finish
