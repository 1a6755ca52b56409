#!/bin/sh
# mutants.sh [PART OF A NAME]: the tests against programs with a fault.
#
# Each mutant is whalebox.c with one fault in it, of those that tests/mutants.awk
# lists.  It is built, and the tests that may see it are run, the likely ones
# first, until one fails.  A mutant with which none fails survives: it shows a
# hole in the tests, unless it does the same as the program, as those do that
# tests/mutants.txt lists, with the reason.
#
# Two are tried at a time (JOBS=n), each in namespaces of its own, as root.  What
# came of each is a line of build/mutants/results, and is not tried again: this can
# be ended and begun at any time.  TIME=SECONDS ends it, when those that are being
# tried are done.  QUICK=1 makes only the two likeliest checks of each, and a mutant
# that these do not see is tried again by a run without.
cd "$(dirname "$0")/.." || exit 1
project=$PWD
work=$project/build/mutants
results=$work/results
mkdir -p "$work" || exit 1
touch "$results"

# mutate KIND WHERE WHICH FILE: the program with that fault.
mutate() {
	case $1 in
	drop)
		# Its result is what it was, and nobody minds it.
		awk -v line="$2" -v which="$3" 'NR == line {
			for (at = 0; which > 0; which--) {
				match(substr($0, at + 1), /(^|[^a-z_])must\(/)
				at += RSTART + RLENGTH - 1
			}
			$0 = substr($0, 1, at - 5) "(int)(" substr($0, at + 1)
		} { print }' whalebox.c ;;
	swap)
		awk -v one="$2" -v other="$3" '
			NR == FNR { text[FNR] = $0; next }
			FNR == one { print text[other]; next }
			FNR == other { print text[one]; next }
			{ print }' whalebox.c whalebox.c ;;
	esac >"$4"
}

# checks CHAPTER CALLS: the tests that may see it, a line each.
checks() {
	part='leaves nothing, whatever'
	[ "$1" -lt 11 ] || part='step fails, with'
	[ "$1" -lt 13 ] || part='ends no command'
	[ -z "$2" ] || echo "tests/faults.sh at '$2' '$part'"
	for n in "$1" 0 5 8 9 10 11 12 13 14; do
		ls tutorial/"$(printf %02d "$n")"-*/check.sh
	done
	echo tests/volumes.sh
	echo tests/attacks.sh
	echo tests/exec.sh
	echo tests/boxes.sh
}

# Where cgroup v2 is mounted.
cgroups() {
	awk '/ - cgroup2 / { print $5 }' /proc/self/mountinfo
}

# What is left of the cgroups of a run.
drop_cgroups() {
	for m in $cgroups; do
		[ ! -d "$m/$group" ] || find "$m/$group" -depth -type d -exec rmdir {} +
	done
}

# apart FOLDER TEST...: with WHALEBOX of that folder.
apart() {
	place=$1
	shift
	group=mutant.${place##*/}
	trap drop_cgroups EXIT
	trap 'exit 130' HUP INT TERM
	cgroups=$(cgroups)
	export cgroups group
	# shellcheck disable=SC2016 # the other shell's
	WHALEBOX=$place/whalebox WHALEBOX_ROOTFS=$project/rootfs \
	    PATIENCE=4 LIMIT=30 timeout -k 5 300 \
	    unshare --mount --uts --ipc --net --pid --fork --kill-child \
	    --mount-proc sh -c '
		mount --make-rprivate / && ip link set lo up || exit
		for m in $cgroups; do
			mkdir -p "$m/$group" && mount --bind "$m/$group" "$m" || exit
		done
		mkdir -p "$0/scratch" && mount -t tmpfs tmpfs "$0/scratch" &&
		mkdir "$0/scratch/home" &&
		export WHALEBOX_HOME="$0/scratch/home" TMPDIR="$0/scratch" &&
		exec sh "$@"' "$place" "$@"
	apart_status=$?
	drop_cgroups
	return $apart_status
}

# passes CHECK: with the program as it is; it is run once.
passes() {
	base=$work/base.$(echo "$1" | cksum | cut -d ' ' -f 1)
	if [ ! -e "$base" ]; then
		mkdir -p "$base.$$" && ln -sf "$project/whalebox" "$base.$$/whalebox"
		eval "set -- $1"
		apart "$base.$$" "$@" >"$base.$$/log" 2>&1 </dev/null
		echo $? >"$base"
		rm -rf "$base.$$"
	fi
	[ "$(cat "$base")" -eq 0 ]
}

# try KIND WHERE WHICH NAME CHAPTER CALLS: one mutant.
try() {
	name=$4
	folder=$work/$(printf '%s' "$name" | cksum | cut -d ' ' -f 1)
	mkdir -p "$folder" &&
	mutate "$1" "$2" "$3" "$folder/whalebox.c" || exit 1
	if cmp -s whalebox.c "$folder/whalebox.c"; then
		echo "mutants.sh: no mutant: $name" >&2
		return
	fi
	if ! make -s "build/mutants/${folder##*/}/whalebox" 2>"$folder/make"; then
		verdict='does not build'
	else
		verdict=survives
		most=99
		[ -z "${QUICK:-}" ] || most=2 verdict='not seen by the likeliest'
		checks "$5" "$6" | awk '!seen[$0]++' | head -n $most >"$folder/checks"
		while read -r check; do
			eval "set -- $check"
			apart "$folder" "$@" >"$folder/log" 2>&1 </dev/null && continue
			passes "$check" || continue
			verdict="seen by ${check%% *}: $(grep -m 1 '^not ok' \
			    "$folder/log" | cut -c 1-100)"
			break
		done <"$folder/checks"
	fi
	case $verdict in
	'not seen'*) ;;
	*) printf '%s\t%s\n' "$name" "$verdict" >>"$results" ;;
	esac
	echo "$name: $verdict"
	rm -rf "$folder"
}

if [ "${1:-}" = try ]; then
	shift
	try "$@"
	exit
fi

# The program itself has to pass, or nothing is shown.
ends=$(($(date +%s) + ${TIME:-100000}))
awk -f tests/mutants.awk whalebox.c | grep -F -e "${1:-|}" >"$work/list"
while IFS='|' read -r kind where which name chapter calls; do
	cut -f 1 "$results" | grep -Fxq -e "$name" && continue
	grep -v '^#' tests/mutants.txt | grep -Fq -e "$name" && continue
	printf '%s\0' "$kind" "$where" "$which" "$name" "$chapter" "$calls"
done <"$work/list" >"$work/todo"
ENDS=$ends xargs -0 -n 6 -P "${JOBS:-2}" sh -c '
	[ "$(date +%s)" -ge "$ENDS" ] || exec nice sh tests/mutants.sh try "$@"' sh \
    <"$work/todo"

cut -f 2 "$results" | cut -d ' ' -f 1 | sort | uniq -c
echo "not tried: $(while IFS='|' read -r _ _ _ name _; do
	cut -f 1 "$results" | grep -Fxq -e "$name" || echo "$name"; done \
	<"$work/list" | wc -l)"
echo 'survivors:'
grep "$(printf '\t')survives" "$results"
