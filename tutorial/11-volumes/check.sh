#!/bin/sh
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# A root of this check's own: it lays traps in it.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" || exit 1
export WHALEBOX_ROOTFS="$root"

it 'gives the command an environment of its own' '
	run env PASSWORD=secret HOME=/elsewhere "$WHALEBOX" $unkept --name tester \
	    /bin/env && want_status 0 && want_no_match PASSWORD &&
	want_line HOME=/root && want_line HOSTNAME=tester &&
	want_match "^PATH=.*/bin" && want_match "^TERM=."
' 'The third argument of execve(2) is environ, an array that you may set.'

it 'sets the variables of -e, and takes the value from the caller if there is none' '
	run env OURS=here "$WHALEBOX" -e A=1 -e A=2 --env "B=x y=z" -e OURS \
	    -e NOBODYS -e HOME=/tmp /bin/env && want_status 0 &&
	want_line A=2 && want_no_line A=1 && want_line "B=x y=z" &&
	want_line OURS=here && want_no_match NOBODYS && want_line HOME=/tmp &&
	box -e =x /bin/env && want_status 125 && want_out "" && want_err "--env"
' 'A later -e of one name replaces the one before. getenv(3) knows the caller.'

it 'mounts a folder of the host, and leaves there what the box wrote' '
	mkdir data && echo old >data/old && snapshot &&
	box -v "$PWD/data:/made/for/it" /bin/sh -c \
	    "cat /made/for/it/old; echo new >/made/for/it/new" &&
	want_status 0 && want_out old && same new "$(cat data/new)" &&
	same "new old" "$(ls data | paste -sd " ")" &&
	box /bin/ls / && want_no_line made && unchanged
' 'open_tree(2) copies a mount, move_mount(2) attaches it. Is the target there?'

it 'mounts a single file, and a folder it makes for a missing source' '
	echo text >file &&
	box -v "$PWD/file:/etc/conf" -v "$PWD/new:/new" /bin/sh -c \
	    "cat /etc/conf; echo more >>/etc/conf; echo x >/new/x" &&
	want_status 0 && want_out text && same more "$(tail -n 1 file)" &&
	same x "$(cat new/x)" &&
	box -v "$PWD/no/such:/new" /bin/true && want_status 125 &&
	want_err "chapter 11: mkdir(" && want_err "hint: " &&
	[ ! -e no ]
' 'A file is mounted on a file. Of what kind is the source?'

it 'makes a volume read-only for the box, and not for the host' '
	mkdir data && echo old >data/old &&
	box -v "$PWD/data:/data:ro" /bin/sh -c "cat /data/old; rm /data/old" &&
	want_status 1 && want_out old && want_err "Read-only file system" &&
	same old "$(cat data/old)" && echo new >data/new
' 'mount_setattr(2), before the mount is attached.'

it 'shows owners in a volume as the rootfs has them' '
	mkdir data && touch data/ours &&
	box -v "$PWD/data:/data" /bin/sh -c \
	    "touch /data/theirs; stat -c %u /data/ours /data/theirs" &&
	want_status 0 && want_out "0${newline}0" &&
	same "$(stat -c %u data/ours)" "$(stat -c %u data/theirs)"
' 'idmap_folders() does it for whatever stands in trees[].'

it 'follows a link in the way of a target no further than the root of the box' '
	mkdir data victim && echo volume >data/mine && echo host >victim/theirs &&
	ln -s "../../../../../../../../../../..$PWD/victim" "$root/trap" &&
	ln -s ../../../etc "$root/up" &&
	box -v "$PWD/data:/trap" /bin/true && want_status 125 &&
	box -v "$PWD/data:/up" /bin/ls /etc && want_status 0 && want_out mine &&
	box -v "$PWD/data:/proc/self/cwd/x" /bin/true && want_status 125 &&
	same theirs "$(ls victim)" && rm "$root/trap" "$root/up"
' 'openat2(2): RESOLVE_IN_ROOT. Mount on the descriptor, not on the path.'

it 'refuses a volume that makes no sense' '
	for bad in data data: :/data data:relative data:/data:rx ""; do
		box -v "$bad" /bin/true && want_status 125 && want_out "" &&
		want_err "--volume" || exit
	done
' 'SRC:DST, then nothing, :ro or :rw; and DST begins with a slash.'

it 'starts in the folder of -w, and in none outside' '
	box -w /home /bin/pwd && want_out /home &&
	box --workdir /not/yet /bin/pwd && want_out /not/yet &&
	box -w /etc/passwd /bin/pwd && want_status 125 &&
	want_err "Not a directory" || exit
	for n in $(seq 3 20); do
		box -w "/proc/self/fd/$n" /bin/pwd && want_status 125 &&
		want_out "" || exit
	done
' 'Open it as you open a target, and fchdir(2).'

it 'becomes the user of -u, whose number is read strictly' '
	box -u 0:0 /bin/sh -c "id -u; id -g" && want_status 0 &&
	want_out "0${newline}0" &&
	for bad in 4294967296 4294967295 -1 1x "" 0x0 " 0" 0: :0 nobodyhere; do
		box -u "$bad" /bin/id -u && want_status 125 && want_out "" &&
		want_err "user" || exit
	done
' 'parse_number() refuses what strtoul(3) would bend into some number.'

it 'gives a user of the box no capability' '
	if is_root || grep -q "^$(id -un):" /etc/subuid; then
		box -u guest /bin/sh -c \
		    "id -u; id -g; echo \$HOME; grep CapEff /proc/self/status" &&
		want_status 0 &&
		want_out "1000${newline}1000${newline}/home/guest${newline}CapEff:	0000000000000000"
	else
		box -u guest /bin/true && want_status 125 && want_err "setresuid(1000)"
	fi
' 'Group first, then user; execve(2) does the rest. HOME is in /etc/passwd.'

it 'closes the root to writing with --read-only, and not the volumes' '
	mkdir data &&
	box --read-only -v "$PWD/data:/mnt" /bin/sh -c \
	    "echo x >/mnt/x; echo y >/dev/null; touch /y" &&
	want_status 1 && want_err "/y: Read-only file system" &&
	same x "$(cat data/x)"
' 'Remount "/" when all the targets are made.'

if ! is_root; then
	# In "/" something is always mounted, which is no matter to root.
	it 'shows a user the root of the host, which stays as it is' '
		box --rootfs / /bin/sh -c "ls /usr; echo x >/usr/new && cat /usr/new" &&
		want_status 0 && want_line bin && want_line x && [ ! -e /usr/new ]
	' 'A union of links and empty folders, and a union on each of these.'
fi

it 'keeps a PID 1 with --init that passes on signals and waits for orphans' '
	box --init /bin/sh -c "exit 7" && want_status 7 &&
	box --init /bin/sh -c "kill -KILL \$\$" && want_status 137 &&
	{ "$WHALEBOX" --init /bin/sh -c "echo \$\$; exec sleep 60" >pid & } &&
	soon test -s pid && differ 1 "$(cat pid)" && kill -TERM $! &&
	{ wait $! && ended=0 || ended=$?; } && same 143 "$ended" &&
	box --init /bin/sh -c "(sh -c \"sleep 0.1 &\"); sleep 1
	    grep -h ^State /proc/[0-9]*/status" && want_status 0 &&
	want_no_match zombie
' 'sigwaitinfo(2) in a loop, and waitpid(-1) whenever SIGCHLD is what came.'

finish
