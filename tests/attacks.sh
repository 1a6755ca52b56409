#!/bin/sh
# needs:
# attacks.sh: what has broken out of other boxes does not break out of this one.
#
# Each attack is made twice: on the box, where it has to fail, and on something
# weaker, where it has to succeed, or the test would show nothing.  That is the
# same whalebox without chapter 10, or an earlier stage of it, or namespaces
# and a chroot, as a shell can have them.  `make stages probes` makes all that.
. "$(dirname "$0")/lib.sh"

# A root of these tests' own, with their programs in it.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" || exit 1
cp "$project"/build/tests/* "$root" || exit 1
export WHALEBOX_ROOTFS="$root"

# Where a box's root may be the host's, the attack has more to attack with.
strong=
is_root && strong='--userns host'

refused='Operation not permitted'
missing='Function not implemented'

# unlocked ARGUMENT...: a box without chapter 10.
unlocked() {
	run "$project/build/whalebox-no-LOCKS" "$@"
}

# naive COMMAND...: a box as many make it: namespaces, a /proc and chroot.
naive() {
	run unshare --user --map-root-user --mount --pid --fork --kill-child \
	    sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' \
	    "$root" "$@"
}

# want_each COUNT ERE: it printed so many lines, and all of them are like this.
want_each() {
	same "$1" "$(wc -l <out)" && same "$1" "$(grep -Ec "^($2)$" out)"
}
success='[0-9]+'        # what a call returns then

# ---- What the box gets from the host -----------------------------------------

it 'gets no descriptor but the three standard ones' '
	mkdir host && echo secret >host/letter &&
	exec 5<host 6<host 7<host/letter 8>file 9<>file &&
	attack="ls /proc/self/fd; cat /proc/self/fd/5/letter" &&
	naive /bin/sh -c "$attack" && want_status 0 &&
	want_line 9 && want_line secret &&
	box /bin/sh -c "$attack" && want_status 1 &&
	want_out "0${newline}1${newline}2${newline}3"
'

it 'gets no working folder of the host' '
	echo secret >letter && mkdir folder && cd folder &&
	run unshare --user --map-root-user nsenter --root="$root" --wd=. \
	    /bin/cat ../letter && want_out secret &&
	box /bin/cat ../letter && want_status 1 && want_out "" &&
	box /bin/pwd && want_out /
'

# ".." of a folder is the one above it, on the host, whatever the root is.  The
# third is one that cannot be read, but that leads there as well.
it 'gets no folder of the host as a standard stream' '
	mkdir folder && echo secret >letter &&
	attack="for n in 0 1 2; do cat /proc/self/fd/\$n/../letter; done" &&
	naive /bin/sh -c "$attack" <folder && want_line secret &&
	onpath=$project/build/tests/onpath &&
	run "$onpath" 0 folder /bin/sh -c "cat /proc/self/fd/0/../letter" &&
	want_out secret &&
	run "$WHALEBOX" /bin/sh -c "$attack" <folder && want_status 125 &&
	want_out "" && want_err "standard input is a folder" &&
	want_err "hint: " && for n in 0 1 2; do
		run "$onpath" $n folder "$WHALEBOX" /bin/sh -c "$attack" &&
		want_status 125 && want_out "" || exit
	done
'

# Nobody can write to a program that runs, but whoever holds its /proc/N/exe open
# can wait for its end.  The victim is a copy, which no other process runs.  And
# a script of /proc/self/exe is run by whalebox, in the box.
it 'gets no way to overwrite the whalebox that made it' '
	cat >"$root/overwrite" <<-"END" &&
		#!/bin/sh
		for exe in /proc/[0-9]*/exe; do
			echo looked
			cmp -s "$0.copy" "$exe" && exec 9<"$exe" || continue
			for try in $(seq 200); do
				sleep 0.02
				(echo overwritten >/proc/self/fd/9) && exit
			done >tries 2>&1 &
		done
	END
	echo "#!/proc/self/exe" >"$root/itself" &&
	chmod 755 "$root/overwrite" "$root/itself" &&
	{ cat "$WHALEBOX" && echo victim; } >victim && chmod 755 victim &&
	cp victim "$root/overwrite.copy" &&
	run ./victim $strong /overwrite && want_status 0 && want_line looked &&
	run ./victim $strong /itself && want_status 125 &&
	cmp victim "$root/overwrite.copy" &&
	{ cat "$project/build/whalebox-0" && echo victim; } >victim &&
	cp victim "$root/overwrite.copy" &&
	run ./victim "$root/overwrite" && want_line looked &&
	soon grep -q "^overwritten" victim
'

# Keys, asked for and given, and a keyring, which no namespace divides.
it 'gets no key, and gives none' '
	own_keyring=-2 &&
	attack="/call add_key user whalebox secret 6 $own_keyring
		/call keyctl 0 $own_keyring 1" &&
	unlocked /bin/sh -c "$attack" && want_each 2 "$success" &&
	box /bin/sh -c "$attack" && want_each 2 "$refused" &&
	unlocked /call request_key user whalebox 0 0 && differ "$refused" "$out" &&
	box /call request_key user whalebox 0 0 && want_out "$refused"
'

# What it is told to mount, and who it makes its box for, is up to its caller.
if is_root; then
	it 'gives nobody its rights by being set-user-ID' '
		guest="setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all" &&
		chmod 711 "$scratch" . &&
		cp "$root/call" call && cp "$WHALEBOX" victim &&
		for mode in 4755 2755 6755; do
			chmod $mode call victim && run $guest ./call geteuid &&
			case $mode in
			2755) run $guest ./call getegid ;;
			esac && want_out 0 && run $guest ./victim /bin/true &&
			want_status 125 && want_err "set-user-ID" &&
			want_err "hint: chmod u-s" || exit
		done && run $guest ./victim --version && want_status 125 &&
		want_out ""
	'
fi

# Started by somebody who has inheritable and ambient capabilities.
if is_root; then
	it 'inherits no capability' '
		set -- setpriv --inh-caps +net_admin --ambient-caps +net_admin &&
		run "$@" "$project/build/whalebox-no-LOCKS" $strong \
		    /bin/grep Cap /proc/self/status &&
		want_match "^CapInh:.*[1-9a-f]" && want_match "^CapAmb:.*[1-9a-f]" &&
		run "$@" "$WHALEBOX" $strong /bin/grep Cap /proc/self/status &&
		want_line "CapInh:	0000000000000000" &&
		want_line "CapAmb:	0000000000000000"
	'
fi

it 'shows no abstract socket of the host' '
	mkfifo key && exec 9<>key &&
	{ timeout "$LIMIT" "$root/listen" attacks <key >listening & } &&
	soon test -s listening &&
	box /bin/cat /proc/net/unix && want_status 0 &&
	want_no_match "@attacks" &&
	unlocked --network host /bin/cat /proc/net/unix &&
	want_match "@attacks" && echo >&9 && wait
'

# ---- What a stranger's root leads to -----------------------------------------

# By a whole path, and by a way up.
it 'mounts nothing where links in its root lead' '
	mkdir host host/victim tree && cp -R "$root/bin" tree &&
	for link in proc:/etc "sys:$PWD/host/victim" dev:../host/victim; do
		name=${link%%:*} && rm -rf tree/proc tree/sys tree/dev &&
		ln -s "${link#*:}" "tree/$name" && ls -l /etc host/victim >before &&
		run unshare --user --map-root-user --mount sh -c \
		    "mount -t tmpfs none \"\$0\" && touch \"\$0/x\" && ls /etc host/victim" \
		    "tree/$name" && want_line x &&
		cat /proc/self/mountinfo >mounts &&
		box --rootfs tree /bin/true && want_status 125 && want_out "" &&
		want_err "openat2($name" && diff mounts /proc/self/mountinfo &&
		ls -l /etc host/victim >after && diff before after || exit
	done
'

# /proc/interrupts is covered by /dev/null, which has to be the device.
it 'has a true /dev/null, whatever its root has there' '
	cp -R "$root" tree && root=$PWD/tree &&
	pattern=/proc/sys/kernel/core_pattern &&
	ln -sf $pattern tree/dev/null && cat $pattern >before &&
	naive /bin/readlink -f /dev/null && want_out $pattern &&
	box --rootfs tree /bin/sh -c "stat -c %t:%T /dev/null &&
	    cat /proc/interrupts && echo x >/dev/null && echo x >$pattern" &&
	want_status 1 && want_out 1:3 && want_err "Read-only file system" &&
	cmp before $pattern
'

if is_root; then
	# A set-user-ID program that prints its effective user.
	it 'gives nobody the rights of a set-user-ID program' '
		cp "$root/call" "$root/call-as-root" &&
		chmod 4755 "$root/call-as-root" && attack="/call-as-root geteuid" &&
		unlocked /bin/su guest -c "$attack" && want_out 0 &&
		box /bin/su guest -c "$attack" && want_out 1000
	'
fi

# The device zero, by another name.  What a stranger has put into a volume, into
# the root, or what the host has in /dev.
it 'opens no device but its own' '
	read="head -c 1 /v/zero | wc -c" && denied="Permission denied" &&
	run unshare --user --map-root-user --mount sh -c "
		mount --rbind /dev \"$root/tmp\" && chroot \"$root\" head -c 1 /tmp/zero |
		    wc -c" && want_out 1 &&
	box $strong -v /dev:/v /bin/sh -c "$read" && want_out 0 &&
	want_err "$denied" &&
	box $strong -v /dev/zero:/v/zero /bin/sh -c "$read" && want_out 1 &&
	if is_root; then
		mkdir data && cp -R "$root" tree && mkdir tree/v &&
		mknod data/zero c 1 5 && cp -R data/zero tree/v/zero &&
		same 1 "$(head -c 1 data/zero | wc -c)" &&
		for user in "" "$strong" "$strong --cap-add ALL"; do
			box $user -v "$PWD/data:/v" /bin/sh -c "$read" &&
			want_out 0 && want_err "$denied" &&
			box $user --rootfs tree /bin/sh -c "$read" &&
			want_out 0 && want_err "$denied" &&
			box $user --read-only --rootfs tree /bin/sh -c "$read" &&
			want_out 0 && want_err "$denied" || exit
		done &&
		run "$project/build/whalebox-8" $strong --rootfs tree /bin/sh \
		    -c "$read" && want_out 0 && want_err "$denied"
	fi
'
if is_root; then
	it 'makes no device in a volume, where root is the host'\''s' '
		mkdir data && attack="mknod /v/zero c 1 5; head -c 1 /v/zero | wc -c" &&
		box $strong -v "$PWD/data:/v" /bin/sh -c "$attack" &&
		want_out 0 && want_err "mknod: /v/zero: $refused" &&
		same "" "$(ls data)" &&
		box $strong --cap-add MKNOD -v "$PWD/data:/v" /bin/sh -c "$attack" &&
		want_out 0 && want_err "Permission denied" &&
		same "1 zero" "$(head -c 1 data/zero | wc -c) $(ls data)"
	'
	# Without chapter 10, so that no_new_privs is not what prevents it.
	it 'gives nobody the rights of a set-user-ID program in a volume' '
		mkdir data && cp "$root/call" data/call &&
		cp "$root/call" "$root/call-as-root" && chmod 755 . &&
		chmod 4755 data/call "$root/call-as-root" &&
		unlocked /bin/su guest -c "/call-as-root geteuid" && want_out 0 &&
		for user in "" "$strong"; do
			unlocked $user -v "$PWD/data:/v" /bin/su guest -c \
			    "/v/call geteuid" && want_out 1000 || exit
		done
	'
fi

# What covers /proc/interrupts is the device null, whatever is on /dev.
it 'is shown nothing by a /dev that it was given' '
	mkdir hostile && ln -s /proc/sys/kernel/core_pattern hostile/null &&
	run unshare --user --map-root-user --mount sh -c "
		mount --bind hostile /dev && mount --bind /dev/null /proc/interrupts &&
		cat /proc/interrupts" &&
	want_out "$(cat /proc/sys/kernel/core_pattern)" &&
	box $strong -v "$PWD/hostile:/dev" /bin/sh -c "readlink /dev/null
	    stat -c %t:%T /proc/interrupts; cat /proc/interrupts" &&
	want_status 0 && want_no_err &&
	want_out "/proc/sys/kernel/core_pattern${newline}1:3"
'

# What the locks are on is to stay in sight; and the host's own settings are
# no more open where they are a volume.
it 'takes no volume for its /proc and /sys, and none of them to write' '
	mkdir data && for target in /proc /proc/sys /proc/sys/kernel /sys \
	    /sys/kernel /proc/new /proc/../proc; do
		box $strong -v "$PWD/data:$target" /bin/true && want_status 125 &&
		want_err "hint: " || exit
	done &&
	box $strong -v /proc:/p -v /sys:/s /writable /p/sys /p/irq /s &&
	want_status 0 && want_match "^writable: 0 of [0-9]{3,}$"
'

# ---- What the box can do to the host -----------------------------------------

if is_root; then
	# Of what is mounted in the box, the host sees nothing even while it runs.
	# Between user namespaces the kernel would see to that.
	it 'mounts nothing on a host where all mounts are shared' '
		mkdir shared && mkfifo key && exec 9<>key &&
		cat /proc/self/mountinfo >before &&
		run unshare --mount --propagation unchanged mount -t tmpfs none shared &&
		want_status 0 && umount shared &&
		{ "$WHALEBOX" $strong /bin/sh -c "wc -l </proc/mounts; read -r line" \
		    <key >inside & } &&
		soon test -s inside && differ 1 "$(cat inside)" &&
		diff before /proc/self/mountinfo && echo >&9 && wait &&
		diff before /proc/self/mountinfo
	'
fi

# What is counted for each user of the host.  There is no weaker box here: one
# that succeeds takes from whoever else is at work on the host.
if is_root; then
	it 'uses up nothing that root of the host needs' '
		mkfifo key && exec 9<>key &&
		{ "$WHALEBOX" /hoard 1000000 <key >hoarded & } &&
		soon grep -q signals hoarded &&
		for what in instances queues signals; do
			grep -q "^$what [1-9]" hoarded || wrong "$what" "$(cat hoarded)" ||
			exit
		done && run "$root/hoard" 1 && want_status 0 &&
		want_out "instances 1${newline}queues 1${newline}signals 1" &&
		exec 9>&- && wait
	'
fi

# A cgroup of version 1 has a release_agent, which is run on the host.
it 'makes no namespace and mounts no cgroup' '
	attack="unshare -Urm /call mount none /tmp tmpfs 0 0" &&
	unlocked /bin/sh -c "$attack" && want_out 0 &&
	box /bin/sh -c "$attack" && want_status 1 && want_out "" &&
	want_err "$refused" &&
	attack="for type in cgroup cgroup2 tmpfs; do
			/call mount none /tmp \$type 0 0
		done" &&
	unlocked /bin/sh -c "$attack" && want_line 0 &&
	box $strong /bin/sh -c "$attack" && want_each 3 "$refused"
'
if is_root && has_cgroup2; then
	it 'changes no cgroup of the host' '
		attack="cd /sys/fs/cgroup; mount -o remount,bind,rw /sys/fs/cgroup
		    mkdir x && rmdir x && echo made" &&
		unlocked $strong /bin/sh -c "$attack" && want_out made &&
		box $strong /bin/sh -c "$attack" && want_out "" &&
		want_err "Read-only file system"
	'
fi

if ! is_root; then
	# A file may be closed to one group and open to all others, so the kernel
	# lets nobody leave a group, but whom /etc/subgid grants others.
	it 'leaves no group of its caller, unless it is granted others' '
		answer="deny${newline}$refused" &&
		{ ! grep -qs "^$(id -un):" /etc/subgid || answer="allow${newline}0"; } &&
		run unshare --user cat /proc/self/setgroups && want_out allow &&
		box /bin/sh -c "cat /proc/self/setgroups; /call setgroups 0 0" &&
		want_out "$answer"
	'
fi

# Not every kernel has all of them.
settings=$(ls -d /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger \
    2>/dev/null)
it 'changes no setting of the kernel' '
	unlocked $strong /writable $settings &&
	want_line /proc/sys/net/ipv4/ip_forward &&
	{ ! is_root || want_line /proc/sys/kernel/core_pattern; } &&
	box $strong /writable $settings && want_status 0 && want_no_err &&
	want_match "^writable: 0 of [0-9]{3,}$" &&
	box $strong /bin/sh -c "echo 1 >/proc/sys/net/ipv4/ip_forward" &&
	want_status 1 && want_err "Read-only file system"
'
it 'changes nothing in /sys' '
	run unshare --user --map-root-user unshare --net --mount sh -c \
	    "mount -t sysfs none /sys && \"\$0\" /sys/devices/virtual/net" \
	    "$root/writable" &&
	want_line /sys/devices/virtual/net/lo/mtu &&
	box $strong /writable /sys && want_status 0 &&
	want_match "^writable: 0 of [0-9]{3,}$"
'

covered="/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys \
	/proc/latency_stats /proc/sched_debug /proc/scsi /proc/timer_list \
	/proc/timer_stats /sys/firmware /sys/devices/virtual/powercap \
	/sys/devices/system/cpu/cpu*/thermal_throttle"
it 'sees nothing of the machine in what is covered' '
	attack="for path in $covered; do
			if [ -d \$path ]; then ls -A \$path; else head -c 1 \$path; fi |
			    grep -q . && echo \$path
		done" &&
	unlocked $strong /bin/sh -c "$attack" &&
	want_line /proc/interrupts &&
	box $strong /bin/sh -c "$attack" && want_out "" &&
	box $strong /bin/umount /proc/interrupts && want_status 1 &&
	want_err "$refused"
'

# It may run on the first alone, but be moved to another one.
it 'covers what all processors tell, wherever its caller may run' '
	run taskset -c 0 "$WHALEBOX" --explain $strong /bin/true && want_status 0 &&
	grep -o "/cpu[0-9]*/thermal_throttle" err | sort -u >looked &&
	( cd /sys/devices/system/cpu && ls -d cpu[0-9]* ) >there &&
	same "$(wc -l <there)" "$(wc -l <looked)"
'

# ---- What reaches a terminal by its names ------------------------------------

# tame COUNT FILE: so many lines, with nothing in them that a terminal obeys.
tame() {
	same "$1" "$(wc -l <"$2")" &&
	same 0 "$(LC_ALL=C tr -d '\n' <"$2" | LC_ALL=C tr -dc '\000-\037\177' | wc -c)" &&
	same 0 "$(LC_ALL=C grep -c "$(printf '\302\233')" "$2")"
}

# An escape, a return, a new line, the same as one character (CSI), a byte that
# is no character; and what is to be left alone.
it 'shows no name that a terminal would obey' '
	name=$(printf "a\033[31m\r\nwhalebox: x\302\2331m\177\200\303\251\346\227\245z") &&
	shown="a\\x1b[31m\\x0d\\x0awhalebox: x\\xc2\\x9b1m\\x7f\\x80\303\251\346\227\245z" &&
	shown=$(printf "%b" "$(echo "$shown" | sed "s/\\\\x/\\\\\\\\x/g")") &&
	for argument in "--$name" "/$name" "$name" "--name=$name" "--rootfs=$name" \
	    "--cap-add=$name" "--volume=/$name:x" "--memory=$name"; do
		box "$argument" /bin/true && differ 0 $status && want_out "" &&
		want_err "$shown" && tame 2 err || exit
	done &&
	box --explain -w "/$name" -e "A=$name" /bin/true && want_status 0 &&
	want_err "$shown" && tame "$(grep -c "^\[" err)" err &&
	box doctor "$name" && want_status 125 && tame 2 err &&
	box $unkept --explain -v "/$name:$name" /bin/true && want_status 125 &&
	tame 2 err
'
it '... nor in the list of boxes, or a record' '
	b=box$$ && trap "\"$WHALEBOX\" rm -f $b >last 2>&1" EXIT &&
	name=$(printf "a\033[31m\rb\302\233c") && cp -R "$root" "$name" &&
	box -d --name $b --rootfs "$name" /bin/sh -c "sleep 60; : $name" &&
	want_status 0 && folder="$WHALEBOX_HOME/containers/$name" &&
	mkdir -p "$folder/config" && box ps -a && rm -r "$folder/config" &&
	want_status 0 && tame 3 out && want_match "^a.x1b.31m.x0db.xc2.x9bc  *- *corrupt" &&
	want_match "^$b .*/a.x1b.31m.x0db.xc2.x9bc$" &&
	box inspect $b && want_status 0 && tame "$(wc -l <out)" out &&
	want_match "^image=.*/a.x1b.31m.x0db.xc2.x9bc$" &&
	box inspect $b image && want_out "$PWD/$name"
'

# ---- Capabilities ------------------------------------------------------------

# want_caps MASK: in the three sets that count.
want_caps() {
	want_status 0 && for set in Prm Eff Bnd; do
		want_line "Cap$set:	$1" || return 1
	done
}
caps() {
	box "$@" /bin/grep Cap /proc/self/status
}
all_caps=$(printf '%016x' $(((2 << $(cat /proc/sys/kernel/cap_last_cap)) - 1)))

# MKNOD is left out where root of the box could make any disk with it.
it 'has fourteen capabilities, and the locks of its kind' '
	unlocked /bin/cat /proc/self/status && want_caps "$all_caps" &&
	want_line "NoNewPrivs:	0" && want_line "Seccomp:	0" &&
	for user in "" "$strong"; do
		caps=00000000a80425fb &&
		{ [ -z "$user" ] || caps=00000000a00425fb; } &&
		box $user /bin/cat /proc/self/status && want_caps $caps &&
		want_line "CapInh:	0000000000000000" &&
		want_line "CapAmb:	0000000000000000" &&
		want_line "NoNewPrivs:	1" && want_line "Seccomp:	2" || exit
	done
'
it 'has the capabilities that it is given' '
	caps --cap-drop ALL && want_caps 0000000000000000 &&
	caps --cap-add NET_ADMIN && want_caps 00000000a80435fb &&
	caps --cap-drop ALL --cap-add net_admin && want_caps 0000000000001000 &&
	caps --cap-drop CAP_CHOWN --cap-drop=kill && want_caps 00000000a80425da &&
	caps --cap-add all && want_caps "$all_caps" &&
	caps --cap-add ALL --cap-drop CHOWN && want_caps "${all_caps%f}e" &&
	for name in "" none CAP_ cap_all_ chow 0; do
		caps --cap-drop "$name" && want_status 125 && want_out "" &&
		want_err "--cap-drop: not \"$name\"" || exit
	done
'
# become_user() changes what a change of user does to capabilities, for itself.
it 'has the rules for a change of user that all have' '
	get_securebits=27 &&
	box /call prctl $get_securebits && want_out 0 &&
	box -u 0 /call prctl $get_securebits && want_out 0
'
it 'can do what its capabilities are for, and no more' '
	for name in DAC_OVERRIDE NET_ADMIN SYS_CHROOT; do
		case $name in
		DAC_OVERRIDE) attack="touch x && chmod 0 x && cat x" ;;
		NET_ADMIN)    attack="ip link set lo down" ;;
		SYS_CHROOT)   attack="chroot / true" ;;
		esac &&
		box --cap-drop ALL /bin/sh -c "$attack" && differ 0 $status &&
		want_err "ermi" &&
		box --cap-drop ALL --cap-add $name /bin/sh -c "$attack" &&
		want_status 0 || exit
	done
'

# ---- System calls ------------------------------------------------------------

# Those that are on the list, and are there on this kind of processor.
case $(uname -m) in
x86_64)  blocked=66 abi=AUDIT_ARCH_X86_64 ;;
aarch64) blocked=51 abi=AUDIT_ARCH_AARCH64 ;;
esac
it "is refused $blocked calls for administrators" '
	unlocked $strong /forbidden && want_status 0 &&
	want_line "unshare: Invalid argument" &&
	{ ! is_root || want_line "blocked 0 of $blocked"; } &&
	for user in "" "$strong" "$strong --cap-add ALL"; do
		box $user /forbidden && want_status 0 &&
		want_out "blocked $blocked of $blocked" || exit
	done
'

# CLONE_NEWNS and its like: mounts, cgroups, names, mailboxes, users, processes,
# network.  A clone with none of them is a fork.
it 'is refused a clone with a new namespace' '
	sigchld=17 &&
	attack="for flag in 0x00020000 0x02000000 0x04000000 0x08000000 \
		    0x10000000 0x20000000 0x40000000; do
			/call clone \$((flag | $sigchld))
		done" &&
	unlocked /bin/sh -c "$attack" && want_each 7 "$success" &&
	box /bin/sh -c "$attack" && want_each 7 "$refused" &&
	box /call clone $sigchld && want_each 1 "$success"
'

# The kernel of today has them, and the filter cannot know what they do.
it 'is told that clone3 and calls newer than its list are missing' '
	clone3=435 cachestat=451 lsm_set_self_attr=460 last=0x3fffffff &&
	attack="for call in $clone3 $cachestat $lsm_set_self_attr $last; do
			\$0 \$call
		done" &&
	run sh -c "$attack" "$root/call" && there=$out &&
	unlocked /bin/sh -c "$attack" /call && want_out "$there" &&
	differ "$missing" "$(head -n 1 out)" &&
	box /bin/sh -c "$attack" /call && want_each 4 "$missing"
'

# What the filter says of every call that the kernel's headers know, and of every
# ABI: those that `forbidden` makes are refused, and no others, but for what is newer
# than whalebox's list.  Numbers that no header has yet are there for the kernel of
# tomorrow, and those with one bit more for x32.
it 'has a filter that fits the headers of the kernel' '
	newest=450 x32=$((0x40000000)) &&
	grep -o "CALL([a-z0-9_]*\|\"[a-z0-9_]*\", [0-9]" \
	    "$project/tests/attacks/forbidden.c" | sed "s/CALL(//; s/\"//; s/\".*//" \
	    >forbidden && { cat "$project/build/tests/calls.txt" &&
		for n in 451 1023 $((x32 - 1)); do echo newer $n; done &&
		for n in 0 39 450 547 512 1073741823; do echo x32 $((x32 + n)); done
	} >calls && run "$project/build/tests/filter" <calls && want_status 0 &&
	same "$(cat calls)" "$(sed "s/ [^ ]*$//" out)" &&
	awk -v newest=$newest -v abi=$abi "
		NR == FNR           { listed[\$1] = 1; next }
		\$2 == newest       { last = \$1 }
		/^AUDIT_ARCH_/      { want = \$1 == abi ? \"some\" : \"EPERM\" }
		!/^AUDIT_ARCH_/     { want = \"ALLOW\" }
		\$1 in listed       { want = \"EPERM\"; blocked++ }
		\$2 > newest && want == \"ALLOW\" || \$1 == \"clone3\" { want = \"ENOSYS\" }
		\$1 == \"x32\"       { want = \"EPERM\" }
		\$3 != want         { print \$0 \", not \" want }
		END                 { print last, blocked }" forbidden out >differences &&
	same "set_mempolicy_home_node $blocked" "$(cat differences)"
'

# Each call has another number there.  On arm64 it takes a 32-bit program, and a
# processor that can run one, which not all can.
it 'is refused the calls of the 32-bit ABI' '
	attack="/call32 getpid; /call32 unshare" &&
	unlocked /bin/sh -c "$attack" && case $out in
	*"Exec format error"*) want_each 2 "Exec format error" ;;
	*) want_each 2 done && box /bin/sh -c "$attack" && want_each 2 "$refused" ;;
	esac
'

# x32, which few kernels have, adds one bit to the numbers of x86-64.
if [ "$(uname -m)" = x86_64 ]; then
	it 'is refused the calls of x32' '
		getpid=39 unshare=272 &&
		attack="/call $((0x40000000 + getpid)); /call $((0x40000000 + unshare))" &&
		unlocked /bin/sh -c "$attack" && want_each 2 "$success|$missing" &&
		box /bin/sh -c "$attack" && want_each 2 "$refused"
	'
fi

# The kernel looks at 32 bits of the request, and a filter sees 64.
it 'is refused the requests that type into a terminal' '
	TIOCSTI=0x5412 TIOCLINUX=0x541C &&
	attack="for high in 0 1 0x80000000; do
			/call ioctl 0 \$((high << 32 | $TIOCSTI)) x
			/call ioctl 0 \$((high << 32 | $TIOCLINUX)) x
		done" &&
	unlocked /bin/sh -c "$attack" && want_each 6 "Not a tty" &&
	box /bin/sh -c "$attack" && want_each 6 "$refused"
'

# Aufs opens its writable branch for who asks, and ".." from there leads on.
it 'is refused the request that opens a branch of aufs' '
	AUFS_CTL_WBR_FD=0x40084102 &&
	attack="for high in 0 1 0x80000000; do
			/call ioctl 0 \$((high << 32 | $AUFS_CTL_WBR_FD)) x
		done" &&
	unlocked /bin/sh -c "$attack" && want_each 3 "Not a tty" &&
	box /bin/sh -c "$attack" && want_each 3 "$refused"
'

it '... and has nothing above that branch in its mount' '
	box $(! is_root || echo --userns host) --storage aufs --explain /bin/true &&
	want_err "/upper, box)" && want_err "mount(aufs, merged, \"br=box=rw:"
'

# typed BINARY OPTION...: what an x, typed by the box, is for its caller.
typed() {
	cat >typed.sh <<-END
		stty -icanon -echo min 0 time 10
		"$1" $2 /call ioctl 0 0x100005412 x >answer
		echo "typed: \$(dd bs=1 count=1 status=none)."
	END
	mkfifo keys && exec 9<>keys &&
	run script -qec 'sh typed.sh' /dev/null <&9
}
if is_root; then
	it 'types nothing into the terminal of its caller' '
		typed "$project/build/whalebox-no-LOCKS" "$strong" &&
		want_match "^typed: x[.]" && rm keys &&
		typed "$WHALEBOX" "$strong" && want_match "^typed: [.]" &&
		same "$refused" "$(cat answer)"
	'
fi

# The kernel's ciphers and the hypervisor; and a socket that is anybody's.
it 'is refused sockets that no box needs' '
	AF_UNIX=1 AF_ALG=38 AF_VSOCK=40 stream=1 seqpacket=5 &&
	attack="/call socket $AF_ALG $seqpacket 0
		/call socket $AF_VSOCK $stream 0
		/call socket $((1 << 32 | AF_ALG)) $seqpacket 0" &&
	unlocked /bin/sh -c "$attack" &&
	want_each 3 "$success|Address family not supported by protocol" &&
	box /bin/sh -c "$attack" && want_each 3 "$refused" &&
	box /call socket $AF_UNIX $stream 0 && want_each 1 "$success"
'

finish
