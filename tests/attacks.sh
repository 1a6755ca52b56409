#!/bin/sh
# needs:
# attacks.sh: what has broken out of other boxes does not break out of this one.
#
# Each attack is made twice: on the box, where it has to fail, and on something
# weaker, where it has to succeed, or the test would show nothing.  That is the
# same whalebox without chapter 10, or an earlier stage of it, or namespaces
# and a chroot, as a shell can have them.  Its programs are in tests/attacks/.
. "$(dirname "$0")/lib.sh"

# A root of these tests' own, with their programs in it.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" && cp "$project"/build/tests/* "$root" || {
	echo '# hint: make probes build/whalebox-no-LOCKS build/whalebox-0'
	exit 1
}
export WHALEBOX_ROOTFS="$root"

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

# number: one is printed, as by a call that succeeded, and no more.
want_number() {
	want_match '^[0-9]+$' && same 1 "$(wc -l <out)"
}

# ---- Ways in: what the box gets from the host --------------------------------

it 'gets no descriptor but the three standard ones' '
	exec 5</ 6</etc 7<"$0" 8>file 9<>file &&
	listing="ls /proc/self/fd; cat /proc/self/fd/5/etc/hostname" &&
	naive /bin/sh -c "$listing" && want_line 5 && want_line 9 &&
	want_line "$(cat /etc/hostname)" &&
	box /bin/sh -c "$listing" && want_status 1 &&
	want_out "0${newline}1${newline}2${newline}3"
'

it 'gets no working folder of the host' '
	echo secret >letter && mkdir folder && cd folder && : >out &&
	run unshare --user --map-root-user nsenter --root="$root" --wd=. \
	    /bin/cat ../letter &&
	want_out secret &&
	box /bin/sh -c "cat ../letter; pwd; ls -ld /proc/self/cwd" &&
	want_status 0 && want_no_line secret && want_line / &&
	want_match "cwd -> /$" && want_err "can.t open"
'

# Whoever opens /proc/N/exe of a whalebox cannot write to it while that runs,
# but keeps it open until it has ended.  The tail makes the victim known: no
# other program must come to harm.
it 'gets no way to overwrite the whalebox that made it' '
	cp "$WHALEBOX" victim && echo victim >>victim &&
	cp victim "$root/copy" && cat >"$root/overwrite" <<-"END" &&
		#!/bin/sh
		cd "$(dirname "$0")" || exit
		looked=0
		for exe in /proc/[0-9]*/exe; do
			looked=$((looked + 1))
			cmp -s copy "$exe" && exec 9<"$exe" || continue
			for try in $(seq 200); do
				sleep 0.02
				(echo overwritten >/proc/self/fd/9) && exit
			done >tries 2>&1 &
		done
		echo looked at $looked
	END
	printf "%s\n" "#!/proc/self/exe" >"$root/itself" &&
	chmod 755 "$root/overwrite" "$root/itself" &&
	for user in none host; do
		set -- && { ! is_root || set -- --userns $user; } &&
		set -- --rootfs "$root" && { [ $user = none ] || ! is_root || set -- "$@" --userns host; } &&
		run ./victim "$@" /overwrite && want_match "^looked at [1-9]" &&
		run ./victim "$@" /itself && differ 0 $status || exit
	done &&
	cmp victim "$root/copy" &&
	cp "$project/build/whalebox-0" victim && echo victim >>victim &&
	cp victim "$root/copy" &&
	run ./victim "$root/overwrite" && want_match "^looked at [1-9]" &&
	soon grep -qx overwritten victim
'
