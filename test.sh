#!/bin/sh
# test.sh: all of whalebox's tests.
#
#	./test.sh [FILTER...]         on this host, and then in throw-away VMs
#	./test.sh host [FILTER...]    the first half of that
#	./test.sh vm [FILTER...]      the other half
#	./test.sh inside root|user|arm64 [FILTER...]    what the VMs run for that
#	./test.sh lab N [FILE]        grade lab/whalebox.c, or FILE, for chapter N
#	./test.sh lab N order         the steps in which that is best written
#
# A FILTER is a part of a title: tests that contain none of them are left out.
# KEEP=1 keeps scratch folders.  WHALEBOX_MUST_WORK=1 turns skips into failures.
#
# Each chapter's check has to pass as soon as its chapter is compiled in, and
# has to fail without it, or it would show nothing.  It runs in four places:
# here and in the VM, as root and as an ordinary user.

cd "$(dirname "$0")" || exit 1
. tests/lib.sh
unfinished=                     # its tests are summed up by tests/tap.awk
unset WHALEBOX WHALEBOX_HOME    # each script is given its own

needs() {
	sed -n 's/^# needs://p' "$1"
}

# met FILE PLACE: what the script needs is there.
met() {
	for need in $(needs "$1"); do
		case $need in
		root)     is_root ;;
		user)     ! is_root ;;
		cgroup2)  has_cgroup2 ;;
		host | vm) [ "${2% *}" = "$need" ] ;;
		once)     [ "$2" != 'vm user' ] ;;
		compiler) [ "$2" = sources ] ;;
		*)        echo "not ok - $1 needs $need, whatever that is"; false ;;
		esac || return 1
	done
}

# The scripts that test.sh chooses a place for.
scripts() {
	grep -l '^# needs:' tutorial/*/check.sh tests/*.sh
}

# script WHERE BINARY FILE [ARGUMENT...]
script() {
	script_where=$1 script_binary=$2
	shift 2
	rm -rf "${scratch:?}/home"
	now
	script_began=$now
	WHALEBOX=$project/$script_binary WHALEBOX_HOME=$scratch/home \
	    WHALEBOX_WHERE="$script_where: " timeout -k 5 1800 sh "$@"
	script_status=$?
	[ $script_status -le 1 ] ||
		echo "not ok - $script_where: runs to its end: $script_status"
	now
	echo "# $script_where took $((now - script_began)) s"
}

# refuses WHERE BINARY CHECK: the check fails, with a hint for each failure.
refuses() {
	binary=$project/$2 check=$project/$3
	WHALEBOX_WHERE="$1: " it "fails with ${2##*/}" '
		LIMIT=300 &&
		run env WHALEBOX="$binary" WHALEBOX_HOME="$PWD/home" \
		    WHALEBOX_WHERE= WHALEBOX_FILTER= PATIENCE=2 /bin/sh "$check" &&
		want_status 1 && want_match "^1\.\." && want_match "^not ok" &&
		same "$(grep -c "^not ok" out)" "$(grep -c "^# hint: " out)"
	'
}

# place WHERE: what can run here, as root or as an ordinary user.
place() {
	if is_root && [ "${1#* }" = user ]; then
		setpriv --reuid 1000 --regid 1000 --clear-groups \
		    --inh-caps=-all ./test.sh place "$1"
		return
	fi
	if ! is_root && ! unshare --user true; then
		skip 'user namespaces are refused to ordinary users' "$1: all tests"
		return 0
	fi
	for file in $(scripts); do
		met "$file" "$1" || continue
		echo "# $1 runs $file"
		case $file in
		tutorial/*) chapter "$1" "$file" ;;
		*) script "$1: $(basename "$file" .sh)" whalebox "$file" ;;
		esac
	done
}

# chapter WHERE CHECK
chapter() {
	name=$(basename "$(dirname "$2")")
	n=$(expr "$name" : '0*\([0-9][0-9]*\)-')
	script "$1: $name" whalebox "$2"
	# Under emulation all takes ten times as long: what this host can show as
	# well, the build of the one stage and that the check can fail, it shows.
	case "$1,$(needs "$2")" in
	'host '* | 'vm root,'*cgroup2* | 'vm root,'*vm*) ;;
	*) return 0 ;;
	esac
	another "build/whalebox-$n" whalebox ||
		script "$1: $name, stage $n" "build/whalebox-$n" "$2"
	[ "${1#* }" = root ] || return 0
	another "build/whalebox-solved-$n" whalebox ||
		script "$1: $name, lab solved" "build/whalebox-solved-$n" "$2"
	refuses "$1: $name" "build/whalebox-lab-$n" "$2"
	[ "$n" -gt 0 ] || return 0
	refuses "$1: $name" "build/whalebox-$((n - 1))" "$2"
	without=build/whalebox-no-$(switch_of "$n")
	another "$without" "build/whalebox-$((n - 1))" ||
		refuses "$1: $name" "$without" "$2"
}

# another BINARY THAT: it is the same, byte by byte, as one that is run anyway.
another() {
	cmp -s "$1" "$2"
}

# The switch of chapter N, which the source knows.
switch_of() {
	tests/switches.sh | sed -n "s/^$1 //p"
}

build() {
	# Whatever was asked for, it needs these.
	WHALEBOX_FILTER='' WHALEBOX_WHERE='host: ' it 'builds every stage, WITHOUT, ONLY, lab and chapter' '
		LIMIT=900 &&
		run make -C "$project" -j2 whalebox stages labs chapters probes first &&
		want_status 0 && want_no_err &&
		run "$project/busybox-rootfs.sh" "$project/rootfs" &&
		want_status 0
	'
}

# shielded COMMAND...: apart, with the files of this host read-only, but for the
# scratch folder, so that a mistake in what is tested does not cost them.
shielded() {
	TMPDIR=$scratch WHALEBOX_ROOTFS=$scratch/rootfs apart sh -c '
		mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"
	' "$scratch" "$@"
}

# What needs a compiler, then this host as root and as an ordinary user.
host() {
	export PATIENCE="${PATIENCE:-20}"       # where both processors may be busy
	for file in $(scripts); do
		needs "$file" | grep -q compiler || continue
		met "$file" sources || continue
		echo "# host runs $file"
		script "host: $(basename "$file" .sh)" whalebox "$file"
	done
	script 'host: prose' whalebox tests/prose.sh text
	if ! is_root; then
		skip 'it needs root' 'host root: all tests'
		place 'host user'
		return
	fi
	cp -R rootfs "$scratch" || exit 1
	# They wait more than they work, so both at once take half the time.
	elsewhere 'host root' shielded ./test.sh >"$scratch/host-root" 2>&1 &
	root=$!
	# An ordinary user may not be able to look into this folder.
	mkdir "$scratch/user" "$scratch/user/build" "$scratch/user/tmp" &&
	cp -R test.sh tests tutorial whalebox whalebox.c rootfs "$scratch/user" &&
	cp -R build/whalebox-* build/tests "$scratch/user/build" &&
	chmod 711 "$scratch" &&
	chown -R 1000:1000 "$scratch/user" || exit 1
	elsewhere 'host user' shielded env HOME="$scratch/user" \
	    TMPDIR="$scratch/user/tmp" WHALEBOX_ROOTFS="$scratch/user/rootfs" \
	    "$scratch/user/test.sh"
	wait "$root"
	cat "$scratch/host-root"
}

# elsewhere WHERE COMMAND...: the command is test.sh, in another environment.
elsewhere() {
	where=$1
	shift
	"$@" place "$where" || echo "not ok - $where: runs to its end: $?"
}

# What the VMs' half runs in each of them.
inside() {
	# Under emulation all takes ten times as long.
	export WHALEBOX_MUST_WORK=1 LIMIT=120 PATIENCE=60 SAMPLE=5
	case $1 in
	root) place 'vm root' ;;
	user) elsewhere 'vm user' env HOME=/home/learner \
		WHALEBOX_ROOTFS=/home/learner/rootfs ./test.sh ;;
	arm64) sample ;;
	esac
}

# What might differ on another kind of processor: what chapters 3 to 10 and 14 ask
# of the kernel, all about the filter, whose numbers are others, and one attack of
# each other kind.  The lines are parts of the titles in tests/attacks.sh.
sample() {
	for file in tutorial/0[3-9]-*/check.sh tutorial/1[04]-*/check.sh; do
		script "vm arm64: $(basename "$(dirname "$file")")" whalebox "$file"
	done
	cat >"$scratch/attacks" <<-'END'
		gets no way to overwrite the whalebox that made it
		has a true /dev/null, whatever its root has there
		opens no device but its own
		makes no namespace and mounts no cgroup
		sees nothing of the machine in what is covered
		shows no name that a terminal would obey
		has fourteen capabilities, and the locks of its kind
		calls for administrators
		is refused a clone with a new namespace
		is told that clone3 and calls newer than its list are missing
		has a filter that fits the headers of the kernel
		is refused the calls of the 32-bit ABI
		is refused the requests that type into a terminal
		is refused sockets that no box needs
	END
	where='vm arm64: attacks'
	while read -r title; do
		grep -Fq "$title" tests/attacks.sh ||
			echo "not ok - $where: there is a test \"$title\""
		[ -z "$WHALEBOX_FILTER" ] || printf '%s\n' "$where: $title" |
			grep -Fq "$WHALEBOX_FILTER" || continue
		printf '%s\n' "$title"
	done <"$scratch/attacks" >"$scratch/chosen"
	grep "^not ok" "$scratch/chosen"
	[ ! -s "$scratch/chosen" ] ||
		WHALEBOX_FILTER=$(cat "$scratch/chosen") \
		    script "$where" whalebox tests/attacks.sh
}

# The arguments, quoted for another shell.
quote() {
	for word; do
		printf " '%s'" "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"
	done
}

# machine PART [FILTER...]: a VM, for one part of the tests.  What runs on this
# host waits more than it works, so it comes first when it does.
machine() {
	case $1 in
	user | arm64) VM_CPUS=1 ;;      # what it costs to emulate a second one is saved
	*)    VM_CPUS=2 ;;
	esac
	export VM_CPUS
	VM_TIMEOUT=3000 nice ./vm.sh "./test.sh inside$(quote "$@")"
	vm_status=$?
	[ $vm_status -le 1 ] || echo "not ok - vm $1: runs to its end: $vm_status"
}

# typed: the transcripts of the book, in a VM that they are typed at.
typed() {
	WHALEBOX_WHERE='vm: ' LIMIT=120 VM_CPUS=2 VM_TIMEOUT=3000 \
	    nice timeout -k 5 3000 sh tests/prose.sh transcripts
	typed_status=$?
	[ $typed_status -le 1 ] || echo "not ok - vm: runs to its end: $typed_status"
}

# foreign: a VM of another kind of processor than this machine's.  What is x86-64's
# has its programs crossed to arm64; an arm64 machine's other VMs are of that kind.
foreign() {
	[ "$(uname -m)" = x86_64 ] || return 0
	if ! command -v apt-get >/dev/null; then
		skip 'the programs of its VM are fetched with apt-get' 'vm arm64: all tests'
		return
	fi
	VM_ARCH=arm64 VM_FILES='build/whalebox-0 build/whalebox-8
	    build/whalebox-no-LOCKS' machine arm64 "$@"
}

vm() {
	machine user "$@"
	typed
	foreign "$@"
	machine root "$@"
}

# judge CHECK BINARY: the check of a chapter, as a student runs it.
judge() {
	if met "$1" "host $(id -un)"; then
		[ -d "$scratch/rootfs" ] || cp -R rootfs "$scratch" || return 1
		set -- env WHALEBOX="$project/$2" sh "$1"
		! is_root || set -- shielded "$@"
	else
		echo "# $1 needs$(needs "$1"): in the VM"
		set -- ./vm.sh "WHALEBOX=/whalebox/$2 PATIENCE=${PATIENCE:-} \
		    /usr/bin/sh $1"
	fi
	"$@"
}

# titles FILE: of the tests that passed.
titles() {
	sed -n '/ # SKIP /d; s/^ok [0-9]* - //p' "$1"
}

# advise N FILE: how to go on with FILE.  What passes with nothing written is no
# merit: it is told apart, and looked for once.
advise() {
	free=build/lab-$1-$(id -u).passes
	# shellcheck disable=SC3013 # which dash, bash and busybox have
	if cmp -s "$2" "build/lab-$1.c"; then
		titles "$scratch/tap" >"$free"
	elif [ -z "$(find build -path "$free" -newer "$unsolved" -newer "$check")" ]
	then
		PATIENCE=2 judge "$check" "$unsolved" >"$scratch/unsolved"
		titles "$scratch/unsolved" >"$free"
	fi
	titles "$scratch/tap" | grep -Fxf "$free" |
	    sed 's/^/# passes already, with nothing written: /'
	[ -z "$(order "$1")" ] ||
		echo "# an order to write it in: ./test.sh lab $1 order"
}

# grade N FILE: runs chapter N's check on a student's FILE.
grade() {
	check=$(ls tutorial/"$(printf %02d "$1")"-*/check.sh) || return 1
	name=$(basename "$(dirname "$check")")
	binary=build/whalebox-work-$1
	unsolved=build/whalebox-lab-$1
	make -s "$binary" "$unsolved" LAB="$2" && ./busybox-rootfs.sh || return 1

	judge "$check" "$binary" >"$scratch/tap"
	grade_status=$?
	cat "$scratch/tap"
	[ $grade_status -eq 0 ] || advise "$1" "$2"
	if ! is_root && grep -q '^if is_root' "$check" && met "$check" "host $(id -un)"; then
		echo "# as root it asks more: ./vm.sh 'WHALEBOX=/whalebox/$binary /usr/bin/sh $check'"
	fi
	echo "lab $name: $(grep -c '^ok' "$scratch/tap") of" \
	    "$(grep -c '^\(not \)\{0,1\}ok' "$scratch/tap")"
	return $grade_status
}

# order N: the steps in which chapter N's lab is best written, if it is long
# enough to have such.
order() {
	awk '/^## / { lab = /[Tt]he lab$/ }
	    /^\[/ { lab = 0 }
	    lab && /^[0-9]+\. / { steps = 1 }
	    lab && steps' tutorial/"$(printf %02d "$1")"-*/answers.md
}

# One of the two halves, or both.
halves() {
	case $1 in
	all)
		shift
		# Only a run of everything can tell that everything ran.
		[ $# -gt 0 ] || scripts | sed 's/^/# due /'
		build
		# The VMs run beside all this.
		machine root "$@" >"$scratch/vm-root" 2>&1 &
		machine user "$@" >"$scratch/vm-user" 2>&1 &
		{ foreign "$@"; typed; } >"$scratch/vm-others" 2>&1 &
		host
		wait
		cat "$scratch/vm-root" "$scratch/vm-user" "$scratch/vm-others"
		;;
	host)   build; host ;;
	vm)     shift; build; vm "$@" ;;
	inside) inside "$caller" ;;
	esac
	echo '# end'
}

case ${1:-} in
-h | --help)
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
	exit
	;;
-*)
	echo "test.sh: there is no option $1: see ./test.sh --help" >&2
	exit 125
	;;
place)
	place "$2"
	exit
	;;
lab)
	unset WHALEBOX_WHERE WHALEBOX_FILTER
	case ${3:-} in
	order) order "$2" ;;
	*) grade "$2" "${3:-lab/whalebox.c}" ;;
	esac
	exit
	;;
host | vm) ;;
inside)
	caller=$2
	shift 2
	set -- inside "$@" ;;
*) set -- all "$@" ;;
esac
WHALEBOX_FILTER=$(shift; printf '%s\n' "$@")
export WHALEBOX_FILTER
halves "$@" 2>&1 | awk -f tests/tap.awk
