#!/bin/sh
# needs: compiler
# first.sh: the first hour's program, taken out of its page, is what the page says.
# What its steps show, tests/console.py sees in the VM.
. "$(dirname "$0")/lib.sh"

page=$project/tutorial/first/README.md

# take STEP FILE
take() {
	awk -v step="$1" -f "$project/tests/first.awk" "$page" >"$2"
}

for compiler in gcc musl-gcc; do
	command -v $compiler >/dev/null || continue
	it "compiles at each of the first hour's steps, with $compiler" '
		for step in 1 2 3 4 5 6; do
			take $step step.c && [ -s step.c ] || exit 1
			run '$compiler' -static -Wall -Wextra -Werror -o step step.c &&
			want_status 0 && want_no_err || exit 1
		done
	'
done

it 'prints the whole program of the first hour, of 60 lines, as it is in the end' '
	take 6 last.c && take whole whole.c && diff -u last.c whole.c &&
	same 60 "$(wc -l <last.c)"
'

it 'takes a later step for one that changes something' '
	for step in 2 3 4 5 6; do
		take $((step - 1)) before.c && take $step after.c &&
		run cmp -s before.c after.c && want_status 1 || exit 1
	done
'

# The program's own mount namespace keeps all of it away from this machine; one more
# around it would, too, if that went wrong.
if is_root; then
	it 'shows two processes in the last step of the first hour' '
		ln -s "$WHALEBOX_ROOTFS" rootfs &&
		take 6 last.c && gcc -static -o last last.c &&
		run unshare --mount ./last /bin/sh -c "/bin/ps -o pid,args; hostname; ls /home" &&
		want_status 0 && want_no_err &&
		want_out "PID   COMMAND
    1 /bin/sh -c /bin/ps -o pid,args; hostname; ls /home
    2 /bin/ps -o pid,args
box
guest"
	'
else
	skip 'it needs root' 'shows two processes in the last step of the first hour'
fi

finish
