# shellcheck shell=sh
# apart.sh: for the benchmarks: run the script anew in a mount table of its own,
# with the arguments "--inside FOLDER" in front of its own.  A runtime that leaks
# mounts is not to leak them on this machine, and they are gone before the files
# are removed.  Sets project, and in there tmp; the rest is in "$@".

die() {
	echo "${0##*/}: $1" >&2
	exit 1
}

project=$(cd "$(dirname "$0")/.." && pwd)
if [ "${1-}" != --inside ]; then
	[ "$(id -u)" = 0 ] || die "needs root: what is measured is root's box"
	tmp=$(mktemp -d)
	trap 'rm -rf --one-file-system "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	unshare --mount "$project/bench/${0##*/}" --inside "$tmp" "$@"
	exit
fi
tmp=$2
shift 2
[ -x "$project/whalebox" ] || die "no whalebox to measure: run make first"

# compile PROGRAM...: makes $built/PROGRAM of bench/PROGRAM.c.  Where there is no
# make, it has to be there.
built=$project/build/bench
compile() {
	for program; do
		if command -v make >/dev/null; then
			make -s -C "$project" "build/bench/$program"
		fi
		[ -x "$built/$program" ] ||
			die "no make, and no build/bench/$program"
	done
}
