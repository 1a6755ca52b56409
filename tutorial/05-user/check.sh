#!/bin/sh
# check.sh: chapter 5, its own users. As root, and as an ordinary user.
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

it 'puts the box in a user namespace of its own' '
	box /bin/readlink /proc/self/ns/user &&
	want_status 0 &&
	want_match "^user:\[[0-9]+\]$" &&
	differ "$(readlink /proc/self/ns/user)" "$out"
' 'Which flag does the clone need? An ordinary user may ask for it, and for the others along with it.'

it 'makes its command root in the box' '
	box /bin/sh -c "id -u; id -g; cat /proc/self/uid_map" &&
	want_status 0 &&
	want_match "^ *0 +[1-9][0-9]* +[0-9]+$" &&
	same "0 0" "$(head -n 2 out | tr "\n" " " | sed "s/ $//")"
' 'An id without a map is 65534. Who writes the maps, and what is the child to do once they are there?'

it 'gives root in the box capabilities' '
	box /bin/grep CapEff /proc/self/status &&
	want_status 0 &&
	want_match "^CapEff:.*[1-9a-f]"
' 'The first process of a user namespace has them all, and loses them at execve if it is nobody then.'

it 'gives root in the box no power over the kernel' '
	box /bin/sh -c "( : >>/proc/sys/kernel/core_pattern ) || echo refused" &&
	want_status 0 &&
	want_out refused
' 'The settings of the kernel belong to the id 0 of the host. Which id of the host is root in the box?'

it 'is somebody else on the host' '
	mkfifo wait &&
	{ "$WHALEBOX" /bin/cat <wait & } &&
	exec 9>wait &&
	soon pgrep -P $! -x cat &&
	owner=$(stat -c %u "/proc/$(pgrep -P $! -x cat)") &&
	exec 9>&- &&
	wait $! &&
	if is_root; then differ 0 "$owner"; else same "$(id -u)" "$owner"; fi
' 'Root in the box of root is to be an id that no account has; in yours, it is to be you.'

if is_root; then
	it 'keeps none of the groups of root' '
		run setpriv --groups 0,4,27 "$WHALEBOX" /bin/sh -c "id -G" &&
		want_status 0 &&
		want_out 0
	' 'The child has the groups of its parent until it drops them. By which call?'

	it 'maps ids of which none is that of an account' '
		box /bin/cat /proc/self/uid_map /proc/self/gid_map &&
		want_status 0 &&
		same 2 "$(awk "\$1 == 0 && \$2 >= 65536 && \$3 > 1" out | wc -l)"
	' 'The second number of a map is the first id on the host. With 0 there, nothing is changed.'

	it 'shares the users of the host, if told to' '
		box --userns host /bin/readlink /proc/self/ns/user &&
		want_status 0 &&
		want_out "$(readlink /proc/self/ns/user)"
	' 'The option takes the flag away; what else has to be left undone then?'
else
	it 'maps root in the box to its caller' '
		box /bin/sh -c "head -n 1 /proc/self/uid_map; head -n 1 /proc/self/gid_map" &&
		want_status 0 &&
		same "0 $(id -u) 1 0 $(id -g) 1" "$(echo $out)"
	' 'An ordinary user may map one id, its own one, and one group.'

	it 'lets no box leave a group, unless it has groups of its own' '
		box /bin/cat /proc/self/gid_map /proc/self/setgroups &&
		want_status 0 &&
		if [ "$(wc -l <out)" -eq 2 ]; then
			want_line deny
		else
			want_line allow
		fi
	' 'A file may shut out one group and let all others in. What has to be denied before gid_map may be written?'

	it 'refuses to share the users of the host' '
		box --userns host /bin/true &&
		want_status 125 &&
		want_out "" &&
		want_err "Operation not permitted"
	' 'Without a user namespace, the other namespaces take root: it must not go on without them.'
fi

it 'leaves nothing behind' '
	snapshot &&
	box /bin/true &&
	want_status 0 &&
	unchanged
' 'A namespace ends with its last process, or the last open descriptor of it.'

finish
