#!/bin/sh
# needs:
# doctor.sh: on a host that lacks something, whalebox names the step, the error
# and what fixes it: when asked with `doctor`, and when a run fails for want of
# it.  What can be taken away here is; strace feigns the rest.  Hosts that are
# of another kind from boot on are in tests/hosts.sh.
. "$(dirname "$0")/lib.sh"

# ails N WORDS HINT COMMAND...: COMMAND, which ends in a call of whalebox, fails
# in chapter N with these words (a regular expression) and with this hint: for
# the doctor, and with a program.
ails() {
	n=$1 words=$2 hint=$3
	shift 3
	run "$@" doctor && want_status 1 && want_no_err &&
	diagnosed "$(printf 'chapter %2d: ' "$n")" '            ' out &&
	# Who wants no limits misses no cgroup.
	{ [ "$n" -ne 7 ] || set -- "$@" -m 64m; } &&
	run "$@" /bin/true && want_status 125 && want_out "" &&
	diagnosed 'whalebox: ' '  ' err
}

# diagnosed BEFORE INDENT FILE: a line begins with BEFORE and has the words, and
# the next one is the hint.
diagnosed() {
	grep -A 1 -e "^$1.*$words" "$3" | grep -Fq -e "$2hint: $hint" ||
		wrong "$1...$words, with the hint: $hint" "$newline$(cat "$3")"
}

it 'takes no argument' '
	box doctor now && want_status 125 && want_out "" && want_err "hint: "
'

it 'leaves nothing behind' '
	snapshot && box doctor && want_line "chapter  0: works" && unchanged
'

it 'wants a root file system' '
	ails 8 "open(nowhere): No such file or directory" \
	    "name one with --rootfs" "$WHALEBOX" --rootfs nowhere
'

it 'wants a folder for its records' '
	ails 9 "mkdir(/proc/none/containers): No such file or directory" \
	    "name a folder of yours: WHALEBOX_HOME=DIR" \
	    env WHALEBOX_HOME=/proc/none "$WHALEBOX"
'

# The limit set here is that of a user namespace made for it.
it 'wants user namespaces to be allowed' '
	ails 5 "clone3(0x[0-9a-f]*): No space left on device" \
	    "sysctl -w user.max_user_namespaces=15000" \
	    unshare --user --map-root-user sh -c "
		echo 0 >/proc/sys/user/max_user_namespaces && exec \"\$@\"" \
	    sh "$WHALEBOX"
'

it 'wants a /proc of which nothing is hidden' '
	ails 4 "mount(proc, proc): Operation not permitted" \
	    "the host'\''s /proc is partly hidden, as in docker" \
	    unshare --user --map-root-user --mount sh -c "
		mount -t tmpfs none /proc/sys && exec \"\$@\"" sh "$WHALEBOX"
'

it 'says what it has found: ids, storage, cgroups, and tools' '
	box doctor && want_match "^            storage is (overlay|aufs), in $WHALEBOX_HOME" &&
	want_match "^            (cgroup v2 (alone|beside v1 .hybrid.), at /|cgroup v2 is not)" &&
	want_match "^            (ids 0 to [0-9]+ of a box are|id 0 of a box is|a box has one id)" &&
	want_match "^            for archives there is tar gzip" &&
	want_match "^            (rules are written by (nft|iptables)|a bridge takes root)\$" &&
	mkdir tools && for tool in tar gzip zstd sha256sum skopeo; do
		ln -s /bin/true "tools/$tool" || exit
	done &&
	run env PATH="$PWD/tools" "$WHALEBOX" doctor &&
	want_line "            for archives there is tar gzip zstd sha256sum skopeo" &&
	rm tools/tar tools/sha256sum &&
	ln -s /bin/true tools/iptables && ln -s /bin/true tools/iptables-restore &&
	run env PATH="$PWD/tools" "$WHALEBOX" doctor &&
	want_line "            for archives there is gzip zstd skopeo" &&
	want_line "            hint: apt install tar coreutils" &&
	want_match "^            (rules are written by iptables|a bridge takes root)\$"
'

if is_root; then
	it 'wants what writes rules for packets, and none that drops all of them' '
		words="neither nft nor iptables is there" hint="install nftables" &&
		run env PATH=/nowhere "$WHALEBOX" doctor && want_status 1 &&
		diagnosed "chapter 16: " "            " out &&
		words="drops what is forwarded: chain f of table mine" hint="nft '\''insert rule ip mine f" &&
		run unshare --net sh -c "nft add table ip mine && nft \"add chain ip mine f {
			type filter hook forward priority 0; policy drop; }\" && exec \"\$WHALEBOX\" doctor" &&
		want_status 1 && diagnosed "chapter 16: " "            " out
	'
fi

it 'tells why a program cannot be run' '
	mkdir tree && printf "#!/bin/none\n" >tree/script && chmod +x tree/script &&
	echo >tree/text && chmod 644 tree/text &&
	box --rootfs tree /script && want_status 127 &&
	want_err "execve(/script): No such file or directory" &&
	want_err "hint: the file is there; what runs it is not: /bin/none" &&
	box --rootfs tree /none && want_status 127 &&
	want_err "hint: the path is looked up in the box" &&
	box --rootfs tree /text && want_status 126 &&
	want_err "execve(/text): Permission denied" &&
	want_err "hint: it must be a file with its x bit set"
'

it 'leaves no box behind, whatever options it has' '
	box --name one doctor && box -d doctor && box ps -aq && want_status 0 && want_out ""
'

if ! is_root && grep -qs "^$(id -un 2>/dev/null):" /etc/subuid; then
	it 'wants a newuidmap with its privilege' '
		ails 5 "newuidmap([0-9]*, .*): Operation not permitted" \
		    "is it set-user-ID root, and the range yours?" \
		    setpriv --no-new-privs "$WHALEBOX"
	'
fi

# feign CALL ERROR: has $feigned be a command that runs another one in which the
# call fails.  CALL may be a mount with the beginning of an argument, as in
# mount("proc"; which of the mounts that is, a good run tells.
feign() {
	name=${1%%(*} which=''
	if [ "$name" != "${1%(}" ]; then
		[ -e "$scratch/good" ] || strace -f -qq -o "$scratch/good" \
		    -e signal=none -e trace=mount "$WHALEBOX" /bin/true || return 1
		which=$(grep -Fn "$1" "$scratch/good" | head -n 1 | cut -d : -f 1)
		which=:when=${which:?"no $1 in a good run"}
	fi
	feigned="strace -f -qq --seccomp-bpf -o trace -e signal=none
	    -e trace=$name -e inject=$name:error=$2$which"
}

# restrict: has $restricted be a command that runs another one on a host which
# says that it restricts user namespaces, as distributions do.
restrict() {
	mkdir kernel &&
	echo 1 >kernel/apparmor_restrict_unprivileged_userns &&
	echo 0 >kernel/unprivileged_userns_clone &&
	printf '%s\n' 'mount --bind kernel /proc/sys/kernel && exec "$@"' >restrict &&
	restricted='unshare --mount sh restrict'
}

# Here strace feigns what cannot be had: CHAPTER;CALL;ERROR;WORDS;FIX, a line each.
feign_each() {
	while IFS=';' read -r chapter call error words fix; do
		it "tells what fixes $call) with $error" '
			feign "$call" "$error" &&
			ails "$chapter" "$words" "$fix" $feigned "$WHALEBOX"
		'
	done
}

# strace would take its privilege from newuidmap, so this is for root alone.
if is_root; then
	feign_each <<-'END'
	5;clone3(;ENOSYS;clone3(0x[0-9a-f]*): Function not implemented;whalebox needs Linux 5.12; in docker, run the outer container with --security-opt seccomp=unconfined
	5;clone3(;EPERM;clone3(0x[0-9a-f]*): Operation not permitted;only root may make these namespaces without chapter 5's; in docker, use --privileged
	4;mount(NULL, "/";EPERM;mount(/, MS_REC|MS_PRIVATE): Operation not permitted;mounting takes root or a user namespace
	9;mount("overlay";EPERM;mount(overlay, .*): Operation not permitted;in a user namespace overlay needs Linux 5.11
	9;mount("overlay";ENODEV;mount(overlay, .*): No such device;this kernel has no such file system: modprobe it
	10;seccomp(;EINVAL;seccomp(SECCOMP_SET_MODE_FILTER, .*): Invalid argument;the kernel has no filters for system calls
	END

	it 'says nothing of an initramfs where there is none' '
		feign "pivot_root(" EINVAL && run $feigned "$WHALEBOX" /bin/true &&
		want_status 125 && same 1 "$(wc -l <err)" &&
		want_err "chapter 8: pivot_root(\".\", \".\"): Invalid argument"
	'

	it 'names the setting by which AppArmor restricts mounts' '
		feign "mount(NULL, \"/\"" EACCES && restrict &&
		ails 4 "mount(/, MS_REC|MS_PRIVATE): Permission denied" \
		    "AppArmor forbids it to user namespaces: sudo, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" \
		    $restricted $feigned "$WHALEBOX"
	'

	it 'names the setting by which Debian restricts user namespaces' '
		feign "clone3(" EPERM && restrict &&
		ails 5 "clone3(0x[0-9a-f]*): Operation not permitted" \
		    "sudo, or sysctl -w kernel.unprivileged_userns_clone=1" \
		    $restricted $feigned "$WHALEBOX"
	'

	# A kernel that has aufs alone says so.
	it 'names the way to aufs, for root, before anything is made' '
		snapshot && printf "nodev\taufs\n" >known && run unshare --mount sh -c "
			mount --bind known /proc/filesystems && \"\$WHALEBOX\" doctor" &&
		want_status 1 && want_line "chapter  9: aufs cannot have other ids in a box" &&
		want_line "            hint: --userns host, or --storage overlay" &&
		want_match "storage is aufs, in " &&
		box --storage aufs /bin/true && want_status 125 && want_out "" &&
		want_err "hint: --userns host" && unchanged
	'

	# As in a container of docker, whose root is an overlay.
	it 'wants its layers on a disk' '
		mkdir lower upper work merged &&
		mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work \
		    overlay merged &&
		{
			ails 8 "mount_setattr(.*, MOUNT_ATTR_IDMAP): Invalid argument" \
			    "this file system cannot show files under other ids" \
			    env WHALEBOX_HOME="$PWD/merged" "$WHALEBOX" &&
			ails 9 "mount(overlay, .*): Invalid argument" \
			    "the upper layer cannot be on overlay (as in docker) or NFS" \
			    env WHALEBOX_HOME="$PWD/merged" "$WHALEBOX" --userns host
			judgement=$?
			umount merged && [ $judgement -eq 0 ]
		}
	'
fi

# in_cgroup CGROUP: has $placed be a command that runs another one in there, as
# an ordinary user.
in_cgroup() {
	mkdir home && chmod 711 "$scratch" . && chown 1000:1000 home &&
	cat >place <<-'END' &&
		echo 0 >"$1/cgroup.procs" && shift &&
		exec setpriv --reuid 1000 --regid 1000 --clear-groups \
		    --inh-caps=-all env WHALEBOX_HOME="$PWD/home" "$@"
	END
	placed="sh place $1"
}

if is_root && has_cgroup2; then
	top=$(mounts_of cgroup2 | tail -n 1)
	own=$top/doctor.$$

	it 'finds that all works where it does' '
		box doctor && want_status 0 && want_no_err &&
		want_line "chapter 10: works" &&
		want_no_match "^chapter +[0-9]+: [^w]"
	'

	it 'wants a mount of cgroup v2' '
		ails 7 "find cgroup v2: No such device" \
		    "mount -t cgroup2 none /sys/fs/cgroup" \
		    unshare --mount sh -c "umount -l $top && exec \"\$@\"" sh \
		    "$WHALEBOX"
	'

	it 'wants a cgroup that is delegated to the user' '
		in_cgroup "$top" &&
		ails 7 "find cgroup v2: Permission denied" \
		    "no cgroup is delegated to you: run as root, or systemd-run" \
		    $placed "$WHALEBOX"
	'

	it 'wants the controllers to be handed down' '
		mkdir "$own" "$own/user" &&
		chown 1000 "$own/user" "$own/user/cgroup.procs" \
		    "$own/user/cgroup.subtree_control" &&
		in_cgroup "$own/user" &&
		ails 7 "write(cgroup.subtree_control, .*): No such file or directory" \
		    "not in its cgroup.controllers: the cgroup above must hand it" \
		    $placed "$WHALEBOX" &&
		rmdir "$own/user" "$own"
	'

	it 'wants a cgroup without processes of its own' '
		mkdir "$own" && echo "+memory +cpuset +pids" >"$top/cgroup.subtree_control" &&
		chown 1000 "$own" "$own/cgroup.procs" "$own/cgroup.subtree_control" &&
		in_cgroup "$own" &&
		ails 7 "write(cgroup.subtree_control, .*): Resource busy" \
		    "a cgroup with processes in it hands nothing down: mkdir a leaf" \
		    $placed "$WHALEBOX" &&
		rmdir "$own"
	'

	it 'wants CPUs that are there' '
		box --cpuset-cpus 8191 /bin/true && want_status 125 &&
		want_err "write(cpuset.cpus, \"8191\"): " &&
		want_err "hint: CPUs that are online, as nproc has them"
	'
fi

if is_root; then
	feign_each <<-'END'
	5;clone3(;EINVAL;clone3(0x[0-9a-f]*): Invalid argument;this kernel lacks a kind of namespace
	8;open_tree(;EPERM;open_tree(.*): Operation not permitted;root, but not of mounts: in docker, run the outer
	END

	it 'names the setting by which AppArmor restricts capabilities' '
		feign "sethostname(" EPERM && restrict &&
		ails 1 "sethostname(.*): Operation not permitted" \
		    "AppArmor forbids it to user namespaces: sudo, or sysctl -w" \
		    $restricted $feigned "$WHALEBOX"
	'

	# As after a mount of another /proc over the own one.
	it 'wants a /proc of its own processes' '
		ails 0 "read(/proc/self/uid_map): No such file or directory" \
		    "/proc is not that of these processes, as when a mount of it leaked out: mount" \
		    unshare --mount sh -c "unshare --pid --fork mount -t proc proc /proc &&
			exec \"\$@\"" sh "$WHALEBOX"
	'
fi
if is_root && has_cgroup2; then
	it 'wants a cgroup v2 that can be written' '
		ails 7 "find cgroup v2: Read-only file system" \
		    "cgroupfs is read-only, as in docker" \
		    unshare --mount sh -c "mount -o remount,bind,ro $top && exec \"\$@\"" \
		    sh "$WHALEBOX"
	'
	it 'ends, whatever limit is wished for' '
		run unshare --mount sh -c "umount -l $top && exec \"\$@\"" sh \
		    "$WHALEBOX" -m 64m doctor &&
		want_status 1 && want_line "chapter  7: chapter 7: find cgroup v2: No such device"
	'
fi

finish
