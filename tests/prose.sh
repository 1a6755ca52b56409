#!/bin/sh
# prose.sh: the book and the code say the same.
#
#	sh tests/prose.sh [FILE.md...]              both of these:
#	sh tests/prose.sh text [FILE.md...]         quotes, names, options
#	sh tests/prose.sh transcripts [FILE.md...]  transcripts, in the VM
#
# With no file, the whole book.  tests/prose.awk tells the rules for the text.
#
# A transcript is a fence ```console, and every one is run, in the VM.
# - `$ ` begins a command of the host, run by sh in the project's folder; a line
#   `> ` right below it goes on with it.
# - `/ # ` begins a line that the box's shell, which the command above it is to
#   start, is given as its standard input.  So a command that reads its input
#   would eat the lines after it.  Mind that there is no terminal.
# - All else is what they print, output and errors in order; [..] stands for
#   anything in a line, ... alone on a line for any lines.
# - A command of the host that ends with another status than 0 is followed by
#   that status, as in [3].
# - Variables, the folder and background jobs last until the end of the fence.
#   Each fence has a WHALEBOX_HOME of its own, and namespaces, by the VM's command
#   `afresh`: whatever it leaves running or mounted ends with it.
# - `<!-- as: learner -->` above a fence: by that user, not by root.

cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh

text() {
	"$WHALEBOX" --help >"$scratch/help" || return 1
	for file; do
		it "$file: quotes, names and options" '
			awk -v source="$project/whalebox.c" -v help="$scratch/help" \
			    -v names="$project/tests/names" \
			    -f "$project/tests/prose.awk" "$project/$file"
		'
	done
}

# session K: runs the fence K as whoever is to run it.
session() {
	unset WHALEBOX WHALEBOX_ROOTFS WHALEBOX_MUST_WORK
	export WHALEBOX_HOME="$PWD/home"
	mkdir "$WHALEBOX_HOME" && cd "$project" || return 1
	user=root
	if grep -q learner "$scratch/fences/$1.as"; then
		user=learner
		chown learner "$WHALEBOX_HOME" || return 1
	fi
	afresh "$user" timeout -k 5 120 /bin/sh "$scratch/fences/$1.sh"
}

transcripts() {
	if [ "$project" != /whalebox ]; then
		failed 'transcripts run in the VM: ./vm.sh sh tests/prose.sh transcripts'
		return
	fi
	chmod 755 "$scratch"
	for file; do
		mkdir "$scratch/fences"
		fences=$(awk -v dir="$scratch/fences" -f tests/console.awk "$file")
		fence=0
		while [ $fence -lt "$fences" ]; do
			fence=$((fence + 1))
			wanted=$scratch/fences/$fence.want
			it "$file: $(head -n 1 "$wanted")" '
				chmod 755 . &&
				{ ( session $fence ) >printed 2>&1 || true; } &&
				if ! awk -f "$project/tests/match.awk" "$wanted" printed; then
					diff -u "$wanted" printed | sed 1,2d
					false
				fi
			'
		done
		rm -r "$scratch/fences"
	done
}

what=both
case ${1:-} in
text | transcripts)
	what=$1
	shift
	;;
esac
[ $# -gt 0 ] || set -- README.md tutorial/*.md tutorial/*/*.md bench/*.md
case $what in
text)        text "$@" ;;
transcripts) transcripts "$@" ;;
both)
	text "$@"
	./vm.sh sh tests/prose.sh transcripts "$@" || failures=1
	;;
esac
finish
