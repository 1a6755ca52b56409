#!/bin/sh
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# A root of this check's own: it puts things in it.  Where this check is run by
# root, the box's root cannot walk to it, as the scratch folder is for its owner.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" || exit 1
echo mine >"$root/marker"

it 'shows the files of the rootfs and none of the host' '
	echo secret >letter && ls -A "$WHALEBOX_ROOTFS" >listing &&
	box /bin/ls -A / && want_status 0 && want_out "$(cat listing)" &&
	box /bin/cat "$PWD/letter" && want_status 1 &&
	want_err "No such file or directory"
' 'Which folder should "." be when pivot_root is called?'

it 'has a mount table without the host' '
	box /bin/awk "{ print \$2 }" /proc/mounts && want_status 0 &&
	want_line /proc && want_line /sys && want_line /dev &&
	want_line /dev/pts && want_line /dev/shm && want_line /dev/mqueue &&
	same 1 "$(grep -cx / out)" &&
	same "" "$(grep -Evx "/|/(proc|sys|dev)(/.*)?" out)"
' 'Is all mounted, and no more? pivot_root keeps the old root: what takes it away?'

it 'offers no way out to a root whose working folder is outside its root' '
	ls -A "$WHALEBOX_ROOTFS" >listing &&
	box /bin/nsenter -r/tmp -w/ bin/busybox sh -c \
	    "cd ../../../../../../..; exec chroot . ls -A" &&
	want_status 0 && want_out "$(cat listing)"
' 'chroot(2) moves one pointer. What does pivot_root change for all of the box?'

it 'shows the files under the ids that they have on disk' '
	box /bin/stat -c %u:%g /bin/busybox && want_status 0 && want_out 0:0
' 'Who is 0 on disk, in the box? mount_setattr(2) can show a mount otherwise.'

it 'takes its root from --rootfs, WHALEBOX_ROOTFS or ./rootfs' '
	box --rootfs "$root" /bin/cat /marker && want_out mine &&
	run env WHALEBOX_ROOTFS="$root" "$WHALEBOX" /bin/cat /marker &&
	want_out mine && ln -s "$root" rootfs &&
	run env -u WHALEBOX_ROOTFS "$WHALEBOX" /bin/cat /marker &&
	want_out mine &&
	run env WHALEBOX_ROOTFS=nowhere "$WHALEBOX" --rootfs "$root" \
	    /bin/cat /marker &&
	want_out mine
' 'An option beats a variable, and a variable beats a default.'

it 'refuses a root that is not there' '
	box --rootfs nowhere /bin/true && want_status 125 && want_out "" &&
	want_err "chapter 8: open(nowhere): No such file" &&
	want_err "hint: " &&
	box --rootfs "$root/marker" /bin/true && want_status 125 &&
	want_err "Not a directory"
' 'Before the clone is the time to find out, and refuse() the way to say it.'

it 'follows no symbolic link of the rootfs to mount elsewhere' '
	mkdir victim tree tree/bin && cp "$root/bin/busybox" tree/bin &&
	for name in proc sys dev; do
		mkdir -p tree/proc tree/sys tree/dev && rmdir "tree/$name" &&
		ln -s "$PWD/victim" "tree/$name" &&
		box --rootfs tree /bin/busybox true && want_status 125 &&
		want_err "openat2($name" && rm "tree/$name" &&
		same "" "$(ls -A victim)" || exit
	done
' 'open_target() opens a folder so that no link counts: is a mount made without it?'

it 'has six devices in /dev, and its own terminals' '
	box /bin/find /dev -type b -o -type c && want_status 0 &&
	same "/dev/full /dev/null /dev/pts/ptmx /dev/random /dev/tty /dev/urandom /dev/zero" \
	    "$(sort out | paste -sd " ")" &&
	box /bin/sh -c "cd /dev && stat -c \"%n %t:%T\" null zero full random urandom tty" &&
	want_out "null 1:3${newline}zero 1:5${newline}full 1:7${newline}random 1:8${newline}urandom 1:9${newline}tty 5:0" &&
	box /bin/sh -c "readlink /dev/stdout; readlink /dev/ptmx; echo y >/dev/full" &&
	want_status 1 && want_out "fd/1${newline}pts/ptmx" &&
	want_err "No space left"
' 'mknod(2) is refused in a user namespace. What shows a file in a second place?'

it 'has instances of its own of /sys, /dev, /dev/pts and /dev/shm' '
	stat -c %d /sys /dev /dev/pts /dev/shm >host &&
	box /bin/stat -c %d /sys /dev /dev/pts /dev/shm && want_status 0 &&
	same "" "$(grep -Fxf host out)"
' 'Each is a mount of its own file system type, made while the host can be seen.'

it 'has a /sys that cannot be written' '
	box /bin/touch /sys/x && want_status 1 && want_err "Read-only file system"
' 'A flag of mount(2) is enough.'

if is_root; then
	# Only root: under strace a user's newuidmap has no privilege.
	it 'runs no command when pivot_root fails' '
		run strace -f -o trace -e trace=pivot_root \
		    -e inject=pivot_root:error=EINVAL "$WHALEBOX" /bin/echo went on &&
		want_status 125 && want_out "" &&
		want_err "chapter 8: pivot_root"
	' 'A call whose result is not looked at fails in silence. must() looks.'
	it 'binds no device that is not what its name says' '
		run unshare --mount sh -c "mount --bind /dev/zero /dev/null &&
		    exec \"\$0\" /bin/true" "$WHALEBOX" &&
		want_status 125 && want_err "/dev/null" && want_err "No such device"
	' 'Look at the descriptor that will be attached, not at the path: fstat(2).'
fi

it 'mounts nothing on the host, and leaves nothing behind' '
	snapshot && mkfifo key && exec 9<>key &&
	{ "$WHALEBOX" /bin/sh -c "grep -c ^devpts /proc/mounts; read -r line" \
	    <key >inside & } &&
	soon test -s inside && same 1 "$(cat inside)" &&
	cat /proc/self/mountinfo >during && echo >&9 && wait &&
	grep " - " state.before >before && diff before during && unchanged
' 'Is /dev/pts there? When are the mount table and the copied trees cut off from the host?'

finish
