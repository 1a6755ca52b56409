#!/bin/sh
# vm.sh: a throw-away machine to break things in, with whalebox inside.
#
#	./vm.sh                 a root shell in it; exit or ctrl-D switches it off
#	./vm.sh COMMAND...      one command, its output, its errors, its exit status
#	./vm.sh attach          a second terminal of that machine, typed elsewhere in
#	                        this folder; it ends with the machine, or its window
#	./vm.sh -h, --help      this text
#
# 125 is this script's own failure: no boot, or no time left. What can be set:
#
#	VM_IN=FILE        the command's standard input (otherwise /dev/null)
#	VM_TIMEOUT=600    seconds for a command, the boot included
#	VM_CGROUP=v2      or v1, or hybrid: how /sys/fs/cgroup is laid out
#	VM_ROOT=disk      or initramfs: there pivot_root is refused
#	VM_MEM=1024 VM_CPUS=2 VM_ACCEL=tcg     MiB, processors, or kvm
#	VM_ARCH=arm64     or amd64: another kind of processor than this machine's.
#	                  All is fetched and built for it first, VM_FILES as well
#	VM_APPEND=...     more kernel parameters
#	VM_FILES="a b"    more files of this folder to take along, out of build/ say
#	KERNEL=FILE MODULES=/lib/modules/VERSION    another kernel than Debian's
#
# A Linux machine is less than one thinks. It is a kernel; an initramfs, which
# is a cpio archive that the kernel unpacks and whose /init it runs; a disk
# with a folder tree on it; and one program, process 1, that mounts /proc and
# its like and starts all else. This script makes the initramfs and the disk,
# and none of it needs root. What runs inside, process 1 above all, is in
# tests/vm/.

set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin
self=$(basename "$0")
cd "$(dirname "$0")"

# However this script ends, its private folder goes, and the status is 125
# unless the machine gave another.
run=''
status=125
trap '[ -z "$run" ] || rm -rf "$run"; exit "$status"' EXIT

die() {
	echo "vm.sh: $1" >&2
	[ $# -lt 2 ] || echo "  hint: $2" >&2
	exit 125
}

case ${1:-} in
-h | --help)
	sed -n '2,/^$/s/^# \{0,1\}//p' "$self"
	status=0
	exit
	;;
-*) die "there is no option $1" "./vm.sh --help" ;;
esac

# ---- The kernel -------------------------------------------------------------
# Debian's cloud kernel: small, and with drivers for a virtual machine. It is
# fetched once and unpacked under build/, never installed.

find_kernel() {
	if [ -n "${KERNEL:-}" ]; then
		kernel=$KERNEL
		modules=${MODULES:-/lib/modules/$(uname -r)}
		[ -f "$kernel" ] || die "KERNEL=$kernel: no such file"
		[ -f "$modules/modules.dep" ] ||
			die "MODULES=$modules: it has no modules.dep" \
			    "name the folder /lib/modules/VERSION that goes with $kernel"
		return
	fi
	[ -d "$place/kernel" ] || fetch_kernel
	kernel=$(echo "$place"/kernel/boot/vmlinuz-*)
	modules=$(echo "$place"/kernel/lib/modules/*)
}

fetch_kernel() {
	command -v apt-get >/dev/null ||
		die "Debian's kernel is fetched with apt-get, which is not here" \
		    "KERNEL=/boot/vmlinuz MODULES=/lib/modules/$(uname -r) ./vm.sh"
	# Package lists that are missing, or old, name no package that is there.
	if [ -n "$foreign" ] || [ "$(id -u)" -eq 0 ]; then
		apt-get -qq update >&2
	fi
	# The meta package only depends on the package of the day.
	meta=linux-image-cloud-$arch
	package=$(apt-cache depends "$meta" |
	    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
	[ -n "$package" ] || die "apt knows no package $meta" "sudo apt-get update"

	echo "vm.sh: fetching the kernel $package, once" >&2
	rm -rf "$place/kernel.new"
	mkdir "$place/kernel.new"
	( cd "$place/kernel.new" &&
	  apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$package" >&2 &&
	  dpkg-deb -x ./*.deb . &&
	  rm ./*.deb &&
	  busybox depmod -b "$PWD" "$(basename lib/modules/*)" ) ||
		die "cannot fetch the kernel" "sudo apt-get update"
	mv "$place/kernel.new" "$place/kernel"
}

# ---- Another kind of processor ----------------------------------------------
# What this machine has of its own kind is fetched for the other from Debian, is
# unpacked, and never installed. The project is built in a copy of this folder.

# From here on apt-get speaks of the other kind's packages, with lists and a cache
# of its own, and as if none were installed: nothing of this machine's changes.
use_foreign_packages() {
	mkdir -p "$place/apt/lists/partial" "$place/apt/cache/archives/partial"
	: >"$place/apt/status"
	cat >"$place/apt/conf" <<END
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
Dir::State "$PWD/$place/apt";
Dir::State::status "$PWD/$place/apt/status";
Dir::Cache "$PWD/$place/apt/cache";
END
	export APT_CONFIG="$PWD/$place/apt/conf"
}

# The packages of what find_tools looks for, which come with those they depend on;
# and those of busybox, of musl and of the kernel's headers, which need no others.
foreign_tools="bash bsdutils coreutils dash gzip iproute2 mount procps psmisc strace
	tar uidmap util-linux"
foreign_files="busybox-static linux-libc-dev musl-dev"

fetch_foreign() {
	command -v apt-get >/dev/null ||
		die "what a machine of another kind needs is fetched with apt-get, which is not here"
	echo "vm.sh: fetching the programs of an $arch machine, once" >&2
	apt-get -qq update >&2
	rm -rf "$place/root.new"
	mkdir "$place/root.new"
	archives=$place/apt/cache/archives
	# shellcheck disable=SC2086  # lists of names
	{
		apt-get -qq -o APT::Sandbox::User="$(id -un)" --no-install-recommends \
		    --download-only install $foreign_tools >&2 &&
		( cd "$archives" && apt-get -qq -o APT::Sandbox::User="$(id -un)" \
		    download $foreign_files >&2 )
	} || die "cannot fetch packages for $arch" \
	    "they are Debian's: does /etc/apt name a place that has them?"
	for package in "$archives"/*.deb; do
		dpkg-deb -x "$package" "$place/root.new"
	done
	mv "$place/root.new" "$place/root"
	rm -rf "$place/apt/cache"
}

# musl's specs are what makes a gcc a musl-gcc: they say where headers and library
# are. $project is where the files are that the machine is given.
build_foreign() {
	mkdir -p "$project"
	for file in *; do
		case $file in
		build | lab | rootfs | whalebox) continue ;;
		esac
		rm -rf "${project:?}/$file"
		cp -Rp "$file" "$project/"
	done
	headers=$foreign/usr/include
	sed "s|/usr/|$foreign/usr/|g" "$foreign/usr/lib/${kind%-gnu}-musl/musl-gcc.specs" \
	    >"$place/specs"
	# shellcheck disable=SC2086  # a list of files
	make -s -C "$project" -j2 CC="$kind-gcc -specs $PWD/$place/specs" \
	    HEADERS="-idirafter $headers -idirafter $headers/$kind" \
	    whalebox probes ${VM_FILES:-} >&2 ||
		die "cannot build for $arch"
}

# ---- The modules ------------------------------------------------------------

disk_modules="virtio_pci virtio_blk ext4"
late_modules="virtio_pci virtio_console overlay veth bridge"
# What iptables and nft need to translate addresses, in either dialect.
late_modules="$late_modules nf_tables nft_chain_nat nft_masq nft_nat nft_ct
	nft_fib_ipv4 nft_compat ip_tables iptable_filter iptable_nat xt_MASQUERADE
	xt_nat xt_conntrack xt_comment xt_addrtype xt_tcpudp"

# Prints the files of the modules named, each after those it depends on: each
# line of modules.dep is "file: the files it needs, the last one first".
order_modules() {
	awk -v names="$*" '
		FILENAME ~ /builtin$/ {
			builtin[name($1)] = 1
			next
		}
		{
			sub(/:$/, "", $1)
			file[name($1)] = $1
			for (i = NF; i > 1; i--)
				needs[$1] = needs[$1] " " $i
		}
		END {
			count = split(names, wanted, " ")
			for (i = 1; i <= count; i++) {
				if (wanted[i] in builtin)
					continue
				if (!(wanted[i] in file)) {
					print "vm.sh: the kernel has no module " wanted[i] \
					    > "/dev/stderr"
					exit 1
				}
				load(needs[file[wanted[i]]] " " file[wanted[i]])
			}
		}
		function name(path) {
			sub(/.*\//, "", path)
			sub(/\.ko.*/, "", path)
			gsub(/-/, "_", path)
			return path
		}
		function load(list,    paths, n, i) {
			n = split(list, paths, " ")
			for (i = 1; i <= n; i++)
				if (!(paths[i] in done)) {
					done[paths[i]] = 1
					print paths[i]
				}
		}' "$modules/modules.builtin" "$modules/modules.dep"
}

# copy_modules DIR LIST NAME...: copies the modules, unpacked, into the tree
# DIR, and writes their paths in it, in the order of loading, to DIR/LIST.
copy_modules() {
	tree=$1 list=$2
	shift 2
	mkdir -p "$tree/lib/modules"
	order_modules "$@" >"$tree/$list.packed" || exit 125
	while read -r file; do
		unpacked=/lib/modules/$(basename "$file")
		case $file in
		*.ko)  cat "$modules/$file" ;;
		*.xz)  xz -dc "$modules/$file" ;;
		*.zst) zstd -dqc "$modules/$file" ;;
		*.gz)  gzip -dc "$modules/$file" ;;
		esac >"$tree${unpacked%.ko*}.ko"
		echo "${unpacked%.ko*}.ko"
	done <"$tree/$list.packed" >"$tree/$list"
	rm "$tree/$list.packed"
}

# ---- The tree of files ------------------------------------------------------

# busybox is the base. What it lacks, or does less well, comes from this machine
# with the shared libraries that ldd names, and stands first in PATH.
needed_tools="bash findmnt flock gzip ip ipcmk ipcrm ipcs lsns mount mountpoint
	newgidmap newuidmap nsenter pgrep prlimit ps pstree script setpriv setsid
	sh strace tar taskset timeout umount unshare"
optional_tools="iptables nft zstd"

find_tools() {
	tools=
	for tool in $needed_tools; do
		tools="$tools $(find_tool "$tool")" ||
			die "$tool is missing" "./install.sh vm"
	done
	for tool in $optional_tools; do
		tools="$tools $(find_tool "$tool")" || continue
	done
}

# The path of a program of the machine's kind.
find_tool() {
	if [ -z "$foreign" ]; then
		command -v "$1"
		return
	fi
	[ "$1" != sh ] || set -- dash
	for folder in usr/bin bin usr/sbin sbin; do
		[ ! -x "$foreign/$folder/$1" ] || { echo "$foreign/$folder/$1"; return; }
	done
	return 1
}

# check_own PURPOSE TOOL...: what of this machine's own has to be there.
check_own() {
	purpose=$1
	shift
	for tool; do
		command -v "$tool" >/dev/null ||
			die "$tool is missing" "./install.sh $purpose"
	done
}

# copy_programs DIR: what find_tools found, and the shared libraries it takes. DIR is
# a whole path.
copy_programs() {
	for tool in $tools; do
		name=$(basename "$tool")
		[ "$name" != dash ] || name="sh"
		cp -L "$tool" "$1/usr/bin/$name"
	done
	if [ -n "$foreign" ]; then
		# Those of the packages: ldd would have to run the programs.
		( cd "$foreign" &&
		  cp -P --parents lib/ld-* lib/"$kind"/*.so* usr/lib/"$kind"/*.so* "$1" )
		return
	fi
	plugins=$(find /usr/lib -type d -name xtables)    # iptables dlopens these
	for file in $tools ${plugins:+"$plugins"/*.so}; do
		ldd "$file" | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p'
	done | sort -u | xargs cp -L --parents -t "$1"
	[ -z "$plugins" ] || cp -RL --parents "$plugins" "$1"
}

make_base() {
	./busybox-rootfs.sh "$1"
	# Two folders of commands, as PATH needs them: busybox's and this machine's.
	rm "$1/usr/bin" "$1/usr/sbin"
	mkdir "$1/usr/bin" "$1/run" "$1/home/learner" "$1/home/plain"
	ln -s bin "$1/usr/sbin"
	# The shell too: busybox's takes its own mount first, whatever PATH says.
	ln -s /usr/bin/bash "$1/bin/bash"
	ln -sf /usr/bin/sh "$1/bin/sh"
	copy_programs "$1"

	install -m 755 tests/vm/init.sh "$1/init"
	# shellcheck disable=SC2086  # a list of names
	copy_modules "$1" /lib/modules/order $late_modules

	# learner may use a range of ids beside its own one, plain may not.
	rmdir "$1/home/guest"
	sed -i 's/guest/learner/g
		/^learner/a plain:x:1001:1001:plain:/home/plain:/bin/sh' "$1/etc/passwd"
	sed -i 's/guest/learner/g
		/^learner/a plain:x:1001:' "$1/etc/group"
	echo learner:200000:65536 >"$1/etc/subuid"
	echo learner:200000:65536 >"$1/etc/subgid"
	echo vm >"$1/etc/hostname"
	echo "127.0.0.1 localhost vm" >"$1/etc/hosts"
	ln -s /proc/self/mounts "$1/etc/mtab"
	install -m 644 tests/vm/profile "$1/etc/profile"
	install -m 755 tests/vm/afresh.sh "$1/usr/bin/afresh"
}

# What programs have to know of a kind of terminal: of the common ones, and yours.
copy_terminfo() {
	for folder in /etc/terminfo /lib/terminfo /usr/share/terminfo; do
		for name in linux vt100 screen screen-256color tmux tmux-256color \
		    xterm xterm-256color "${TERM:-linux}"; do
			entry=$folder/$(printf %.1s "$name")/$name
			[ ! -f "$entry" ] || cp -L --parents "$entry" "$1"
		done
	done
}

make_initramfs() {
	mkdir -p "$1/bin" "$1/dev" "$1/disk"
	cp "$2/bin/busybox" "$1/bin/"
	# shellcheck disable=SC2086  # a list of names
	copy_modules "$1" /modules $disk_modules
	install -m 755 tests/vm/initramfs-init.sh "$1/init"
	pack "$1" >"$1.cpio"
}

# The kernel's format for an initramfs is cpio's "newc"; -R makes root of all
# owners, whoever packs.
pack() {
	( cd "$1" && find . | cpio --quiet -o -H newc -R 0:0 )
}

# The base and the initramfs are kept beside the machine's kernel, for as long as this script,
# the kernel and the tools are the same.
make_cache() {
	# shellcheck disable=SC2012,SC2086  # a fingerprint, and lists of paths
	key=$(ls -lL "$self" busybox-rootfs.sh tests/vm/* "$kernel" $tools)
	[ ! -f "$place/vm/key" ] || [ "$key" != "$(cat "$place/vm/key")" ] || return 0
	rm -rf "$place/vm/key" "$place/vm/base" "$place/vm/initramfs"
	make_base "$PWD/$place/vm/base"
	make_initramfs "$place/vm/initramfs" "$place/vm/base"
	echo "$key" >"$place/vm/key"
}

# The base with the project in it: all of this folder, of build/ what the tests run.
make_tree() {
	./busybox-rootfs.sh "$project/rootfs"
	cp -RlP --preserve=mode "$place/vm/base" "$1"    # links, not copies: nothing here writes to them
	mkdir "$1/whalebox"
	( cd "$project" && for file in * build/whalebox-* build/step-* build/tests/* ${VM_FILES:-}; do
		case $file in
		build | *"*") continue ;;    # the latter: there is none
		esac
		mkdir -p "$1/whalebox/$(dirname "$file")"
		cp -R --preserve=mode,links "$file" "$1/whalebox/$(dirname "$file")/"
	done )
	cp -R --preserve=mode,links "$project/rootfs" "$1/home/learner/rootfs"
	chmod -R a+rX "$1/whalebox"
	chmod 700 "$1/whalebox/rootfs/root"
	copy_terminfo "$1"
}

# ---- The run ----------------------------------------------------------------

# The private folder of this run lies where the base can be linked into it. Two
# machines at once share nothing but the base.
prepare() {
	check_own test "$emulator" mke2fs cpio
	mkdir -p "$place/vm"
	exec 9>"$place/vm/lock"
	flock 9
	if [ -n "$foreign" ]; then
		check_own test "$kind-gcc"
		use_foreign_packages
		[ -d "$foreign" ] || fetch_foreign
		build_foreign
		export BUSYBOX="$foreign/bin/busybox"
	fi
	find_tools
	find_kernel
	make_cache
	run=$(mktemp -d "$place/vm/run.XXXXXX")
	make_tree "$PWD/$run/tree"
	exec 9>&-
}

# Leaves in the tree what process 1 has to know, and makes the disk of it.
make_disk() {
	cat >"$run/tree/etc/vm.settings" <<END
# How /sys/fs/cgroup is laid out: v2, v1 or hybrid.
cgroup=$cgroup
# Who made the disk: what is theirs on it, is to be root's.
builder=$(id -u)
# The kind of terminal, its line and its size; without one, /etc/vm.command is run.
terminal=$terminal
line=$terminal_line
rows=${size% *}
cols=${size#* }
END
	printf '%s\n' "$*" >"$run/tree/etc/vm.command"
	cat "${VM_IN:-/dev/null}" >"$run/tree/etc/vm.input"

	initramfs=$place/vm/initramfs.cpio
	if [ "$root" = initramfs ]; then
		initramfs=$run/initramfs
		pack "$run/tree" >"$initramfs"
	fi
	# -d fills the new file system from a folder: no mount, and no root, needed.
	# The 4 GiB are a hole in the file: only what is written takes room.
	truncate -s 4G "$run/disk"
	mke2fs -q -t ext4 -O ^has_journal -d "$run/tree" "$run/disk"
	rm -rf "$run/tree"
}

# A machine with one disk, two serial lines (the kernel's messages, and the
# terminal), a virtio console (a second terminal) and, as all these are terminals
# and no clean pipes, three virtio ports. It becomes the process that calls it.  norandmaps: an emulator translates
# a program again at each address where it finds it, so let there be but one.
boot() {
	parameters="console=$console panic=-1 quiet mitigations=off norandmaps"
	# Where the emulator has to wait for a processor, a PC's timer comes late.
	[ "$arch" != amd64 ] || parameters="$parameters no_timer_check"
	[ "$cgroup" != v2 ] || parameters="$parameters cgroup_no_v1=all"
	set -- -chardev "$second,id=second" -device virtconsole,chardev=second
	for port in stdout stderr status; do
		set -- "$@" -chardev "file,id=$port,path=$run/$port" \
		    -device "virtserialport,chardev=$port"
	done
	# shellcheck disable=SC2086  # lists of words
	exec timeout --foreground -k 5 "$limit" "$emulator" $machine \
	    -nodefaults -display none -no-reboot \
	    -accel "$accel" -cpu "$cpu" -smp "${VM_CPUS:-2}" -m "${VM_MEM:-1024}" \
	    -kernel "$kernel" -initrd "$initramfs" \
	    -append "$parameters ${VM_APPEND:-}" \
	    -drive "file=$run/disk,format=raw,if=virtio,cache=unsafe" \
	    -chardev "file,id=console,path=$run/console" -serial chardev:console \
	    -chardev "$line,id=line" $line_device \
	    -device virtio-serial-pci "$@" 2>"$run/qemu"
}

# Passes on what comes in a file until the machine has ended. A file, as qemu
# then never waits for a slow reader, and loses nothing when it ends before
# that reader does. Whoever closed our output wants no more of the command.
follow() {
	tail -s 0.1 -c +1 -f --pid="$vm" "$1" || kill "$vm"
}

run_command() {
	boot &
	vm=$!
	trap 'status=130; kill "$vm"; exit' HUP INT TERM
	follow "$run/stdout" &
	out=$!
	follow "$run/stderr" >&2 &
	wait "$vm" || ended=$?
	wait "$out" "$!"
}

run_terminal() {
	echo "vm.sh: the machine starts; exit or ctrl-D switches it off" >&2
	echo "vm.sh: for a second terminal of it: ./vm.sh attach, in another window" >&2
	# qemu puts the terminal in raw mode, so that each key goes to the machine.
	saved=$(stty -g)
	( boot ) || ended=$?
	stty "$saved"
}

# The other end of the pipes, of the machine that was started last. The first line
# typed tells the size of the window, and has the shell there show its prompt.
attach() {
	# shellcheck disable=SC2012  # the newest of a few names of our own
	pipes=$(ls -td build/vm/run.*/second.in build/*/vm/run.*/second.in \
	    2>/dev/null | head -n 1)
	pipes=${pipes%.in}
	[ -n "$pipes" ] || die "no machine runs with a terminal" "./vm.sh"
	[ -t 0 ] || die "no terminal here"
	size=$(stty size)
	saved=$(stty -g)
	stty raw -echo
	printf ' stty rows %s cols %s\r' "${size% *}" "${size#* }" >"$pipes.in"
	# What runs in the background would have /dev/null as its input.
	exec 3<&0
	cat <&3 >"$pipes.in" &
	cat "$pipes.out"    # until qemu ends
	kill "$!"
	stty "$saved"
	status=0
	exit
}

# ---- The summary ------------------------------------------------------------

[ "$*" != attach ] || attach
cgroup=${VM_CGROUP:-v2}
root=${VM_ROOT:-disk}
# Emulation is slow work: a plain processor, two threads of it, and qboot in the
# place of a whole BIOS make it a third faster. kvm passes on the real processor.
accel=${VM_ACCEL:-tcg}
case $(uname -m) in
x86_64)  own_arch=amd64 ;;
aarch64) own_arch=arm64 ;;
*)       own_arch=$(uname -m) ;;
esac
arch=${VM_ARCH:-$own_arch}
case $arch in
amd64)
	kind=x86_64-linux-gnu emulator=qemu-system-x86_64 cpu=Nehalem
	machine='-machine pc -bios qboot.rom'
	console=ttyS0 terminal_line=ttyS1 line_device='-serial chardev:line' ;;
arm64)
	# An Arm machine has one serial line; a second one is a PC's, on its PCI bus.
	kind=aarch64-linux-gnu emulator=qemu-system-aarch64 cpu=cortex-a72
	machine='-machine virt'
	console=ttyAMA0 terminal_line=ttyS0 line_device='-device pci-serial,chardev=line' ;;
*) die "there is no machine for an $arch processor: amd64 or arm64" ;;
esac
# Where things are kept, the files that the machine is given, and, if it is of
# another kind than this one, where that kind's programs are.
place=build project=. foreign=
if [ "$arch" != "$own_arch" ]; then
	place=build/$arch project=$place/project foreign=$PWD/$place/root
fi
case $cgroup in
v1 | v2 | hybrid) ;;
*) die "VM_CGROUP=$cgroup: v1, v2 or hybrid" ;;
esac
case $root in
disk | initramfs) ;;
*) die "VM_ROOT=$root: disk or initramfs" ;;
esac
case $accel in
tcg) accel=tcg,thread=multi ;;
kvm)
	[ -z "$foreign" ] || die "kvm runs no other kind of processor: VM_ACCEL=tcg"
	cpu=host
	# Arm's interrupt controllers differ, and this one has to be the machine's.
	[ "$arch" != arm64 ] || machine="$machine,gic-version=host" ;;
*) die "VM_ACCEL=$accel: tcg or kvm" ;;
esac
[ -n "$foreign" ] || [ -x whalebox ] || die "there is no ./whalebox" "run make first"

if [ $# -gt 0 ]; then
	terminal='' size='0 0' line=null second=null limit=${VM_TIMEOUT:-600}
else
	if [ ! -t 0 ] || [ ! -t 1 ]; then
		die "no terminal here, and no command" "./vm.sh COMMAND"
	fi
	# signal=off: ctrl-C is the machine's, not qemu's. No limit: 0.
	terminal=${TERM:-linux} size=$(stty size) line=stdio,signal=off
	# A terminal that is a serial line does not know its size.
	[ "$size" != '0 0' ] || size='24 80'
	limit=${VM_TIMEOUT:-0}
fi

prepare
make_disk "$@"
if [ -n "$terminal" ]; then
	# qemu's name for a pair of pipes, one for each direction.
	mkfifo "$run/second.in" "$run/second.out"
	second=pipe,path=$run/second
fi
touch "$run/stdout" "$run/stderr" "$run/status" "$run/console"
ended=0
if [ -n "$terminal" ]; then
	run_terminal
else
	run_command
fi
if [ -s "$run/status" ]; then
	status=$(cat "$run/status")
	exit
fi

# The command's status never came.
{
	cat "$run/qemu"
	tail -n 20 "$run/console" | tr -d '\r'
} >&2
case $ended in
124 | 137)
	die "no time left after $limit s: the machine is switched off" \
	    "VM_TIMEOUT=SECONDS gives it more" ;;
*)
	die "the machine ended before its command did" ;;
esac
