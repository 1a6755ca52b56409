#!/bin/sh
# install.sh run|test|bench|lint|fuzz: installs what that purpose needs and this
# machine lacks, with whichever package manager it has, and says so. It looks
# for the things themselves and asks no package manager: where nothing is
# missing it is silent and quick.

set -eu
PATH=$PATH:/usr/sbin:/sbin

die() {
	echo "install.sh: $1" >&2
	exit 1
}

# A row: the purpose; what it needs; and the package that has it on Debian
# (apt-get), Fedora (dnf), Alpine (apk) and Arch (pacman). What is needed is a
# file by its path, or a command, or one of the names that is_there knows.
print_table() {
	cat <<'END'
run   make                       make             make                 make               make
run   cc                         gcc              gcc                  gcc                gcc
run   musl                       musl-tools       musl-gcc             musl-dev           musl
run   /usr/include/linux/sched.h linux-libc-dev   kernel-headers       linux-headers      linux-api-headers
run   static-busybox             busybox-static   busybox              busybox-static     busybox
test  qemu-system-x86_64         qemu-system-x86  qemu-system-x86-core qemu-system-x86_64 qemu-system-x86
test  mke2fs                     e2fsprogs        e2fsprogs            e2fsprogs          e2fsprogs
test  cpio                       cpio             cpio                 cpio               cpio
test  gnu-tail                   coreutils        coreutils            coreutils          coreutils
test  strace                     strace           strace               strace             strace
test  unifdef                    unifdef          unifdef              unifdef            unifdef
test  shellcheck                 shellcheck       ShellCheck           shellcheck         shellcheck
test  bash                       bash             bash                 bash               bash
test  mandoc                     mandoc           mandoc               mandoc             mandoc
test  newuidmap                  uidmap           shadow-utils         shadow-uidmap      shadow
test  lsns                       util-linux       util-linux           util-linux         util-linux
test  script                     bsdutils         /usr/bin/script      util-linux-misc    util-linux
test  ip                         iproute2         iproute              iproute2           iproute2
test  pstree                     psmisc           psmisc               psmisc             psmisc
test  pgrep                      procps           procps-ng            procps-ng          procps-ng
test  bwrap                      bubblewrap       bubblewrap           bubblewrap         bubblewrap
bench mke2fs                     e2fsprogs        e2fsprogs            e2fsprogs          e2fsprogs
bench bwrap                      bubblewrap       bubblewrap           bubblewrap         bubblewrap
bench crun                       crun             crun                 crun               crun
bench runc                       runc             runc                 runc               runc
lint  cc                         gcc              gcc                  gcc                gcc
lint  /usr/include/stdio.h       libc6-dev        glibc-devel          musl-dev           glibc
lint  cppcheck                   cppcheck         cppcheck             cppcheck           cppcheck
lint  clang-tidy                 clang-tidy       clang-tools-extra    clang-extra-tools  clang
fuzz  clang                      clang            clang                clang              clang
fuzz  libfuzzer                  libclang-rt-dev  compiler-rt          compiler-rt        compiler-rt
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
		# A dynamic program names its loader, and would not start in a box.
		for busybox in /bin/busybox /usr/bin/busybox /bin/busybox.static \
		    /usr/bin/busybox.static /usr/lib/initcpio/busybox; do
			[ -x "$busybox" ] || continue
			grep -q '/ld-[a-z0-9_.-]*\.so' "$busybox" || return 0
		done
		return 1 ;;
	libfuzzer)
		# It comes with clang, and yet not always.
		set -- "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer-* \
		    "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer.a
		[ -e "$1" ] || [ -e "$2" ] ;;
	gnu-tail) tail --version >/dev/null 2>&1 ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# Sets manager, the column of the table that is its own, and its install line.
find_manager() {
	for manager in apt-get dnf apk pacman; do
		command -v "$manager" >/dev/null || continue
		case $manager in
		apt-get) column=1 install="apt-get install -y --no-install-recommends" ;;
		dnf)     column=2 install="dnf install -y" ;;
		apk)     column=3 install="apk add" ;;
		pacman)  column=4 install="pacman -S --needed --noconfirm" ;;
		esac
		return
	done
	die "missing:$missing; and there is no apt-get, dnf, apk or pacman to install it"
}

# Sets the list of packages that have what is missing, each of them once.
name_packages() {
	packages=
	for thing in $missing; do
		package=$(print_table |
		    awk -v thing="$thing" -v column="$column" \
		    '$2 == thing { print $(column + 2); exit }')
		case " $packages " in
		*" $package "*) ;;
		*) packages="$packages $package" ;;
		esac
	done
}

case ${1:-} in
run | bench | lint | fuzz) purposes=$1 ;;
test) purposes="run test" ;;
*) die "usage: ./install.sh run|test|bench|lint|fuzz" ;;
esac

missing=
while read -r purpose thing _; do
	case " $purposes " in
	*" $purpose "*) is_there "$thing" || missing="$missing $thing" ;;
	esac
done <<END
$(print_table)
END
[ -n "$missing" ] || exit 0

find_manager
name_packages
sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo="sudo "
	# sudo can ask for a password where there is a terminal, and nowhere else.
	if ! command -v sudo >/dev/null || ! { [ -t 0 ] || sudo -n true; }; then
		die "missing:$missing; only root can install it: $sudo$install$packages"
	fi
fi

echo "install.sh: missing:$missing"
echo "install.sh: $sudo$install$packages"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # $sudo, $install and $packages are lists of words
if [ "$manager" = apt-get ]; then
	# A fresh machine has no package lists, and an old one has stale lists.
	ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || ${sudo}apt-get -qq update
	$sudo$install $packages || {
		${sudo}apt-get -qq update
		$sudo$install $packages
	}
else
	$sudo$install $packages
fi

for thing in $missing; do
	is_there "$thing" || die "$thing is still missing"
done
