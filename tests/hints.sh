#!/bin/sh
# needs: host root
# hints.sh: each hint that whalebox can give is given, to who needs it.
#
# tests/hints.awk reads the rows of all tables of hints from the source.  Each is
# named here once, with what provokes it: where the real thing cannot be had,
# strace feigns the error.  What takes another host is a test elsewhere.
. "$(dirname "$0")/lib.sh"

rows=$scratch/rows
awk -f "$project/tests/hints.awk" "$project/whalebox.c" >"$rows" || exit 1

# shows: what was run has failed, and has given the row's hint.  A box with a
# terminal gives it there.
shows() {
	[ "$status" -ne 0 ] && cat out err | tr -d '\r' | grep -Fqx "  hint: $fix"
}

# inject CALLS ERROR ARGUMENT...: whalebox, with the one of its first calls of
# this kind failing so that makes it give the hint.
inject() {
	inject_calls=$1 inject_error=$2
	shift 2
	for when in $(seq 40); do
		# shellcheck disable=SC2086 # a command of several words
		run strace -f -qq --seccomp-bpf -o /dev/null -e signal=none \
		    -e trace="$inject_calls" \
		    -e inject="$inject_calls:error=$inject_error:when=$when" \
		    ${binary:-"$WHALEBOX"} "$@"
		if shows; then
			return
		fi
	done
	wrong "the hint" "none, whichever of 40 calls it is"
}

# strike_last CALL ERROR ARGUMENT...: whalebox, with the last of its processes that
# makes this call failing at its first.
strike_last() {
	strike=$project/build/tests/strike struck=$1 error=$2
	shift 2
	run "$strike" list calls "$WHALEBOX" "$@" && want_status 0 &&
	last=$(sed -n "s/ $struck 1\$//p" calls | sort -n | tail -n 1) &&
	differ "" "$last" &&
	run "$strike" "$last" "$struck" 1 "$error" "$WHALEBOX" "$@"
}

# stage N: the program of that stage.
stage() {
	binary=$project/build/whalebox-$1
}

# with_setting NAME VALUE: strace's whalebox is on a host that says so in
# /proc/sys/kernel.
with_setting() {
	mkdir kernel && echo "$2" >"kernel/$1" &&
	printf '%s\n' '#!/bin/sh' 'mount --bind "$KERNEL" /proc/sys/kernel &&
	exec "$WHALEBOX" "$@"' >restricted && chmod +x restricted &&
	export KERNEL="$PWD/kernel" && binary="unshare --mount $PWD/restricted"
}

# as_ranger: an ordinary user with a range of ids, which newuidmap may not map.
as_ranger() {
	echo "ranger:x:4242:4242::/:/bin/sh" >passwd &&
	echo "ranger:300000:65536" >range && mkdir home &&
	chown 4242 home && chmod 711 "$scratch" . &&
	run unshare --mount sh -c '
		mount --bind passwd /etc/passwd && mount --bind range /etc/subuid &&
		mount --bind range /etc/subgid &&
		WHALEBOX_HOME=$PWD/home exec setpriv --no-new-privs --reuid 4242 \
		    --regid 4242 --clear-groups --inh-caps=-all "$WHALEBOX" "$@"' \
	    sh "$@"
}

# begun: a box named one, until the test ends.
begun() {
	trap '"$WHALEBOX" rm -f one >last 2>&1' EXIT
	box -d --name one "$@" && want_status 0
}

# failing PROGRAM...: in ./bin, programs that do nothing but fail.
failing() {
	mkdir bin && for program; do
		printf "#!/bin/sh\nexit 1\n" >"bin/$program" &&
		chmod +x "bin/$program" || return
	done
}

# A stranger's root file system with a link in it.
with_link() {
	mkdir tree && cp -R "$WHALEBOX_ROOTFS/bin" tree && ln -s "$2" "tree/$1"
}

# An archive of one file.
small_archive() {
	echo small >file && tar -cf small.tar file
}

# TABLE|CALL|ERROR|what provokes it.
while IFS='|' read -r table call error provoke; do
	echo "$table|$call|$error" >>"$scratch/listed"
	fix=$(awk -F '|' -v row="$table|$call|$error" \
	    '$1 "|" $2 "|" $3 == row { print $4 }' "$rows")
	case $provoke in
	elsewhere:*)
		# It is asked for by its first words, which no other hint has.
		where=${provoke#elsewhere: }
		it "hint of $table for \"$call\" $error is asked for in ${where}" '
			differ "" "$fix" &&
			words=$(echo "$fix" | cut -c 1-20) &&
			{ grep -Fq -e "$words" "$project/$where" ||
			    wrong "$words" "nothing such in $where"; }
		'
		;;
	*)
		it "hint of $table for \"$call\" $error" "
			differ '' \"\$fix\" && binary= && $provoke &&
			{ shows || wrong \"the hint \$fix\" none; }
		"
		;;
	esac
done <<'END_OF_ROWS'
process_hints|clone3|EPERM|inject clone3 EPERM /bin/true
process_hints|clone3|ENOSPC|run unshare --user --map-root-user sh -c "echo 0 >/proc/sys/user/max_user_namespaces && exec \"\$WHALEBOX\" /bin/true"
process_hints|execve|ENOENT|box /bin/none
process_hints|execvp|ENOENT|box run none
process_hints|exec|EACCES|box /etc/passwd
mount_hints|mount(proc|EPERM|run unshare --user --map-root-user --mount sh -c "mount -t tmpfs none /proc/sys && exec \"\$WHALEBOX\" /bin/true"
mount_hints||EPERM|stage 4 && inject mount EPERM /bin/true
user_hints|new||as_ranger /bin/true
net_hints|unshare|EPERM|inject unshare EPERM /bin/true
net_hints|unshare|ENOSPC|run unshare --user --map-root-user sh -c "echo 0 >/proc/sys/user/max_net_namespaces && exec \"\$WHALEBOX\" /bin/true"
limit_hints|write(cpuset||elsewhere: tests/doctor.sh
limit_hints|||elsewhere: tests/hosts.sh
limit_hints|write(cgroup|EBUSY|elsewhere: tests/doctor.sh
limit_hints|write(cgroup|ENOENT|elsewhere: tests/doctor.sh
limit_hints||ENODEV|elsewhere: tests/doctor.sh
limit_hints||EACCES|elsewhere: tests/doctor.sh
root_hints|openat2|ELOOP|with_link proc /etc && box --rootfs tree /bin/true
root_hints|open(||box --rootfs nowhere /bin/true
root_hints|fcntl|EINVAL|run sh -c "ulimit -n 8; exec \"\$WHALEBOX\" /bin/true"
root_hints|pivot_root|EINVAL|elsewhere: tests/hosts.sh
root_hints|mount_setattr|EINVAL|inject mount_setattr EINVAL /bin/true
layer_hints|mount(overlay|EPERM|inject mount EPERM /bin/true
layer_hints|mount(overlay|EINVAL|inject mount EINVAL /bin/true
layer_hints|mount(aufs|EPERM|inject mount EPERM --userns host --storage aufs /bin/true
layer_hints|mount(aufs|EINVAL|inject mount EINVAL --userns host --storage aufs /bin/true
layer_hints|mount|ENODEV|inject mount ENODEV /bin/true
layer_hints|mkdir||run env WHALEBOX_HOME=/proc/none "$WHALEBOX" /bin/true
layer_hints|open|ENOTDIR|mkdir -m 700 folder && ln -s folder link && run env WHALEBOX_HOME="$PWD/link" "$WHALEBOX" /bin/true
layer_hints|open|EACCES|inject ?open,openat EACCES /bin/true
lock_hints|seccomp|EINVAL|inject seccomp EINVAL /bin/true
lock_hints||EPERM|inject capset EPERM /bin/true
volume_hints|openat2|ELOOP|mkdir data && box -v "$PWD/data:/proc/self/cwd/x" /bin/true
volume_hints|openat2|ENOENT|box -w nowhere /bin/true
volume_hints|openat2|ENOTDIR|mkdir data && box -v "$PWD/data:/etc/passwd" /bin/true
volume_hints|openat2|EISDIR|echo x >file && box -v "$PWD/file:/tmp" /bin/true
volume_hints|openat2|EBUSY|mkdir data && box -v "$PWD/data:/tmp/.." /bin/true
volume_hints|openat2|EEXIST|with_link link nowhere && mkdir data && box --rootfs tree -v "$PWD/data:/link" /bin/true
volume_hints|fchdir|ENOTDIR|box -w /etc/passwd /bin/true
volume_hints|mkdir||box -v "$PWD/none/data:/data" /bin/true
volume_hints|fchown|EINVAL|box -t -u 4000000000 /bin/true
volume_hints|setgroups|EINVAL|box -u 4000000000 /bin/true
volume_hints|setresgid|EINVAL|box -u 4000000000 /bin/true
volume_hints|user||box -u nobody.at.all /bin/true
tty_hints|open(/dev/pts||run strace -f -qq -o /dev/null -P /dev/pts/ptmx -e inject=?open,openat:error=ENOSPC "$WHALEBOX" -t /bin/true
detach_hints|chdir||mkdir gone && trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT && run sh -c "cd gone && exec \"\$WHALEBOX\" -d --name one /bin/true" && rmdir gone && ended() { [ "$("$WHALEBOX" inspect one status)" = exited ]; } && soon ended && box start one
detach_hints|getcwd|ENOENT|run sh -c "mkdir gone; cd gone; rmdir ../gone; exec \"\$WHALEBOX\" --name one /bin/true"
detach_hints|write(|E2BIG|inject write E2BIG -d /bin/true
exec_hints|setns|EPERM|begun /bin/sleep 300 && inject setns EPERM exec one /bin/true
image_hints|open(|ENOENT|box image load nosuch.tar
image_hints|read(archive|EISDIR|box image load /
image_hints|open(new file|EOPNOTSUPP|small_archive && inject openat EOPNOTSUPP image load small.tar
image_hints|write(sha256sum)|EPIPE|small_archive && inject write EPIPE image load small.tar
image_hints|NOSYMFOLLOW|EINVAL|small_archive && box image load small.tar small && strike_last mount_setattr EINVAL --userns host image save small out.tar
image_hints||ENOSPC|small_archive && inject write ENOSPC image load small.tar
image_hints||EDQUOT|small_archive && inject write EDQUOT image load small.tar
bridge_hints|netlink(RTM_NEWLINK|EOPNOTSUPP|inject socket EOPNOTSUPP --network bridge /bin/true
bridge_hints|bind|EADDRINUSE|inject bind EADDRINUSE -p 80:80 /bin/true
bridge_hints|bind|EADDRNOTAVAIL|box -p 192.0.2.77:80:80 /bin/true
bridge_hints|nft|ENOENT|elsewhere: tests/wires.sh
bridge_hints|iptables|ENOENT|elsewhere: tests/wires.sh
bridge_hints|nft||failing nft && run env PATH="$PWD/bin:$PATH" "$WHALEBOX" --network bridge /bin/true
bridge_hints|iptables||failing iptables iptables-restore && run env PATH="$PWD/bin" "$WHALEBOX" --network bridge /bin/true
bridge_hints|write(/proc/sys/net|EROFS|run unshare --mount sh -c "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"\$WHALEBOX\" --network bridge /bin/true"
causes|clone3|EPERM|with_setting unprivileged_userns_clone 0 && inject clone3 EPERM /bin/true
causes||EACCES|with_setting apparmor_restrict_unprivileged_userns 1 && inject mount EACCES /bin/true
causes||EPERM|with_setting apparmor_restrict_unprivileged_userns 1 && inject sethostname EPERM /bin/true
causes|clone3|ENOSYS|inject clone3 ENOSYS /bin/true
causes|clone3|EINVAL|inject clone3 EINVAL /bin/true
causes|clone3|EAGAIN|inject clone3 EAGAIN /bin/true
causes|open_tree|EPERM|inject open_tree EPERM /bin/true
causes|open_tree|EINVAL|inject open_tree EINVAL /bin/true
causes|mount(/,|EPERM|inject mount EPERM /bin/true
causes|mkdir(/sys|EROFS|inject mkdirat EROFS -m 64m /bin/true
causes|find cgroup v2|EROFS|elsewhere: tests/doctor.sh
causes|readlink(/proc/self)||run unshare --pid --fork "$WHALEBOX" /bin/true
causes|mount(/,|EINVAL|inject mount EINVAL /bin/true
causes|mount(tmpfs, /tmp)|ENOENT|inject mount ENOENT /bin/true
causes|open_tree(/dev/|ENOENT|inject open_tree ENOENT /bin/true
causes|read(/proc/self||inject ?access,?faccessat ENOENT /bin/true
END_OF_ROWS

it 'knows every row of the tables of hints, and no other' '
	cut -d "|" -f 1-3 "$rows" | sort >wanted && [ "$(wc -l <wanted)" -gt 40 ] &&
	sort "$scratch/listed" | diff wanted -
'

finish
