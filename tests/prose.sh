#!/bin/sh
# prose.sh: the book and the code say the same.
#
#	sh tests/prose.sh [FILE.md...]              both of these:
#	sh tests/prose.sh text [FILE.md...]         quotes, names, options
#	sh tests/prose.sh transcripts [FILE.md...]  transcripts, in the VM
#
# With no file, the whole book.  tests/prose.awk tells the rules for the text, and
# tests/console.py those for the transcripts, which it types at a VM's terminal.

cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh

# as_of CHAPTER: the source as of that chapter, or, with none, all of it.
as_of() {
	if [ -n "$1" ]; then
		"$project/tests/chapter.sh" "$1"
	else
		cat "$project/whalebox.c"
	fi
}

text() {
	"$WHALEBOX" --help >"$scratch/help" || return 1
	for file; do
		# A chapter quotes the text as of that chapter.
		chapter=$(expr "$file" : 'tutorial/\([0-9]*\)-' | sed 's/^0//')
		it "$file: quotes, names and options" '
			as_of "$chapter" >quoted.c &&
			awk -v source="$project/whalebox.c" -v quoted=quoted.c \
			    -v help="$scratch/help" -v names="$project/tests/names" \
			    -f "$project/tests/prose.awk" "$project/$file"
		'
	done
}

transcripts() {
	python3 tests/console.py "$@" || failures=1
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
transcripts)
	transcripts "$@"
	unfinished=             # console.py has told how many there are
	exit "$failures"
	;;
both)
	text "$@"
	transcripts "$@"
	;;
esac
finish
