#!/bin/sh
# world.sh WHO TITLE BODY GROUP: for tests/removal.sh, which runs it in new namespaces.
#
# It makes a world: a file system in memory as the whole root, with some files of
# a user's and of root's to be lost, lets go of the machine, and runs the test in
# there.  The current folder has `tools`, which will be there, read-only.

set -e
mkdir -p world
mount --make-rprivate /
mount -t tmpfs -o mode=755 world world
cd world
mkdir -p tools proc sys dev scratch old etc lib64 root usr/share home/ann/papers/old \
    home/ann/.local/share/whalebox var/lib/whalebox srv/data
for n in 1 2 3 4 5; do
	echo "letter $n" >home/ann/papers/letter$n
	echo "old $n" >home/ann/papers/old/$n
	echo "data $n" >srv/data/$n
	echo "share $n" >usr/share/$n
done
echo secret >home/ann/.key
chmod 600 home/ann/.key
echo notes >root/notes
chmod 700 root
printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n' >etc/passwd
printf 'root:x:0:\nann:x:1000:\n' >etc/group
echo "to ann" >home/ann/letter
echo "to root" >root/letter
chown -R 1000:1000 home/ann
# A program has the path of its loader in it, which is another one on arm64.
for library in ../tools/lib/ld-*; do
	case $library in
	*"*") ;;                # there is none
	*-aarch64.*) mkdir -p lib && cp "$library" lib ;;
	*) cp "$library" lib64 ;;
	esac
done
if [ "$1" = range ]; then
	# What is set-user-ID root looks for its libraries here alone.
	mkdir -p lib usr/bin
	cp ../tools/lib/* lib
	cp ../tools/range/* usr/bin
	chmod 4755 usr/bin/newuidmap usr/bin/newgidmap
	echo ann:200000:65536 | tee etc/subuid >etc/subgid
fi

mkdir -m 1777 tmp
mount --bind ../tools tools
mount -o remount,bind,ro tools
mount -t tmpfs -o mode=1777 scratch scratch
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if [ "$1" = cgroup ]; then
	mkdir "$4"
	echo 0 >"$4/cgroup.procs"
	unshare --cgroup mount -t cgroup2 none sys/fs/cgroup
fi
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
mknod dev/null c 1 3
mknod dev/zero c 1 5
mknod dev/full c 1 7
mknod dev/random c 1 8
mknod dev/urandom c 1 9
mknod dev/tty c 5 0
chmod 666 dev/null dev/zero dev/full dev/random dev/urandom dev/tty
ln -s /proc/self/fd dev/fd
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx

pivot_root . old
# shellcheck disable=SC2016 # for the other shell, which is of this world
exec /tools/bin/busybox env -i PATH=/tools/bin TMPDIR=/scratch HOME=/root \
    LD_LIBRARY_PATH=/tools/lib LIMIT="$LIMIT" PATIENCE="$PATIENCE" \
    FULL="$FULL" /tools/bin/busybox sh -c '
	umount -l /old && rmdir /old && cd / &&
	exec sh /tools/tests/removal.sh inside "$@"' sh "$@"
