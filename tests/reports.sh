#!/bin/sh
# needs: root
# reports.sh: what users of other runtimes have reported as faults, tried here.
. "$(dirname "$0")/lib.sh"

# as_user COMMAND...: as an ordinary user.
as_user() {
	run setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all \
	    env WHALEBOX_HOME="$PWD/home" "$@"
}

# For a user's boxes.
home() {
	mkdir home && chmod 711 "$scratch" . && chown 1000:1000 home
}

# running ARGUMENT...: a box named one$$ that waits, until the test ends.
running() {
	trap '"$WHALEBOX" rm -f "one$$" >last 2>&1' EXIT
	box -d --name "one$$" "$@" /bin/sleep 1000 && want_status 0
}

it 'opens pipes as /dev/stdin and the like, and no FIFO' '
	running && mkfifo -m 600 fifo &&
	for way in "" "exec one$$"; do
		echo word | "$WHALEBOX" $way /bin/cat /dev/stdin >read 2>&1 &&
		same word "$(cat read)" &&
		"$WHALEBOX" $way /bin/sh -c "echo out >/dev/stdout; echo err >/dev/stderr" \
		    2>&1 | cat >both && same "out err" "$(paste -sd " " both)" || exit
	done &&
	{ cat fifo >read & } && "$WHALEBOX" /bin/true >fifo && wait &&
	same 600 "$(stat -c %a fifo)"
'

it 'shows the cgroup of the box, or none, with the network of the host as well' '
	box --network host /bin/sh -c "ls /sys/fs/cgroup | grep -c -e slice -e whalebox
	    cat /sys/fs/cgroup/cgroup.procs" && want_line 0 && want_line 1 &&
	box --network host /bin/sh -c ": >/sys/fs/cgroup/cgroup.procs" &&
	differ 0 "$status" && want_err "Read-only"
'

it 'names the mount that keeps a folder from being a volume' '
	mkdir -p data/deep/er data2 && run unshare --mount sh -c "
		mount -t proc proc data/deep/er && mount -t proc proc data2 &&
		\"\$WHALEBOX\" -v \"\$PWD/data:/data\" /bin/true" && want_status 125 &&
	want_err "mount_setattr($PWD/data/deep/er, MOUNT_ATTR_IDMAP)" &&
	want_err "hint: this file system cannot show files under other ids" &&
	run unshare --mount sh -c "mount -t proc proc data/deep/er &&
	    \"\$WHALEBOX\" --userns host -v \"\$PWD/data:/data\" /bin/ls /data/deep/er/self/exe" &&
	want_status 0
'

# Where /proc writes a blank as "\040".
it '... whatever that is called' '
	odd=$(printf "a b\tc\134d\ne") && mkdir -p "data/$odd" && export odd &&
	run unshare --mount sh -c "mount -t proc proc \"data/\$odd\" &&
	    \"\$WHALEBOX\" -v \"\$PWD/data:/data\" /bin/true" && want_status 125 &&
	want_err "mount_setattr($PWD/data/a b\\x09c\\d\\x0ae, MOUNT_ATTR_IDMAP)"
'

it 'has devices as volumes' '
	box -v /dev/zero:/zero -v /dev/null:/dev/mynull /bin/sh -c \
	    "head -c 3 /zero | wc -c; echo gone >/dev/mynull; stat -c %F /zero" &&
	want_status 0 && want_no_err &&
	want_out "3${newline}character special file"
'

it 'refuses a /proc of other processes' '
	home && for unshare in "unshare --pid --fork" "unshare --user --map-root-user --pid --fork"; do
		run $unshare "$WHALEBOX" /bin/true && want_status 125 && want_out "" &&
		want_err "readlink(/proc/self): No such process" &&
		want_err "hint: /proc is not that of these processes, as after unshare --pid" ||
			exit
	done
'

# The numbers in their records are other processes' here.
it 'acts on no box of another PID namespace, but on one in which nobody can live' '
	apart="unshare --mount --pid --fork --kill-child --mount-proc" &&
	running && trap "\"$WHALEBOX\" rm -f one$$ >last 2>&1; rm -r \"$WHALEBOX_HOME/containers/dead$$\"" EXIT &&
	run $apart sh -c "\"\$WHALEBOX\" -d --name dead$$ /bin/sleep 1000
	    \"\$WHALEBOX\" --name over$$ /bin/sh -c \"echo >>/file; wc -l </file\"" &&
	want_status 0 && box ps -a && want_match "^dead$$ +- +dead " &&
	for command in start stop rm "rm -f"; do
		box $command "dead$$" && want_status 125 && want_out "" &&
		want_err "it cannot be told from here whether somebody lives in dead$$" &&
		want_err "hint: do it where that was started, or, if all there has ended: rm -r /" || exit
	done &&
	box start "over$$" && want_status 0 && logged() { box logs "over$$" && [ "$out" = 2 ]; } &&
	soon logged && run $apart "$WHALEBOX" wait "over$$" && want_out 0 &&
	run $apart "$WHALEBOX" rm "over$$" && want_status 0 && want_no_err && box ps &&
	want_match "^one$$ +[0-9]+ +running " && run $apart "$WHALEBOX" ps &&
	want_match "^one$$ +- +running " && run $apart "$WHALEBOX" inspect one$$ status &&
	want_out running && for command in exec stop kill wait "rm -f"; do
		run $apart "$WHALEBOX" $command one$$ $([ "$command" != exec ] || echo /bin/true) &&
		want_status 125 && want_out "" && want_err "one$$ runs in another PID namespace" || exit
	done && box exec "one$$" /bin/echo lives && want_out lives
'

it 'tells the truth of a box whose init /proc hides' '
	home && cat >look <<-"END" &&
		mount -o remount,hidepid=2 /proc && exec setpriv --reuid 1000 --regid 1000 \
		    --clear-groups --inh-caps=-all env WHALEBOX_HOME="$PWD/home" sh -c "
			set -e
			\"\$WHALEBOX\" -d --name plain /bin/sleep 1000
			\"\$WHALEBOX\" exec plain /bin/echo visited
			\"\$WHALEBOX\" -d --name one --init /bin/sleep 1000
			\"\$WHALEBOX\" ps -q
			\"\$WHALEBOX\" exec one /bin/true || echo refused
			\"\$WHALEBOX\" stop -t 0 one
			\"\$WHALEBOX\" inspect one status
			\"\$WHALEBOX\" rm -f one plain"
	END
	run unshare --mount --pid --fork --mount-proc sh look && want_status 0 &&
	want_line visited && want_line refused && want_line exited &&
	want_err "/proc hides the init of one" && want_err "hint: mount -o remount,hidepid=0 /proc"
'

# In "/" something is always mounted, and what is in these mounts stays out.
it 'shows a user the root of the host, which stays as it is' '
	home && as_user "$WHALEBOX" --rootfs / /bin/sh -c "id -u
	    echo x >/usr/new && echo y >/etc/new && echo z >/tmp/new && echo written
	    cat /etc/hostname /usr/new; ls -d /proc/self/exe" &&
	want_status 0 && want_no_err && want_line 0 && want_line written && want_line x &&
	want_no_line "$(hostname)" && [ ! -e /usr/new ] && [ ! -e /etc/new ] &&
	[ ! -e /tmp/new ] && same "" "$(ls -A home/containers)" &&
	as_user "$WHALEBOX" --read-only --rootfs / /bin/sh -c "echo x >/usr/new" &&
	differ 0 "$status" && want_err "Read-only" &&
	as_user "$WHALEBOX" --name "kept$$" --rootfs / /bin/sh -c "cat /etc/new; echo kept >/etc/new" &&
	as_user "$WHALEBOX" start "kept$$" && want_status 0 &&
	logged() {
		as_user "$WHALEBOX" logs "kept$$" && same kept "$out"
	} && soon logged && as_user "$WHALEBOX" rm -f "kept$$" && want_status 0 &&
	same "" "$(ls -A home/containers)"
'

it 'shows as it is, read-only, what has a mount further down' '
	home && cp -R "$WHALEBOX_ROOTFS" tree && mkdir -p tree/a/b tree/c && echo word >tree/a/file &&
	chown -R 1000:1000 tree && cat >split <<-"END" &&
		mount --bind tree tree && mount -t tmpfs tmpfs tree/a/b && mount -t tmpfs tmpfs tree/c &&
		: >tree/c/hidden && exec "$@"
	END
	as_user() {
		run unshare --mount sh split setpriv --reuid 1000 --regid 1000 --clear-groups \
		    --inh-caps=-all env WHALEBOX_HOME="$PWD/home" "$@"
	} &&
	as_user "$WHALEBOX" --rootfs tree /bin/sh -c "cat /a/file; ls /c; echo x >/a/file
	    echo x >/etc/passwd && echo written" && want_status 0 &&
	want_out "word${newline}written" && want_err "Read-only"
'

it 'lets all users of the box ping, and listen on any port' '
	box -u nobody /bin/sh -c "busybox httpd -p 127.0.0.1:80 -h /etc &&
	    cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range" &&
	want_status 0 && want_no_err && want_out "0${newline}0	65535" &&
	home && as_user "$WHALEBOX" /bin/sh -c "cat /proc/sys/net/ipv4/ping_group_range" &&
	want_status 0 && want_match "^0	[0-9]+\$" &&
	before=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start) &&
	box --network host /bin/true && want_status 0 &&
	same "$before" "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
'

# In the host's /proc the kernel keeps a name for each stack that lives.
it 'sets up its stack in a /proc of its own' '
	run "$WHALEBOX" --explain /bin/true && want_status 0 &&
	own=$(grep -n "mount(proc, proc)" err | head -n 1 | cut -d: -f1) &&
	setting=$(grep -n "write(/proc/sys/net" err | head -n 1 | cut -d: -f1) &&
	{ test "$own" -lt "$setting" || wrong "first its own /proc" "$(grep /proc err)"; }
'

it 'knows with the network of the host whom the host knows' '
	echo "192.0.2.7 known.example" >hosts && run unshare --mount sh -c "
		mount --bind hosts /etc/hosts &&
		\"\$WHALEBOX\" --network host --hostname mine /bin/cat /etc/hosts &&
		echo --- && \"\$WHALEBOX\" /bin/cat /etc/hosts" && want_status 0 &&
	same 1 "$(grep -c known out)" && want_match "^127.0.1.1.mine\$" &&
	same "192.0.2.7 known.example" "$(head -n 1 out)"
'

# The links that a root file system may have as /etc, and one that is none.
it 'keeps an /etc that is a symbolic link' '
	cp -R "$WHALEBOX_ROOTFS" tree && mkdir -p tree/a/b && mv tree/etc tree/a/b/etc &&
	for link in a/b/etc /a/b/etc ../../a/b/etc; do
		ln -sfn "$link" tree/etc &&
		box --rootfs tree --hostname mine /bin/sh -c \
		    "readlink /etc; cat /etc/hostname; ls /a/b/etc/passwd; stat -c %a /a" &&
		want_status 0 &&
		want_out "$link${newline}mine${newline}/a/b/etc/passwd${newline}755" || exit
	done &&
	ln -sfn nowhere tree/etc && box --rootfs tree /bin/readlink /etc &&
	want_status 0 && want_out nowhere && [ ! -e tree/nowhere ]
'

it 'says that a script has the line ends of Windows' '
	mkdir data && printf "#!/bin/sh\r\necho hi\r\n" >data/script && chmod +x data/script &&
	box -v "$PWD/data:/data" /data/script && want_status 127 &&
	want_err "hint: its lines end in a carriage return, and /bin/sh\\x0d is not there: sed -i"
'

# on_bare CHANGE: whalebox, whose host is the rootfs and a /dev of its own, in
# which something was changed.
on_bare() {
	cat >bare <<-'END'
		mkdir host && mount -t tmpfs tmpfs host &&
		cp -R "${WHALEBOX_ROOTFS:?}"/. host && cp -R "$WHALEBOX_ROOTFS" host/rootfs &&
		cp "$WHALEBOX" host/whalebox && cd host &&
		mkdir -p dev proc sys tmp var/lib old && mount --rbind /sys sys &&
		for device in null zero full random urandom tty; do
			: >"dev/$device" && mount --bind "/dev/$device" "dev/$device" || exit
		done && eval "$1" && pivot_root . old && umount -l old &&
		mount -t proc proc proc && unset WHALEBOX_HOME &&
		exec /whalebox $2 --rootfs /rootfs /bin/echo box
	END
	# Linux shows tmpfs under other ids from 6.3 on.
	on_bare_users=
	uname -r | awk -F. '{ exit $1 * 100 + $2 < 603 }' ||
		on_bare_users='--userns host'
	run unshare --mount --pid --fork sh bare "$1" "$on_bare_users"
}

it 'says what a host lacks: /tmp, or a device' '
	on_bare : && want_status 0 && want_out box && want_no_err && rmdir host &&
	on_bare "rmdir tmp" && want_status 125 && want_out "" &&
	want_err "(tmpfs, /tmp): No such file or directory" &&
	want_err "hint: the host has no folder /tmp: mkdir -m 1777 /tmp" && rmdir host &&
	on_bare "umount dev/full; rm dev/full" && want_status 125 && want_out "" &&
	want_err "open_tree(/dev/full" && want_err "hint: the host lacks this device: mknod"
'

it 'says that there are no user namespaces in a chroot' '
	cat >chroots <<-"END" &&
		mkdir host && cp -R "${WHALEBOX_ROOTFS:?}"/. host && cp "$WHALEBOX" host/whalebox &&
		mkdir -p host/proc host/dev && mount -t proc proc host/proc &&
		: >host/dev/null && mount --bind /dev/null host/dev/null && unset WHALEBOX_HOME &&
		chroot host /whalebox --rootfs / /bin/true || chroot host /whalebox --userns host --rootfs / /bin/true
	END
	run unshare --mount sh chroots && want_status 125 &&
	want_err "clone3" && want_err "hint: in a chroot there are no user namespaces" &&
	want_err "mount(/, MS_REC|MS_PRIVATE): Invalid argument" &&
	want_err "hint: the root is no mount, as in a chroot"
'

if [ -n "$(mounts_of cgroup2)" ]; then
	# The first one is held up where it has found the folder of all boxes, and not
	# yet made its own; the second one ends, and would remove that folder.
	it 'has a cgroup though the last box before it ends just then' '
		top=$(mounts_of cgroup2 | tail -n 1) && within=$top/one$$ && export top within &&
		mkdir "$within" && trap "rmdir \"\$within\"" EXIT && mkfifo go &&
		cat >look <<-"END" &&
			mount --bind "$within" "$top" && exec 3<>go
			"$WHALEBOX" --name "b$$" /bin/sh -c "read line" <&3 & second=$!
			until [ -d "$top/whalebox/b$$" ]; do kill -0 $second || exit; done
			strace -f -qq -o trace -e trace=mkdirat -e inject=mkdirat:delay_enter=1000000 \
			    "$WHALEBOX" /bin/readlink /proc/self/ns/cgroup & first=$!
			while flock -n "$top/whalebox" true; do kill -0 $first || exit; done
			echo >&3
			wait $second $first
		END
		run unshare --mount sh look && want_status 0 && want_no_err &&
		want_match "^cgroup:" &&
		! grep -F "$(readlink /proc/self/ns/cgroup)" out && [ ! -d "$within/whalebox" ]
	'

	# A tmpfs hides the usual one; the last of the others is read-only.
	it 'finds a cgroup v2 that can be seen and written to, whatever it is called' '
		top=$(mounts_of cgroup2 | tail -n 1) && odd=$(printf "a b\tc\134d\ne") &&
		export top odd name="one$$" && within="$top/$name b\\c" && export within &&
		mkdir "$within" && trap "rmdir \"\$within\"" EXIT &&
		cat >look <<-"END" &&
			mkdir "$odd" last && mount --bind "$within" "$odd" &&
			mount --bind "$within" last && mount -o remount,bind,ro last &&
			mount -t tmpfs hides "$top" && "$WHALEBOX" doctor | grep "cgroup v2 .*, at"
			"$WHALEBOX" -d --name "$name" /bin/sleep 1000 &&
			grep "^0::" "/proc/$("$WHALEBOX" inspect "$name" pid)/cgroup"
			"$WHALEBOX" exec "$name" /bin/cat /sys/fs/cgroup/cgroup.procs
			"$WHALEBOX" rm -f "$name"
		END
		run unshare --mount sh look && want_status 0 && want_no_err &&
		want_match "^0::.*/$name b\\\\c/whalebox/$name\$" && want_line 1 &&
		want_match "at $PWD/a b\\\\x09c\\\\d\\\\x0ae" && [ ! -d "$within/whalebox" ]
	'
fi

if has_cgroup2; then
	it 'shows the limit of a box that has the network of the host' '
		box --network host -m 64m /bin/cat /sys/fs/cgroup/memory.max &&
		want_status 0 && want_out 67108864
	'

	it 'says so when a visitor is killed for want of memory' '
		running -m 32m && box exec "one$$" /bin/sh -c "exec tail /dev/zero" &&
		want_status 137 && want_err "out of memory at 33554432 bytes" &&
		box exec "one$$" /bin/sh -c "kill -KILL \$\$" && want_status 137 &&
		want_no_err
	'
fi

finish
