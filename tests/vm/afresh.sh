#!/bin/sh
# afresh [USER [COMMAND...]]: in the VM, a shell, or COMMAND, in namespaces of its
# own: what it leaves running or mounted ends with it. USER is root, unless told,
# or learner. In it a reader, and the tests, run the experiments of a chapter. Number
# 1 in there is a process of its own, which adopts orphans, as on any machine.

user=${1:-root}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- bash -l
[ "$user" = root ] ||
	set -- setpriv --reuid "$user" --regid "$user" --clear-groups \
	    --inh-caps=-all env HOME="/home/$user" USER="$user" \
	    WHALEBOX_ROOTFS="/home/$user/rootfs" "$@"
exec unshare --mount --uts --ipc --net --pid --fork --kill-child --mount-proc \
    sh -c 'mount --make-rshared / && ip link set lo up && "$@"; exit' sh "$@"
