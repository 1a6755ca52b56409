#!/bin/busybox sh
# shellcheck shell=dash
# init.sh: /init of the VM's disk, process 1: what systemd does on a large
# machine, as far as it matters here. If it ends, the kernel panics.
#
# vm.sh leaves it these on the disk:
#	/etc/vm.settings        variables: vm.sh says what each of them is
#	/etc/vm.command         a shell's command, unless there is a terminal
#	/etc/vm.input           its standard input
#	/lib/modules/order      drivers, in the order of loading

export PATH=/bin
. /etc/vm.settings

# What programs expect to find in any Linux machine.
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid dev /dev
mkdir /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr

while read -r module; do
	name=${module##*/}
	[ -d "/sys/module/${name%.ko}" ] || insmod "$module"
done </lib/modules/order

case $cgroup in
v2)
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup ;;
v1 | hybrid)
	mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs /sys/fs/cgroup
	sed 1d /proc/cgroups | while read -r controller _ _ enabled; do
		[ "$enabled" = 1 ] || continue
		mkdir "/sys/fs/cgroup/$controller"
		mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
	done
	if [ "$cgroup" = hybrid ]; then
		mkdir /sys/fs/cgroup/unified
		mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
	fi ;;
esac

# systemd makes every mount shared: what is mounted in one mount namespace then
# appears in the others. The kernel's own default is private, and would hide
# the fault of a runtime that forgets about it.
mount --make-rshared /
hostname vm
ip link set lo up

# The tree was made by who ran vm.sh; here it belongs to whom it should.
if [ "$builder" != 0 ]; then
	find / -xdev -user "$builder" -exec chown -h root:root {} +
fi
chown -R learner:learner /home/learner
chown -R plain:plain /home/plain
chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap /usr/bin/mount /usr/bin/umount

cd /whalebox || exit
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root USER=root

# login LINE: a shell on a line, in a session of its own with the line as
# its controlling terminal: without one there is no ctrl-C and no job control. A
# line cannot tell the size of the window at its other end.
login() {
	# shellcheck disable=SC2094 # the line is no file
	TERM=$terminal setsid -c /bin/sh -c "stty rows $rows cols $cols
	    exec bash -l" <"$1" >"$1" 2>&1
}

if [ -n "$terminal" ]; then
	while sleep 1; do login /dev/hvc0; done &
	login "/dev/$line"
	status=$?
else
	# The ports to the outside can be opened only once each. Behind a pipe,
	# "echo hello > /dev/stderr" works, by whatever user.
	mkfifo -m 666 /run/stdout /run/stderr
	cat /run/stdout >/dev/vport0p1 &
	copy_out=$!
	cat /run/stderr >/dev/vport0p2 &
	copy_err=$!
	setsid /bin/sh /etc/vm.command </etc/vm.input >/run/stdout 2>/run/stderr
	status=$?
	# What was left running in the background holds the pipes open: it ends
	# with the machine. kill tells of those that are gone already.
	for process in /proc/[0-9]*; do
		case ${process#/proc/} in
		1 | "$copy_out" | "$copy_err") ;;
		*) kill -KILL "${process#/proc/}" 2>/dev/null ;;
		esac
	done
	wait "$copy_out" "$copy_err"
fi
echo "$status" >/dev/vport0p3
sleep 0.1    # a moment for qemu to take what stands in the ports' queues
poweroff -nf
