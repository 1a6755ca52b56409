#!/bin/sh
# busybox-rootfs.sh [DIR]: makes a small root file system in DIR (./rootfs)
# from this machine's busybox. No network, no root: run by an ordinary user, it
# makes an ordinary user's files.
#
# busybox-rootfs.sh --find: prints the path of that busybox, and makes nothing.
#
# BUSYBOX=FILE is another one, of another kind of processor, say: its commands are
# named after those of this machine's.
#
# A container's root is only a folder with the files that its programs open.
# A static busybox is all of them in one: a shell and some 270 commands, told
# apart by the name they are called by, and no shared library to go with them.

set -eu
umask 022

die() {
	echo "busybox-rootfs.sh: $1" >&2
	[ $# -lt 2 ] || echo "  hint: $2" >&2
	exit 1
}

# Sets busybox.  A program linked with shared libraries names, in its ELF header,
# the loader that has to map them: that loader would be missing in the box.
find_busybox() {
	dynamic=
	for busybox in /bin/busybox /usr/bin/busybox /bin/busybox.static \
	    /usr/bin/busybox.static /usr/lib/initcpio/busybox; do
		[ -x "$busybox" ] || continue
		grep -q '/ld-[a-z0-9_.-]*\.so' "$busybox" || return 0
		dynamic=$busybox
	done
	die "no static busybox${dynamic:+: $dynamic needs shared libraries}" \
	    "./install.sh run"
}

case ${1:-} in
-h | --help)
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
	exit
	;;
--find)
	find_busybox
	echo "$busybox"
	exit
	;;
-*) die "there is no option $1" "./$1 names a folder" ;;
esac

# A whole root has this file: it is the last to be written, and the folder gets
# its name only after that.
dir=${1:-rootfs}
dir=${dir%/}
[ ! -e "$dir/etc/profile" ] || exit 0
[ ! -e "$dir" ] || die "$dir is there, but is no root of this script's making" \
    "move it away, or name another folder"

find_busybox

# Everything is made in a folder beside DIR and then renamed: a half-made root
# never carries the name of a whole one.
mkdir -p "$(dirname "$dir")"
new=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$new"

mkdir -p "$new/bin" "$new/etc" "$new/usr" "$new/var" "$new/dev" "$new/proc" \
    "$new/sys" "$new/home/guest"
mkdir -m 700 "$new/root"
mkdir -m 1777 "$new/tmp" "$new/var/tmp"

# One folder of commands under its four customary names, so that /sbin/ip and
# "#!/usr/bin/env" are found as well.
ln -s bin "$new/sbin"
ln -s ../bin "$new/usr/bin"
ln -s ../bin "$new/usr/sbin"

cp "${BUSYBOX:-$busybox}" "$new/bin/busybox"
chmod 755 "$new/bin/busybox"
for applet in $("$busybox" --list); do
	[ "$applet" = busybox ] || ln -s busybox "$new/bin/$applet"
done

# The kernel knows users by number alone; the names come from here.
cat >"$new/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
guest:x:1000:1000:guest:/home/guest:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
END
cat >"$new/etc/group" <<'END'
root:x:0:
tty:x:5:
guest:x:1000:
nogroup:x:65534:
END
cat >"$new/etc/profile" <<'END'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
END

# To root in a box, its user 1000 is guest; on disk only root can say so.
[ "$(id -u)" -ne 0 ] || chown 1000:1000 "$new/home/guest"
mv -T "$new" "$dir"
