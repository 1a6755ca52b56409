#!/bin/sh
# needs: host root
# console.sh: a transcript that is not what a reader sees fails.  The machine that
# the page is typed at is a shell on this one here.
. "$(dirname "$0")/lib.sh"

# page LINE...: types a page of these lines.  What ./whalebox lists are the boxes
# that it leaves behind.
page() {
	printf '%s\n' "$@" >page.md
	cat >rc <<-END
		. "$project/tests/vm/profile"
		afresh() { [ \$# -gt 1 ] || bash --rcfile rc -i; }
	END
	printf '%s\n' '#!/bin/sh' 'case $1 in ps) cat boxes ;; rm) >boxes ;; esac' \
	    >whalebox
	chmod +x whalebox
	touch boxes
	run env MACHINE="${machine:-bash --rcfile rc -i}" LIMIT="${patience:-30}" TERM=vt100 \
	    WHALEBOX_WHERE= WHALEBOX_FILTER="${filter:-}" \
	    python3 "$project/tests/console.py" page.md
}

fence='```console'
end='```'

it 'a transcript that is true passes' '
	page "<!-- varies: 12 13 0.5~100% -->" "$fence" "\$ sleep 50 &" "[1] 12" \
	    "\$ echo \$! 12; echo \$\$; echo 0.6" "12 12" 13 0.5 \
	    "\$ kill 12" "\$ (exit 3)" "[3]" \
	    "\$ echo one \\" "> two" "one two" "\$ printf \"\\r1 MiB \\r2 MiB \\r\\033[K\"; echo b" b "\$ seq 5" 1 ... "[..]" \
	    "\$ PS1=\"/ # \" sh" "/ # echo in a box" "in a [..]x" "/ # exit" \
	    "\$ sleep 60" "^C" "[130]" "$end" &&
	want_status 0 && want_line "ok 1 - page.md:2: \$ sleep 50 &" &&
	want_line "ok 2 - page.md: leaves no box" && want_line "1..2"
'

# false LINE SEEN LINE...: this page fails in that line, which shows SEEN.
is_false() {
	at=$1 seen=$2
	shift 2
	page "$@" "$end" && want_status 1 && want_match "^not ok 1 - page.md:[12]: " &&
	want_line "#   page.md:$at:" && want_match "^#   the terminal: +$seen"
}

it 'another output, another status, a line more and a line less fail' '
	is_false 3 b "$fence" "\$ echo b" a "\$ echo c" c &&
	is_false 3 "\[1\]" "$fence" "\$ false" "[2]" "\$ echo c" c &&
	is_false 3 "\[1\]" "$fence" "\$ false" &&
	is_false 4 "\\$ " "$fence" "\$ echo a" a b "\$ echo c" c &&
	is_false 3 axb "$fence" "\$ echo axb" "a.b" &&
	is_false 3 xyzy "$fence" "\$ echo xyzy" "x[..]z" &&
	is_false 4 1 "$fence" "\$ seq 2" ... 3
'
it 'numbers that are to be equal, or not, or near, and are not, fail' '
	is_false 5 8 "<!-- varies: 1 -->" "$fence" "\$ echo 7; echo 8" 1 1 &&
	page "<!-- varies: 1 2 -->" "$fence" "\$ echo 7; echo 7" 1 2 "$end" &&
	want_status 1 && want_line "#   1 and 2 are one, 7" &&
	page "<!-- varies: 100~20% -->" "$fence" "\$ echo 79" 100 "$end" &&
	want_status 1 && want_line "#   79 is not within 20% of 100"
'
it 'a command that does not end fails in time, and the next fence is typed' '
	patience=3 && page "$fence" "\$ echo a; cat" a "\$ echo b" b "$end" \
	    "$fence" "\$ echo c" c "$end" &&
	want_status 1 && want_line "#   no prompt within 3 seconds" &&
	want_line "#   page.md:4:" && want_line "#     \$ echo a; cat" &&
	want_match "^ok 2 - page.md:7"
'
it 'a prompt other than the page has, or a box that is not left, fails' '
	patience=4 && is_false 3 "# " "$fence" "\$ PS1=\"# \" sh" "/ # echo a" a "/ # exit" &&
	is_false 5 "/ # " "$fence" "\$ PS1=\"/ # \" sh" "/ # echo a" a
'
it 'a page that leaves a box behind fails, and a filter leaves out the others' '
	filter="page.md: leaves" && page "$fence" "\$ false" "$end" &&
	filter="" && page "$fence" "\$ echo kiosk >boxes" "$end" && want_status 1 &&
	want_line "not ok 2 - page.md: leaves no box" && want_line "#   kiosk" &&
	same "" "$(cat boxes)" &&
	filter=echo && page "$fence" "\$ false" "$end" "$fence" "\$ echo a" a "$end" &&
	want_status 0 && want_line "1..1"
'

it 'a machine that does not start fails, once' '
	machine="echo no machine" && page "$fence" "\$ echo a" a "$end" "$fence" \
	    "\$ echo b" b "$end" && want_status 1 &&
	want_line "not ok 1 - the machine starts" && want_line "#   no machine" &&
	want_line "1..1"
'

finish
