#!/bin/sh
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# A root of this check's own: a box that writes through to it does no harm.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" || exit 1
export WHALEBOX_ROOTFS="$root"

# Root takes aufs only with --userns host, and a user where it was loaded so.
has() {
	grep -q "	$1\$" /proc/filesystems
}
! is_root && users= || users='--userns host'
host_users=
if has aufs && ! has overlay; then
	host_users=$users
	box() {
		# shellcheck disable=SC2086 # two words, or none
		run "$WHALEBOX" $host_users "$@"
	}
fi

# The rootfs to the byte, with owners, modes and times.
checksum() {
	tar -C "$root" -cf - . | sha256sum
}

# begin COMMAND: starts a box that runs it and then waits, with records in a
# folder of the test's own.  end lets it end.
begin() {
	# shellcheck disable=SC2086 # two words, or none
	export WHALEBOX_HOME="$PWD/home" &&
	mkfifo key && exec 9<>key &&
	{ "$WHALEBOX" $host_users ${unkept:+--rm} --name "waits$$" /bin/sh -c \
	    "$1; echo ready; read -r line" <key >waiting & } &&
	waiting=$! &&
	soon grep -q ready waiting
}

end() {
	echo >&9 && wait
}

it 'leaves the rootfs as it is, whatever the box does' '
	before=$(checksum) &&
	box /bin/sh -c "echo new >/new; echo more >>/etc/passwd; rm /etc/group
	    chmod 600 /etc/profile; cat /new; tail -n 1 /etc/passwd; ls /etc" &&
	want_status 0 && want_line new && want_line more &&
	want_line passwd && want_no_line group && same "$before" "$(checksum)"
' 'Which layer of an overlay is written, and which never?'

it 'starts every box from the rootfs' '
	box /bin/sh -c "echo mine >/note; rm -r /home" && want_status 0 &&
	box /bin/ls / && want_status 0 && want_no_line note && want_line home
' 'Where did the first box write, and who else has that folder?'

it 'lets two boxes share a rootfs without seeing each other' '
	begin "echo one >/who" &&
	box /bin/sh -c "cat /who; echo two >/who; cat /who" &&
	want_out two && want_err "/who" && end &&
	same "" "$(ls "$root" | grep who)"
' 'Two boxes need two upper folders, and two work folders.'

it 'keeps what the box wrote in its upper layer: copies, and whiteouts' '
	begin "echo mine >/note; echo more >>/etc/passwd; rm /etc/group" &&
	upper=$(echo home/containers/*/upper) &&
	same mine "$(cat "$upper/note")" &&
	same more "$(tail -n 1 "$upper/etc/passwd")" &&
	same "$(cat "$root/etc/passwd")" "$(sed "\$d" "$upper/etc/passwd")" &&
	if [ -e "$upper/etc/.wh.group" ]; then
		same "passwd" "$(ls "$upper/etc" | paste -sd " ")"
	else
		same "character special file 0:0" \
		    "$(stat -c "%F %t:%T" "$upper/etc/group")" &&
		same "group passwd" "$(ls "$upper/etc" | paste -sd " ")"
	fi && end
' 'The folder is containers/NAME/upper in WHALEBOX_HOME; see overlay in the kernel.'

it 'has a hosts, hostname and resolv.conf of its own, in no layer that it keeps' '
	{ cat /etc/resolv.conf || true; } 2>cat.err >resolv.conf &&
	before=$(checksum) &&
	begin "true" && same "" "$(ls home/containers/*/upper)" && end &&
	box $unkept --name tester /bin/cat /etc/hostname && want_status 0 &&
	same tester "$out" &&
	box $unkept --name tester2 /bin/sh -c "cat /etc/hosts" && want_status 0 &&
	want_match "^127.0.1.1.*tester2\$" && want_match "^127.0.0.1.*localhost\$" &&
	box /bin/cat /etc/resolv.conf && want_status 0 && cmp out resolv.conf &&
	same "$before" "$(checksum)"
' 'A third layer, filled anew for each box, between upper and the rootfs.'

it 'shows the box a single mount in the place of its layers' '
	box /bin/sh -c "grep -c \" / \" /proc/mounts; cut -d \" \" -f 3 /proc/mounts" &&
	want_status 0 && want_line 1 && want_match "^(overlay|aufs)\$"
' 'What was mounted to stack the layers has to go when the old root does.'

it 'takes paths that overlay would read as options' '
	mkdir "a:b,c" && cp -R "$root" "ro:o,t" &&
	run env WHALEBOX_HOME="$PWD/a:b,c" "$WHALEBOX" --rootfs "ro:o,t" \
	    /bin/sh -c "echo ok >/ok; cat /ok" &&
	want_status 0 && want_out ok && same "" "$(ls "ro:o,t/ok" 2>ls.err)"
' 'Mount the folders under plain names first, and name those.'

it 'refuses a storage that stacks nothing' '
	box --storage ramfs /bin/true && want_status 125 && want_out "" &&
	want_err "--storage: not \"ramfs\"" && want_err "hint: overlay or aufs"
' 'mount(2) takes any type that the kernel has, and most show one folder.'

if ! has aufs; then
	it 'says so where the kernel has no aufs' '
		box $users --storage aufs /bin/true && want_status 125 &&
		want_err "mount(aufs" && want_err "other --storage"
	' 'br=upper=rw:init=ro+wh:lower=ro+wh'
elif ! is_root && ! grep -qs '^[1-9Y]' /sys/module/aufs/parameters/allow_userns; then
	echo '# aufs is for root here: modprobe aufs allow_userns=1'
else
	it 'stacks the layers with aufs as well' '
		before=$(checksum) &&
		box $users --storage aufs /bin/sh -c "rm /etc/group; ls /etc
		    echo more >>/etc/passwd && tail -n 1 /etc/passwd" &&
		want_status 0 && want_no_line group && want_line more &&
		same "$before" "$(checksum)"
	' 'br=upper=rw:init=ro+wh:lower=ro+wh'
fi

if is_root; then
	it 'refuses aufs where root of the box is somebody else' '
		box --storage aufs /bin/true && want_status 125 && want_out "" &&
		want_err "aufs" && want_err "hint: --userns host"
	' 'aufs takes no notice of a mount that shows files under other ids, and writes under those of the box: refuse it, and name the way out.'
fi

it 'refuses a second box of a name that is taken' '
	begin "true" && box $unkept --name "waits$$" /bin/true && want_status 125 &&
	want_err "a box named waits$$ is" && want_err "hint: " && end
' 'mkdir(2) makes a folder once: what does it say the second time?'

it 'removes all that the box left, whoever owns it there' '
	snapshot &&
	box /bin/sh -c "mkdir -p /d/e/f && touch /d/e/f/g && ln -s /etc /d/link &&
	    chown -R 1000:1000 /d; chmod 0 /d/e; ls /" &&
	want_status 0 && want_line d && unchanged &&
	same "" "$(ls -A "$WHALEBOX_HOME/containers")"
' 'Some files belong to ids that only root of the box can touch: who removes them?'

it 'removes at the next run what a killed one left' '
	begin "true" && kill -KILL "$waiting" &&
	{ wait "$waiting" || true; } 2>wait.err &&
	swept() {
		"$WHALEBOX" /bin/true && [ -z "$(ls -A home/containers)" ]
	} &&
	differ "" "$(ls -A home/containers)" && soon swept
' 'A lock dies with the process that holds it: take one, and look for the lockless.'

finish
