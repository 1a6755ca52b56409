#!/bin/sh
# install.sh run|vm|test|test-images|test-wires|bench|lint|fuzz: installs what that
# purpose needs and this machine lacks, and says so: on Debian and its kin, which have
# apt-get. On other systems it names the packages, for you to install.
#
# What a VM of another kind of processor takes (VM_ARCH in vm.sh), only `test`
# installs, as only the tests start one, and only on x86-64.
#
# It looks for the things themselves and asks no package manager: where nothing
# is missing it is silent and quick.

set -eu
PATH=$PATH:/usr/sbin:/sbin

die() {
	echo "install.sh: $1" >&2
	[ $# -lt 2 ] || echo "  hint: $2" >&2
	exit 1
}

# A row: the purposes, or the processor whose VM it is for; what they need; and the package that has it on Debian
# (apt-get), Fedora (dnf), Alpine (apk) and Arch (pacman). What is needed is a
# file by its path, or a command, or one of the names that is_there knows.
print_table() {
	cat <<'END'
run        make                       make             make                 make               make
run,lint   cc                         gcc              gcc                  gcc                gcc
run        musl                       musl-tools       musl-gcc             musl-dev           musl
run        /usr/include/linux/sched.h linux-libc-dev   kernel-headers       linux-headers      linux-api-headers
run        static-busybox             busybox-static   busybox              busybox-static     busybox
x86_64     qemu-system-x86_64         qemu-system-x86  qemu-system-x86-core qemu-system-x86_64 qemu-system-x86
aarch64    qemu-system-aarch64        qemu-system-arm  qemu-system-aarch64-core qemu-system-aarch64 qemu-system-aarch64
cross      aarch64-linux-gnu-gcc      gcc-aarch64-linux-gnu gcc-aarch64-linux-gnu - -
test,bench mke2fs                     e2fsprogs        e2fsprogs            e2fsprogs          e2fsprogs
test       cpio                       cpio             cpio                 cpio               cpio
test       gnu-tail                   coreutils        coreutils            coreutils          coreutils
test       strace                     strace           strace               strace             strace
test       unifdef                    unifdef          unifdef              unifdef            unifdef
test,lint  shellcheck                 shellcheck       ShellCheck           shellcheck         shellcheck
test       python3                    python3          python3              python3            python
test       bash                       bash             bash                 bash               bash
test       mandoc                     mandoc           mandoc               mandoc             mandoc
test       newuidmap                  uidmap           shadow-utils         shadow-uidmap      shadow
test       lsns                       util-linux       util-linux           util-linux         util-linux
test       script                     bsdutils         /usr/bin/script      util-linux-misc    util-linux
test       ip                         iproute2         iproute              iproute2           iproute2
test       nft                        nftables         nftables             nftables           nftables
test       iptables                   iptables         iptables-nft         iptables           iptables
test       pasta                      passt            passt                passt              passt
test       slirp4netns                slirp4netns      slirp4netns          slirp4netns        slirp4netns
test-wires curl                       curl             curl                 curl               curl
test       pstree                     psmisc           psmisc               psmisc             psmisc
test       pgrep                      procps           procps-ng            procps-ng          procps-ng
test       gnu-tar                    tar              tar                  tar                tar
test       gzip                       gzip             gzip                 gzip               gzip
test       zstd                       zstd             zstd                 zstd               zstd
test-images skopeo                    skopeo           skopeo               skopeo             skopeo
test-images umoci                     umoci            umoci                umoci              umoci
test-images,test-wires debootstrap               debootstrap      debootstrap          debootstrap        debootstrap
test-images docker-registry           docker-registry  docker-distribution  docker-registry    docker-registry
test-images podman                    podman           podman               podman             podman
test,bench bwrap                      bubblewrap       bubblewrap           bubblewrap         bubblewrap
bench      crun                       crun             crun                 crun               crun
bench      runc                       runc             runc                 runc               runc
lint       /usr/include/stdio.h       libc6-dev        glibc-devel          musl-dev           glibc
lint       cppcheck                   cppcheck         cppcheck             cppcheck           cppcheck
lint       clang-tidy                 clang-tidy       clang-tools-extra    clang-extra-tools  clang
fuzz       clang                      clang            clang                clang              clang
fuzz       libfuzzer                  libclang-rt-dev  compiler-rt          compiler-rt        compiler-rt
END
}

is_there() {
	case $1 in
	/*) [ -e "$1" ] ;;
	musl)
		# On Alpine every compiler is musl's, once the headers are there.
		if [ -e /etc/alpine-release ]; then
			[ -e /usr/include/stdio.h ]
		else
			command -v musl-gcc >/dev/null
		fi ;;
	static-busybox)
		"$(dirname "$0")/busybox-rootfs.sh" --find >/dev/null 2>&1 ;;
	libfuzzer)
		# It comes with clang, and yet not always.
		folder=$(clang -print-resource-dir 2>/dev/null) || return 1
		set -- "$folder"/lib/*/libclang_rt.fuzzer-* \
		    "$folder"/lib/*/libclang_rt.fuzzer.a
		[ -e "$1" ] || [ -e "$2" ] ;;
	gnu-tail) tail --version >/dev/null 2>&1 ;;
	gnu-tar) tar --version 2>/dev/null | grep -q GNU ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# find_missing PURPOSE...: sets missing.
find_missing() {
	missing=
	for purpose; do
		for thing in $(print_table | awk -v purpose="$purpose" \
		    'index("," $1 ",", "," purpose ",") { print $2 }'); do
			is_there "$thing" || missing="$missing $thing"
		done
	done
}

# name_packages COLUMN: sets packages, which have what is missing, each of them
# once.
name_packages() {
	packages=
	for thing in $missing; do
		package=$(print_table | awk -v thing="$thing" -v column="$1" \
		    '$2 == thing { print $column }')
		case " $packages " in
		*" $package "*) ;;
		*) packages="$packages $package" ;;
		esac
	done
}

# Another system than Debian, of which this script knows names alone.
name_packages_elsewhere() {
	if command -v dnf >/dev/null; then
		name_packages 4
		hint="dnf install$packages"
	elif command -v apk >/dev/null; then
		name_packages 5
		hint="apk add$packages"
	elif command -v pacman >/dev/null; then
		name_packages 6
		hint="pacman -S --needed$packages"
	else
		name_packages 3
		hint="they are in Debian's packages$packages"
	fi
	die "missing:$missing; without apt-get, you have to install it" "$hint"
}

# Debian and its kin.
install_packages() {
	name_packages 3
	install="apt-get install -y --no-install-recommends"
	sudo=
	if [ "$(id -u)" -ne 0 ]; then
		sudo="sudo "
		# sudo can ask for a password where there is a terminal, and nowhere else.
		if ! command -v sudo >/dev/null || ! { [ -t 0 ] || sudo -n true; }; then
			die "missing:$missing; only root can install it" \
			    "$sudo$install$packages"
		fi
	fi

	echo "install.sh: missing:$missing"
	echo "install.sh: $sudo$install$packages"
	export DEBIAN_FRONTEND=noninteractive
	update="apt-get -qq update"
	# shellcheck disable=SC2086 # lists of words
	{
		# A fresh machine has no package lists, and an old one has stale lists.
		ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || $sudo$update
		$sudo$install $packages || {
			$sudo$update
			$sudo$install $packages
		}
	}
}

case ${1:-} in
run | bench | lint | fuzz) find_missing "$1" ;;
test-images | test-wires) find_missing run test "$1" ;;
vm) find_missing run test "$(uname -m)" ;;
test)
	# The other kind's programs are Debian's, and come by apt-get.
	if [ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null; then
		find_missing run test x86_64 aarch64 cross
	else
		find_missing run test "$(uname -m)"
	fi ;;
*) die "usage: ./install.sh run|vm|test|test-images|test-wires|bench|lint|fuzz" ;;
esac
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null; then
	install_packages
else
	name_packages_elsewhere
fi

for thing in $missing; do
	is_there "$thing" || die "$thing is still missing"
done
