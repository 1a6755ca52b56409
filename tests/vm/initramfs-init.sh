#!/bin/busybox sh
# shellcheck shell=dash
# initramfs-init.sh: /init of the VM's initramfs, the first program of all.
#
# A disk is seen only through its driver, and the driver is a file on a disk:
# that is the knot which an initramfs cuts. This one loads the drivers that
# /modules lists, mounts the disk and makes it the root. If it ends, the kernel
# panics, and qemu ends.

set -e
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do
	/bin/busybox insmod "$module"
done </modules
/bin/busybox mount -t ext4 -o noatime /dev/vda /disk
/bin/busybox umount /dev
exec /bin/busybox switch_root /disk /init
