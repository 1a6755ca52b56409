#!/bin/sh
# check.sh: chapter 10, locks.  As root, and as an ordinary user.
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# The lines of /proc/self/status that tell of locks, as NAME=VALUE.
locks() {
	box "$@" /bin/sed -n 's/^\(Cap[A-Z][a-z]*\|NoNewPrivs\|Seccomp\):.\(.*\)/\1=\2/p' \
	    /proc/self/status
}

# The same of this process, on the host.
own_locks() {
	grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status
}

# refuses_calls OPTION...: a box says EPERM to an administrator's commands, each
# of which makes a call that its own namespaces would allow or ignore.
refuses_calls() {
	box "$@" /bin/sh -c '
		for c in "unshare -U true" "mount -t tmpfs none /tmp" "hostname desk" \
		    "umount /dev/shm" "nsenter -t 1 -u true"; do
			$c && echo "done: $c"
		done 2>&1' &&
	same 5 "$(grep -Ec "not permitted|permission denied" out)" &&
	want_no_match "^done"
}

it 'keeps the fourteen capabilities, and hands none on' '
	before=$(own_locks) && locks && want_status 0 &&
	for set in Prm Eff Bnd; do
		want_line "Cap$set=00000000a80425fb" || exit
	done &&
	want_line CapInh=0000000000000000 && want_line CapAmb=0000000000000000 &&
	same "$before" "$(own_locks)"
' 'capset(2) sets three of the five sets; what could an execve give back?'

it 'keeps more or fewer capabilities, as told' '
	locks --cap-drop ALL && want_status 0 &&
	want_line CapEff=0000000000000000 && want_line CapBnd=0000000000000000 &&
	locks --cap-drop chown --cap-add CAP_NET_ADMIN && want_status 0 &&
	want_line CapEff=00000000a80435fa && want_line CapBnd=00000000a80435fa &&
	locks --cap-drop ALL --cap-add kill && want_status 0 &&
	want_line CapEff=0000000000000020
' 'A set is a number with a bit for each: take away, then add.'

it 'keeps all capabilities, as told, and the other locks even then' '
	locks --cap-add ALL && want_status 0 && want_line CapEff=000001ffffffffff &&
	want_line Seccomp=2 && refuses_calls --cap-add ALL
' 'Is there a filter? How many capabilities there are, the kernel tells: PR_CAPBSET_READ.'

it 'refuses a capability that there is not' '
	for name in "" nonsense CAP_ chown,kill; do
		box --cap-add "$name" /bin/true && want_status 125 &&
		want_err "--cap-add: not" && want_out "" || exit
	done
' 'A name that is not in the list must not become a number, or nothing.'

it 'has no new privileges, and a filter' '
	locks && want_line NoNewPrivs=1 && want_line Seccomp=2
' 'prctl(2) and seccomp(2). The one is needed for the other.'

it 'refuses the calls of an administrator' '
	before=$(uname -n) && refuses_calls &&
	{ same "$before" "$(uname -n)" || { hostname "$before"; false; }; }
' 'The call number is loaded and compared. A wrong jump lets everything through.'

it 'lets an ordinary program work' '
	box /bin/sh -c "(echo one; echo two) | sort | tail -n 1 && sleep 0 &
	    wait && mkdir /d && touch /d/f && chown 0:0 /d/f && chmod 4755 /d/f &&
	    chroot / /bin/true && kill -0 \$\$ && echo fine" &&
	want_status 0 && want_line two && want_line fine && want_no_err
' 'What is on no list is allowed: the last instruction of the filter says so.'

it 'covers what the files of the machine say' '
	differ "" "$(cat /proc/interrupts)" &&
	box /bin/sh -c "
		cd /proc && cat interrupts kcore keys timer_list sched_debug 2>&1
		ls -A acpi scsi asound /sys/firmware /sys/devices/virtual/powercap 2>&1
		true" &&
	want_status 0 &&
	same "" "$(grep -Ev "No such file|:\$|^\$" out)"
' 'A file is covered by another file, a folder by an empty folder.'

it 'makes the settings of the machine read-only' '
	box /bin/cut -d " " -f 2,4 /proc/mounts && want_status 0 &&
	for path in bus fs irq sys sysrq-trigger; do
		[ ! -e "/proc/$path" ] ||
			want_match "^/proc/$path ro,nosuid,nodev,noexec" || exit
	done
' 'A bind mount has flags of its own. But mount(2) takes them only at the second try.'

if is_root; then
	it 'locks root of the host in as well' '
		before=$(own_locks) && locks --userns host && want_status 0 &&
		want_line CapEff=00000000a00425fb && want_line Seccomp=2 &&
		refuses_calls --userns host &&
		box --userns host /bin/sh -c "
			head -c 1 /proc/kcore; : >>/proc/sys/kernel/core_pattern" &&
		want_out "" && want_err "Read-only file system" &&
		same "$before" "$(own_locks)" && : >>/proc/sys/kernel/core_pattern
	' 'Without a user namespace these locks are all that there is.'

	it 'gives nothing to a program that is set-user-ID' '
		run "$WHALEBOX" /bin/sh -c "chmod u+s /bin/busybox &&
		    su guest -c \"ping -c 1 127.0.0.1\"" &&
		want_status 1 && want_err "permission denied"
	' 'One prctl, before the filter, and for ever.'

	# For each call that locks, whalebox is told that it has failed.
	for call in capset seccomp prctl:when=4+; do
		it "runs no command when ${call%:*} fails" '
			run strace -f -o trace -e "trace=${call%:*}" \
			    -e "inject=${call%:*}:error=EINVAL${call#"${call%:*}"}" \
			    "$WHALEBOX" /bin/echo went on &&
			want_status 125 && want_out "" && want_err "chapter 10: "
		' 'A lock that was refused is no lock: must() looks at the result.'
	done
fi

it 'leaves the host as it was' '
	snapshot && box /bin/true && want_status 0 && unchanged
' 'Whose mount table do the covers stand in?'

finish
