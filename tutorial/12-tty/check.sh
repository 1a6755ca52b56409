#!/bin/sh
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# on_terminal COMMANDS: a shell runs them on a new terminal of 30 rows and 90
# columns.  What they show lies in ./shown, without the carriage returns.
on_terminal() {
	mkfifo keys || return 1
	SHELL=/bin/sh run script -qc "stty rows 30 cols 90; $1" /dev/null <>keys
	rm keys
	tr -d '\r' <out >shown
}

it 'gives the box a terminal, the first of its own' '
	box -t /bin/sh -c "tty; ls -1 /dev/pts; test -t 0 && test -t 1 && test -t 2" &&
	want_status 0 && tr -d "\r" <out >shown &&
	same "/dev/pts/0 0 ptmx" "$(paste -sd " " shown)" &&
	box /bin/sh -c "test -t 0 || ls -1 /dev/pts" && want_out ptmx
' 'Which devpts is /dev/pts/ptmx of, after the pivot, and who opens it?'

it 'makes it the controlling terminal of a session of the box' '
	box -t /bin/sh -mc "cut -d \" \" -f 1,5,6,7 /proc/\$\$/stat
	    sleep 60 & jobs; kill %1; echo y >/dev/tty" &&
	want_status 0 && tr -d "\r" <out >shown &&
	same "1 1 1" "$(sed -n "1s/ [0-9]*\$//p" shown)" &&
	grep -q Running shown && grep -qx y shown && same "" "$(grep "job control" shown)"
' 'setsid(2), and the ioctl TIOCSCTTY.'

it 'gives it one without -t where all three streams are yours, and only there' '
	on_terminal "\"\$WHALEBOX\" /bin/tty; \"\$WHALEBOX\" /bin/tty 2>file
	    \"\$WHALEBOX\" /bin/tty | cat; \"\$WHALEBOX\" /bin/tty </dev/null" &&
	same 1 "$(grep -c "^/dev/pts/0" shown)" && same 4 "$(wc -l <shown)"
' 'tcgetpgrp(3) knows a terminal that is not of your session, or a pipe, by its error.'

it 'puts the box in a session of its own even without a terminal' '
	box /bin/sh -c "cut -d \" \" -f 5,6,7 /proc/\$\$/stat" && want_status 0 &&
	want_out "1 1 0"
' 'setsid(2), in the child, whatever -t says.'

it 'keeps from the caller what the box sends to its own group' '
	weak= && { ! is_root || weak="--userns host"; } &&
	run sh -c "\"\$WHALEBOX\" $weak /bin/sh -c \"(kill -9 0; :); exit 5\"; echo \$?" &&
	want_status 0 && want_out 5
' 'A group is one of a session. Whose is the group of the box?'

it 'passes a signal on to the whole group of the first process' '
	run timeout --foreground --preserve-status -k 2 2 \
	    "$WHALEBOX" /bin/sh -c "sleep 60; exit 4" &&
	want_status 4
' 'kill(2), with a negative number. PID 1 is immune; who else is in its group?'

it 'goes on when nobody in the box has the terminal open' '
	box -t /bin/sh -c "trap : HUP; exec </dev/null >/dev/null 2>&1; sleep 1
	    echo late >/dev/tty; exit 6" && want_status 6 && want_match "^late"
' 'The master reads EIO while no slave is open. Who could hold one?'

it 'turns typed ^C and ^Z into signals for the job in the foreground' '
	{ soon grep -q "^one" out && printf "\032" &&
	  soon grep -q "two" out && printf "\003" &&
	  soon grep -q "ended" out && echo; } | {
		box -t /bin/sh -mc "sh -c \"echo one; exec sleep 60\"; jobs; trap : INT
		    sh -c \"echo two; exec sleep 60\"; echo ended \$?; read key; exit 7" &&
		want_status 7; } &&
	want_match Stopped && want_match "ended 130"
' 'They are bytes on the way. Which line discipline is to look at them?'

it 'copies what is typed to the box, and its end as ^D' '
	{ printf "one\ntwo\n" | box -t /bin/sh -c \
	    "stty -echo; read a; read b; echo \$b \$a; cat; cat; echo end"; } &&
	tr -d "\r" <out | grep -qx "two one" && grep -q end out
' 'A terminal has no end of file; the line discipline makes one of ^D.'

it 'copies 30,000 lines of output without loss' '
	box -t /bin/sh -c "stty -opost; seq -w 30000" && want_status 0 &&
	seq -w 30000 >wanted && cmp out wanted
' 'read(2) and write(2) may do less than they were asked to.'

it 'ends with the status of the command' '
	box -t /bin/sh -c "exit 7" && want_status 7 &&
	box -t /nowhere && want_status 127 &&
	box -t --name x..y/ /bin/true && want_status 125
' 'The relay is another process; whose status is it that counts?'

it 'gives the box the size of the window, from the start and when it changes' '
	on_terminal "(sleep 2; stty rows 24 cols 80 </dev/tty) &
	    \"\$WHALEBOX\" -t /bin/sh -c \"trap \\\"stty size\\\" WINCH; stty size; sleep 4; :\"" &&
	same "30 90${newline}24 80" "$(cat shown)"
' 'TIOCGWINSZ on one terminal, TIOCSWINSZ on the other, and SIGWINCH in between.'

it 'leaves the caller its terminal as it was' '
	on_terminal "stty -a >before; \"\$WHALEBOX\" -t /bin/stty raw -echo
	    echo \$? >ended; stty -a >after" && same 0 "$(cat ended)" &&
	diff before after && grep -q " echo " after
' 'tcgetattr(3) before, tcsetattr(3) after.'

it 'puts the terminal right even when whalebox is killed' '
	on_terminal "stty -a >before
	    \"\$WHALEBOX\" -t /bin/sh -c \"echo ready; sleep 60\" </dev/tty >ready &
	    for i in \$(seq 50); do grep -q ready ready && break; sleep 0.1; done
	    stty -a >during
	    kill -KILL \$!; wait \$!
	    for i in \$(seq 50); do stty -a >after
	    cmp -s before after && break; sleep 0.1; done" &&
	grep -q -e "-icanon" during && diff before after
' 'Who is left to do it? Not a process that was killed.'

it 'keeps the terminal of the caller out of the box' '
	on_terminal "tty >name; \"\$WHALEBOX\" -t /bin/sh -c \"
	    stat -L -c %d:%r /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2\" >box
	    stat -L -c %d:%r /dev/tty \$(cat name) >host" &&
	tr -d "\r" <box | sort -u >ours && same 1 "$(wc -l <ours)" &&
	same "" "$(grep -Fxf host ours)"
' 'dup2(2) puts the slave in the place of all three streams.'

it 'leaves nothing behind' '
	snapshot && box -t /bin/true && want_status 0 && unchanged
' 'The master is closed when the relay ends; and the relay, when?'

finish
