#!/bin/sh
# check.sh: chapter 4, its own mounts and /proc.
# needs: root
. "$(dirname "$0")/../../tests/lib.sh"

it 'is in a mount namespace of its own' '
	box /bin/sh -c "readlink /proc/self/ns/mnt" &&
	want_status 0 && want_match "^mnt:" &&
	differ "$(readlink /proc/self/ns/mnt)" "$out"
' 'Which flag of clone gives a process a mount table of its own? It goes into
# the row of chapters[].'

it 'shows the processes of the box in /proc, and no others' '
	box /bin/sh -c "set -- /proc/[0-9]*; echo \$\$ \$*" &&
	want_status 0 &&
	want_out "1 /proc/1"
' 'A /proc shows the processes of whoever mounted it: the host, so far. Who has
# to mount another one, in which process, and where?'

it 'mounts /proc with no devices and nothing to execute in it' '
	box /bin/sh -c "grep \" /proc \" /proc/self/mountinfo | tail -n 1" &&
	want_status 0 &&
	want_match " / /proc rw,nosuid,nodev,noexec"
' 'mount(2) takes flags, and this function is given some by its caller.'

it 'can mount, and the mount is there in the box' '
	box /bin/sh -c "mount -t tmpfs box /tmp && grep \" /tmp \" /proc/mounts" &&
	want_status 0 &&
	want_match "^box /tmp tmpfs "
' 'Root in the box owns its mount table. Is the table its own?'

it 'leaves a host whose mounts are shared as it was' '
	apart timeout "$LIMIT" sh -c "
		cat /proc/self/mountinfo >before &&
		\"$WHALEBOX\" /bin/mount -t tmpfs leak /tmp &&
		cat /proc/self/mountinfo >after" &&
	diff before after
' 'A copy of a shared mount is its peer, and what is mounted on one appears on
# the other. What has to be done before the first mount, and to how many?'

it 'hears nothing of what the host mounts' '
	apart timeout "$LIMIT" "$WHALEBOX" /bin/cat /proc/self/mountinfo >out &&
	want_match " /proc " &&
	want_no_match " (shared|master):"
' 'Of the four ways for a mount to behave, one neither sends nor receives.'

it 'leaves the host its /proc' '
	apart timeout "$LIMIT" sh -c "
		\"$WHALEBOX\" /bin/true && readlink /proc/self && cat /proc/\$\$/comm
	" >out &&
	want_line sh
' 'The /proc of the box lies over that of the host: was it mounted where mounts
# are still shared?'

it 'leaves nothing behind' '
	snapshot &&
	box /bin/sh -c "mount -t tmpfs box /tmp" &&
	want_status 0 &&
	unchanged
' 'What is mounted in a mount namespace goes when its last process does. What
# stayed was not mounted in there.'

finish
