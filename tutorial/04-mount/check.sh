#!/bin/sh
# check.sh: chapter 4, its own mounts and /proc.
# needs: root
. "$(dirname "$0")/../../tests/lib.sh"

# Chapter 10 refuses the box its mounts: whether one succeeds is not judged, only
# what comes of it.
#
# A scratch host, in which every mount is shared, as systemd has it: what a box
# leaks is seen there, and does no harm here.
scratch_host() {
	run unshare --mount --pid --fork --kill-child --mount-proc sh -c '
		mount --make-rshared / && exec "$@"' sh "$@"
}

box() {
	scratch_host "$WHALEBOX" "$@"
}

it 'puts the box in a mount namespace of its own' '
	scratch_host sh -c "
		readlink /proc/self/ns/mnt &&
		\"$WHALEBOX\" /bin/sh -c \"readlink /proc/self/ns/mnt\"" &&
	want_status 0 &&
	want_no_err &&
	same 2 "$(grep "^mnt:" out | sort -u | wc -l)"
' 'Which flag does the clone need? It goes into the row of chapters[].'

it 'shows the processes of the box in /proc, and no others' '
	box /bin/sh -c "set -- /proc/[0-9]*; echo \$\$ \$*" &&
	want_status 0 &&
	want_out "1 /proc/1"
' 'A /proc shows the processes of whoever mounted it: the host, so far. Which process has to mount another one, and where?'

it 'mounts a /proc from which nothing can be executed' '
	box /bin/sh -c "grep \" /proc \" /proc/self/mountinfo | tail -n 1" &&
	want_status 0 &&
	want_match " / /proc rw,nosuid,nodev,noexec[ ,]"
' 'The flags of the mount that mount_proc() makes: see mount(2).'

it 'leaves a host whose mounts are shared the mounts it had' '
	scratch_host sh -c "
		cat /proc/self/mountinfo >before &&
		\"$WHALEBOX\" /bin/sh -c \"mount -t tmpfs leak /tmp || true\" &&
		cat /proc/self/mountinfo >after" &&
	want_status 0 &&
	diff before after
' 'A copy of a shared mount is its peer, and what is mounted on one appears on the other. What has to be done before the first mount?'

it 'hears nothing of what the host mounts' '
	box /bin/cat /proc/self/mountinfo &&
	want_status 0 &&
	want_match " /proc " &&
	want_no_match " (shared|master):"
' 'A shared mount tells its peers and is told, a slave is only told. What is a mount that does neither, and is / alone to be one?'

it 'leaves nothing behind' '
	snapshot &&
	box /bin/sh -c "mount -t tmpfs leak /tmp || true" &&
	want_status 0 &&
	unchanged
' 'What is mounted in a mount namespace goes with its last process. What stays was mounted elsewhere.'

finish
