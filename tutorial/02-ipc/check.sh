#!/bin/sh
# check.sh: chapter 2, its own mailboxes.
# needs: root
. "$(dirname "$0")/../../tests/lib.sh"

# `sh -c "$afresh" COMMAND` runs a command in a folder whose files are the POSIX
# queues.  A mount of mqueue shows those of whoever mounted it, so it is mounted
# anew, and goes with a mount namespace of its own.
afresh='unshare -m sh -c "mount -t mqueue mqueue /tmp && cd /tmp && $0"'

# The same in the box.  From chapter 8 on it has such a mount already.
in_box=$afresh
if "$WHALEBOX" --help | grep -q -e --rootfs; then
	in_box='cd /dev/mqueue && eval "$0"'
fi

remove_queue() {
	ipcrm -q "$queue"
}

remove_jobs() {
	sh -c "$afresh" 'rm jobs'
}

it 'puts the box in an IPC namespace of its own' '
	box /bin/readlink /proc/self/ns/ipc &&
	want_status 0 &&
	want_match "^ipc:\[[0-9]+\]$" &&
	differ "$(readlink /proc/self/ns/ipc)" "$out"
' 'Which flag does the clone need, and where do the chapters declare theirs?'

it 'hides a System V queue of the host, which keeps it' '
	queue=$(ipcmk -Q) && queue=${queue##* } && trap remove_queue EXIT &&
	before=$(cat /proc/sysvipc/msg) &&
	box /bin/cat /proc/sysvipc/msg &&
	want_status 0 &&
	want_match "msqid" &&
	same 1 "$(wc -l <out)" &&
	same "$before" "$(cat /proc/sysvipc/msg)"
' 'The box lists a queue that it has not made: whose set of queues does it use?'

it 'hides a POSIX queue of the host, which keeps it' '
	sh -c "$afresh" "touch jobs" && trap remove_jobs EXIT &&
	box /bin/sh -c "$in_box" ls &&
	want_status 0 &&
	want_out "" &&
	run sh -c "$afresh" ls &&
	want_line jobs
' 'POSIX queues are kept in the same namespace as those of System V.'

it 'lets the box make a queue that goes with it' '
	snapshot &&
	box /bin/sh -c "$in_box" "touch mine && ls" &&
	want_status 0 &&
	want_out mine &&
	run sh -c "$afresh" "rm mine" &&
	differ 0 "$status" &&
	unchanged
' 'The queue of the box was found on the host: in which of the two was it made?'

finish
