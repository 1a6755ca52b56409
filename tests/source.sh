#!/bin/sh
# needs: compiler
# source.sh: the source keeps its shape and its manners.
. "$(dirname "$0")/lib.sh"
LIMIT=300                       # for a busy machine

last=$(sed -n 's/^#define STAGE \([0-9]*\).*/\1/p' "$project/whalebox.c")

# at_most BYTES FILE
at_most() {
	size=$(wc -c <"$2")
	[ "$size" -le "$1" ] || wrong "$2: at most $1 bytes" "$size"
}

it 'has a switch for each chapter' '
	differ "" "$last" &&
	same "$(seq "$last")" "$("$project/tests/switches.sh" | cut -d" " -f1)"
'

# Each instruction takes four bytes on arm64, so a program is a quarter longer there.
case $(uname -m) in
aarch64) quarters=5 ;;
*)       quarters=4 ;;
esac
it 'makes a small static binary' '
	at_most $((65536 / 4 * quarters)) "$project/build/whalebox-9" &&
	at_most $((131072 / 4 * quarters)) "$project/build/whalebox-14" &&
	at_most $((196608 / 4 * quarters)) "$project/whalebox"
'

it 'is of a shape that can be read' '
	run awk -f "$project/tests/metrics.awk" "$project/whalebox.c" &&
	want_status 0 && want_out ""
'

it 'says what it does before it must succeed, and so names what fails' '
	steps() { run awk -f "$project/tests/steps.awk" "$1" "$1"; } &&
	steps "$project/whalebox.c" && want_status 0 && want_out "" &&
	sed "s/^ *must(setsid());/    must(chdir(\"x\"));/" "$project/whalebox.c" >other.c &&
	steps other.c && want_match "^line [0-9]+, in [a-z_]+[(][)]: must[(]chdir[)]" &&
	grep -v "step(12, \"setsid()\"" "$project/whalebox.c" >other.c &&
	steps other.c && want_match "in begin_session.* without a step"
'

it 'crashes on nothing that the fuzzer begins with, or has found' '
	run make -s -C "$project" replay && want_status 0 && want_no_err
'

it 'prints a chapter with nothing of later ones' '
	run make -s -C "$project" chapter N=3 && want_status 0 && want_no_err &&
	cmp out "$project/build/chapter-3.c" &&
	want_match "Chapter 3:" && want_no_match "Chapter 4:" &&
	want_no_match "^#.*(WITH_|STAGE)|--userns"
'

it 'has in the text of a chapter no switch, option or function of later ones' '
	for n in $(seq "$last"); do
		"$project/tests/words.sh" "$n" >words && [ -s words ] || exit
		for earlier in $(seq 0 $((n - 1))); do
			# systemd-run has a --user of its own.
			grep -v systemd-run "$project/build/chapter-$earlier.c" |
			    grep -nwFf words >found || continue
			echo "chapter $earlier has what is chapter ${n}s:" && cat found
		done
	done >later && cat later && same "" "$(cat later)"
'

# What a reader pays for a chapter: its text minus that of the one before.
before=0
for n in $(seq 0 "$last"); do
	[ -e "$project/build/chapter-$n.c" ] || continue
	lines=$(wc -l <"$project/build/chapter-$n.c")
	echo "# chapter $n adds $((lines - before)) lines"
	before=$lines
done

it 'refuses a stage or a switch that is not there' '
	run make -C "$project" STAGE=99 && want_status 2 && want_err "One of: 0 1" &&
	run make -C "$project" WITHOUT=FOO && want_status 2 && want_err "UTS" &&
	run make -C "$project" ONLY=FOO && want_status 2 && want_err "UTS" &&
	run make -C "$project" lab N= && want_status 2 && want_err "One of: 0 1"
'

it 'has scripts that shellcheck finds nothing in' '
	run make -s -C "$project" shellcheck && want_status 0 && want_out ""
'

# A copy, so that nobody's lab is in the way.
it 'hands out a lab and does not overwrite work on it' '
	cp -R "$project/Makefile" "$project/whalebox.c" "$project/tests" . &&
	run make -s lab N=1 && want_status 0 && want_match "test.sh lab 1" &&
	grep -q "TODO" lab/whalebox.c &&
	run make -s lab N=0 && want_status 0 &&
	echo "/* mine */" >>lab/whalebox.c &&
	run make -s lab N=1 && want_status 2 && want_err "work of yours" &&
	grep -q "/[*] mine" lab/whalebox.c &&
	run make -s lab N=1 FORCE=1 && want_status 0 &&
	same "" "$(grep "/[*] mine" lab/whalebox.c)"
'

# Nothing that begins at the left margin goes, so all that goes is in a body. And it
# is all of a body, or, where a chapter has no function, the flag: never both.
it 'takes nothing but the bodies of functions out of a lab' '
	margin="^[a-zA-Z/}]" &&
	grep "$margin" "$project/whalebox.c" >whole && [ -s whole ] &&
	for n in 0 $(seq "$last"); do
		lab=$project/build/lab-$n.c &&
		grep "$margin" "$lab" | diff whole - &&
		same 1 "$(grep -o "TODO: [a-z]*" "$lab" | sort -u | wc -l)" &&
		! cmp -s "$lab" "$project/whalebox.c" ||
		exit 1
	done
'

# The functions that a lab has taken out, whole or in parts.
taken() {
	awk '/TODO: write/ { print head } /^[a-z].*\(/ { head = $0 }' "$@" | sort
}

it 'has each function of a long lab in one part, and the steps to write it in' '
	cp -R "$project/Makefile" "$project/whalebox.c" "$project/tests" . && mkdir build &&
	for n in $(grep -v "^#" tests/parts | cut -d" " -f1 | uniq); do
		parts=$(grep "^$n " tests/parts | cut -d" " -f2) &&
		for part in $parts; do
			run make -s lab "N=$n" "PART=$part" FORCE=1 && want_status 0 &&
			want_match "part $part of chapter $n" || exit 1
		done &&
		taken build/lab-"$n"-part-*.c >parts && taken "$project/build/lab-$n.c" >whole &&
		diff -u whole parts &&
		"$project/test.sh" lab "$n" order | sed -n "s/^\([0-9]*\). (\([0-9]*\) min.*/\1 \2/p" >steps &&
		same "$(grep "^$n " tests/parts | cut -d" " -f2,3)" "$(cat steps)" &&
		hours=$(awk "{ sum += \$2 } END { print int(sum / 60 + 0.5) }" steps) &&
		grep -Fq "It takes about $hours hours, in" "$project/tutorial/$(printf %02d "$n")"-*/README.md ||
			{ echo "chapter $n: it takes about $hours hours"; exit 1; }
	done &&
	run make lab N=13 PART=9 && want_status 2 && want_err "One of: 1 2 3 4 5" &&
	run make lab N=5 PART=1 && want_status 2 && want_err "chapter 5 has no parts"
'

it 'grades a lab' '
	run env PATIENCE=2 "$project/test.sh" lab 0 "$project/build/lab-0.c" &&
	want_status 1 && want_match "^# hint: " &&
	want_match "^# passes already, .*: ends with 125" &&
	want_match "^lab 00-process: [0-9]+ of [0-9]+$" &&
	run "$project/test.sh" lab 9 order && want_status 0 && want_match "^1[.] " &&
	run "$project/test.sh" lab 0 "$project/whalebox.c" && want_status 0 &&
	want_no_match "^not ok"
'

finish
