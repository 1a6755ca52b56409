#!/bin/sh
# needs: host
# tty.sh: whalebox -t, typed at.  script(1) has the terminal that a person would
# sit at, and is itself given what is typed by a pipe.
. "$(dirname "$0")/lib.sh"

# terminal COMMANDS: a shell starts them on a terminal of 30 rows and 90 columns.
# What it shows goes to ./screen, which is empty until then.
terminal() {
	ran=$1
	mkfifo keys && exec 9<>keys && rm -f name before && : >screen || return 1
	SHELL=/bin/sh timeout -k 5 "$LIMIT" script -qfc \
	    "stty rows 30 cols 90; tty >name; stty -a >before; $1" /dev/null \
	    <keys >screen 2>err &
	terminal=$!
}

# press KEYS: types them, written with the escapes of printf(1).
press() {
	pressed=$(wc -c <screen)
	printf %b "$1" >&9
}

# shows ERE: a line like that is on the screen before long.
shows() {
	soon grep -Eq -e "$1" screen || wrong "on the screen: $1" "$(cat -v screen)"
}

# answers ERE: the same, but only what has come since the last press.
answers() {
	soon answered "$1" || wrong "on the screen: $1" "$(cat -v screen)"
}
answered() {
	tail -c "+$((pressed + 1))" screen | grep -Eq -e "$1"
}

# desk: a shell with jobs on a terminal, whose prompt shows, as in <0>, how the
# last command ended.  $W is the whalebox.
desk() {
	printf '%s\n' 'PS1="<\$?>" PS2=' 'W=$WHALEBOX' 'set +o history' >rc
	terminal 'exec bash --noediting --noprofile --rcfile rc -i' && shows '<0>'
}

# leave: its end, after which the terminal is as it was.
leave() {
	soon calm && press 'exit 0\r' && ended
}

# raw: so the relay of a box has made it.
raw() {
	soon is_raw
}
is_raw() {
	stty -F "$(cat name)" -a | grep -q -e -icanon
}

# close_terminal: the window is closed.  script(1) is a child of timeout(1); by
# another signal it would end what it has started itself.
close_terminal() {
	kill -KILL "$(pgrep -P "$terminal")"
	wait "$terminal"
	exec 9>&-
	rm keys
}

# A command that no other test has: runs tells whether it does, state in which
# state its process is.
long="/bin/sleep 1000$$"
runs() {
	pgrep -f "^$long" >pids
}
gone() {
	! runs
}
state() {
	runs && ps -o stat= -p "$(head -n 1 pids)" | grep -q "^$1"
}

# ended: so has what was started.
ended() {
	wait "$terminal" && exec 9>&- && rm keys
}

# calm: the terminal is soon as it was before.
calm() {
	stty -F "$(cat name)" -a >after && cmp -s before after
}

shell="\"\$WHALEBOX\" -e PS1=% /bin/sh"

# With -t, and where -t goes without saying.
for t in "" -t; do
it "runs a shell with jobs${t:+, with $t}: ^C ends one, ^Z stops one, fg goes on with it" '
	terminal "\"\$WHALEBOX\" $t -e PS1=% /bin/sh; echo code \$?" && shows "^%" &&
	press "sleep 60; echo after \$?\r" && sleep 1 && press "\003" &&
	press "echo alive \$((3 * 4))\r" && shows "alive 12" &&
	press "cat >/note\r" && sleep 1 && press "first\r" && sleep 1 && press "\032" &&
	shows "Stopped" && press "fg\r" && shows "^cat 1>/note" &&
	press "second\r\004" && press "cat -A /note\r" &&
	shows "^first\\$" && shows "^second\\$" &&
	press "exit 7\r" && shows "^code 7" && ended
'
done

it 'has a terminal of its own where all three streams are yours' '
	terminal "for to in /dev/tty file; do
	    \"\$WHALEBOX\" /bin/tty <>/dev/tty >/dev/tty 2>\$to
	    \"\$WHALEBOX\" /bin/tty </dev/tty >/dev/tty 2>>\$to
	done; \"\$WHALEBOX\" /bin/tty </dev/null; \"\$WHALEBOX\" /bin/tty | cat
	\"\$WHALEBOX\" /bin/sh -mc \"echo to \\\$(tty)\"" && ended &&
	same "/dev/pts/0 /dev/pts/0 to /dev/pts/0" \
	    "$(tr -d "\r" <screen | grep pts | paste -sd " ")" &&
	same 7 "$(wc -l <screen)"
'

it 'is always in a session of its own, and so is a visitor' '
	look="cut -d \" \" -f 5,6,7 /proc/\$\$/stat" &&
	box /bin/sh -c "$look" && want_status 0 && want_out "1 1 0" &&
	trap "\"$WHALEBOX\" rm -f tty$$ >last 2>&1" EXIT &&
	box -d --name "tty$$" /bin/sleep 100 && want_status 0 &&
	box exec "tty$$" /bin/sh -c "echo \$\$ \$\$ 0; $look" && want_status 0 &&
	same 1 "$(sort -u out | wc -l)"
'

it 'runs a full-screen editor' '
	terminal "$shell; echo over" && shows "^%" &&
	press "vi /note\r" && shows "/note.*\[New file\]|~" &&
	press "ione\rtwo\033" && sleep 1 && press ":wq\r" && sleep 1 &&
	press "wc -l </note; exit\r" && shows "^2" && shows "^over" &&
	ended
'

it 'has the size of the window as it starts, 20 times' '
	terminal "for i in \$(seq 20); do \"\$WHALEBOX\" -t /bin/stty size; done" &&
	ended && same 20 "$(grep -c "30 90" screen)" && same 20 "$(wc -l <screen)"
'

it 'has the size of the window as it changes, many times' '
	terminal "\"\$WHALEBOX\" -t /bin/sh -c \"trap \\\"stty size\\\" WINCH
	    echo ready; while :; do sleep 0.1; done\"" && shows ready &&
	for n in 10 20 33 44; do
		stty -F "$(cat name)" rows $n cols "1$n" && shows "^$n 1$n" || exit
	done &&
	press "\003" && ended
'

it 'leaves the terminal as it found it, however it ends' '
	for end in /bin/true "/bin/stty raw -echo" /nowhere \
	    "/bin/sh -c \"stty -icanon -isig; kill -KILL \\\$\\\$\"" \
	    "--rootfs /nowhere /bin/true"; do
		terminal "\"\$WHALEBOX\" -t $end; stty -a >after" && ended &&
		diff before after || exit
	done
'

it 'leaves the terminal as it found it when whalebox is killed' '
	terminal "\"\$WHALEBOX\" -t /bin/sh -c \"stty raw; echo ready; sleep 60\"
	    echo killed; until [ -e end ]; do sleep 0.1; done" &&
	shows ready && differ "$(cat before)" "$(stty -F "$(cat name)" -a)" &&
	kill -KILL "$(pgrep -f -o "^$WHALEBOX -t /bin/sh -c stty raw")" &&
	shows killed && soon calm && touch end && ended
'

it 'gives ^C to a box whose input is no terminal' '
	terminal "echo text | \"\$WHALEBOX\" -t /bin/sh -c \"
	    trap \\\"echo went on; exit\\\" INT; echo ready
	    while :; do sleep 0.1; done\"" &&
	shows ready && press "\003" && shows "went on" &&
	{ ended || differ 124 $?; }
'

it 'does not touch the terminal from the background' '
	terminal "bash -c \"set -m; \\\"\\\$WHALEBOX\\\" -t /bin/sh -c \\\"
	    echo ready; sleep 2\\\" & sleep 1; stty -a >during; kill -KILL %1; wait\"" &&
	ended && diff before during
'

it 'gives the terminal to the user of -u' '
	box -t -u 0:0 /bin/sh -c "echo y >/dev/stdout" && want_status 0 || exit
	if is_root || grep -q "^$(id -un):" /etc/subuid; then
		box -t -u guest /bin/sh -c "echo y >/dev/stdout; echo z >\$(tty)" &&
		want_status 0 && tr -d "\r" <out | paste -sd " " >shown &&
		same "y z" "$(cat shown)"
	fi
'

# What is typed before the echo is off would be shown twice.
it 'loses nothing of a megabyte typed and shown' '
	seq -w 0 149796 >wanted &&
	{ soon grep -q ready out && cat wanted; } |
	run "$WHALEBOX" -t /bin/sh -c "stty -echo -opost; echo ready; cat" &&
	sed 1d out >shown && cmp wanted shown
'

it 'does not hang on a box that reads nothing, or an input that ends' '
	run "$WHALEBOX" -t /bin/true </dev/zero && want_status 0 &&
	seq 100000 >much && run "$WHALEBOX" -t /bin/sleep 1 <much && want_status 0 &&
	run "$WHALEBOX" -t /bin/cat </dev/null && want_status 0 &&
	run sh -c "exec \"\$WHALEBOX\" -t /bin/cat <&-" && want_status 0 &&
	run "$WHALEBOX" -t /bin/sh -c "cat; cat; cat; exit 7" </dev/null &&
	want_status 7
'

it 'ends with a reader that goes away' '
	run sh -c "{ \"\$WHALEBOX\" -t /usr/bin/yes; echo \$? >status; } | head -n 1" &&
	want_match "^y" && soon test -s status
'

# timeout(1) makes a process group of it, and this shell is above that: were
# there nobody who could continue it, the kernel would not stop it.
it 'stops, and stops the box, and both go on' '
	{ timeout 60 "$WHALEBOX" -t /bin/sh -c "echo ready; sleep 1; echo over" \
	    >shown & } && runner=$! &&
	soon grep -q ready shown && box=$(pgrep -P "$runner") && kill -TSTP "$box" &&
	stopped() { ps -o stat= -p "$box" --ppid "$box" >state && grep -c ^T state; } &&
	is_2() { [ "$(stopped)" -ge 2 ]; } && soon is_2 &&
	sleep 2 && same ready "$(tr -d "\r" <shown)" && kill -CONT "$box" &&
	wait "$runner" && grep -q over shown
'

it 'leaves the terminal to the shell that sent it to the background' '
	desk && press "\$W $long >file\r" && soon runs && press "\032" &&
	answers "Stopped" && answers "<148>" && state T && soon calm &&
	press "bg\r" && answers "<0>" && soon state S &&
	press "echo alive \$((3 * 4))\r" && answers "alive 12" &&
	press "kill -KILL %1\r" && soon gone && leave
'

# ---- A command that is PID 1, and so immune ----------------------------------

it 'is immune to ^C and ^Z without a handler, and ends by ^] three times' '
	desk && press "\$W $long\r" && soon runs && press "\003\032" &&
	press "\035\035" && sleep 1.5 && press "\035" && sleep 0.5 && runs &&
	press "\035\035\035" && answers "<137>" && gone && leave
'

it 'is immune to signals without a handler, which with --init end it' '
	desk && for signal in TERM:143 HUP:129 USR1:138; do
		press "\$W $long & sleep 1; kill -${signal%:*} %1\r" && answers "<0>" &&
		sleep 0.5 && runs && press "kill -KILL %1; wait\r" && soon gone &&
		press "\$W --init $long & sleep 1; kill -${signal%:*} %1; wait %1\r" &&
		answers "<${signal#*:}>" && gone || exit
	done && leave
'

it 'hands ^C to the command of an init once, and is not stopped by ^Z for good' '
	for t in "" -t; do
		desk && press "\$W $t --init $long\r" && soon runs && press "\032" &&
		sleep 0.5 && soon state S && press "\003" && answers "<130>" &&
		press "\$W $t --init /bin/sh -c \"trap \\\\\"echo got it\\\\\" INT TERM;
		    echo ready; sleep 2; sleep 2; sleep 1\"\r" && answers "^ready" &&
		press "\003" && answers "^<0>" &&
		same 1 "$(tr -d "\r" <screen | grep -c "got it\$")" && leave || exit
	done
'

it 'ends by timeout(1), with a handler or an init' '
	desk && press "timeout 2 \$W --init $long\r" && answers "<124>" && gone &&
	press "timeout 2 \$W /bin/sh -c \"trap \\\\\"exit 5\\\\\" TERM
	    while :; do sleep 0.1; done\"\r" && answers "<124>" &&
	press "\$W /bin/echo still \$((3 * 4))\r" && answers "still 12" && leave
'

# ---- Streams that lead elsewhere ---------------------------------------------

it 'hands ^C and ^Z to a box of which one stream leads elsewhere' '
	for to in ">file" "2>file" "</dev/null" "| tee file" "2>&1 | tee file"; do
		desk && press "\$W /bin/sh -c \": $$; trap \\\\\"exit 9\\\\\" INT
		    echo ready; echo ready >&2; while :; do sleep 0.1; done\" $to\r" &&
		answers "^ready" && press "\032" && answers "Stopped" &&
		long="/bin/sh -c : $$" && soon state T && press "bg\r" && soon state S &&
		press "fg\r" && sleep 0.5 && press "\003" && answers "<(9|130)>" &&
		soon gone && leave || exit
	done
'

it 'leaves the keys to a pager' '
	desk && pager=$(command -v less || echo busybox less) &&
	press "\$W /bin/seq 300 | $pager\r" && answers "^20" && press " " &&
	answers "^5[0-9]" && press "q" && answers "<0>" && leave
'

it 'is a part of a pipeline' '
	desk && press "yes | \$W /bin/head -n 1\r" && answers "^y" && answers "<0>" &&
	press "for i in 1 2 3; do \$W /bin/echo box \$i; done; \$W /bin/false\r" &&
	answers "^box 3" && answers "<1>" &&
	press "echo a b | \$W /bin/cat | tr a-z A-Z\r" && answers "^A B" && leave
'

# ---- In the background -------------------------------------------------------

it 'runs in the background, where nothing of what is typed is its own' '
	desk && press "\$W /bin/sh -c \"sleep 1; cat; echo over \\\\\$((3 * 4))\" &\r" &&
	answers "<0>" && press "echo shell \$((2 * 4))\r" && answers "^shell 8" &&
	shows "over 12" && soon calm && press "\$W -t /bin/cat &\r" && answers "<0>" &&
	sleep 0.5 && soon calm && press "echo shell \$((2 * 5))\r" &&
	answers "^shell 10" && press "fg\r" && answers "cat" &&
	raw && press "typed\r" && answers "^typed" && press "\004" &&
	answers "<0>" && leave
'

it 'stops by a signal, leaves the terminal, and takes it again with fg, not bg' '
	for t in "" -t; do
		desk && press "\$W $t /bin/cat\r" && raw && press "one\r" &&
		answers "^one" && whalebox=$(pgrep -o -f "^$WHALEBOX .*/bin/cat") &&
		kill -TSTP "$whalebox" && answers "<148>" && soon calm &&
		press "echo shell \$((2 * 4))\r" && answers "^shell 8" &&
		press "bg\r" && answers "<0>" && sleep 0.5 && calm &&
		press "echo shell \$((2 * 5))\r" && answers "^shell 10" &&
		press "fg\r" && raw && press "two\r" && answers "^two" &&
		kill -STOP "$whalebox" && answers "<147>" && soon calm &&
		press "fg\r" && raw && press "three\r" && answers "^three" &&
		press "\004" && answers "<0>" && leave || exit
	done
'

# Here is nobody who could make it go on.
it 'is not stopped where no shell could continue it' '
	terminal "exec \"\$WHALEBOX\" $long" && soon runs &&
	kill -TSTP "$(pgrep -o -f "^$WHALEBOX $long")" && sleep 0.5 && soon state S &&
	press "\035\035\035" && { ended || same 137 $?; } && gone
'

# ---- Ends --------------------------------------------------------------------

it 'ends with a terminal that is closed, and so does its box' '
	for how in --init -t "--init -t"; do
		terminal "exec \"\$WHALEBOX\" $how $long" && soon runs &&
		{ close_terminal || true; } && PATIENCE=$((PATIENCE + 15)) &&
		soon gone || exit
	done
'

it 'ends with a terminal that is closed, and was not its own' '
	for to in ">file" "</dev/null" "2>file"; do
		desk && press "\$W --init $long $to\r" && soon runs &&
		{ close_terminal || true; } && soon gone || exit
	done &&
	terminal "exec \"\$WHALEBOX\" $long >file" && soon runs &&
	{ close_terminal || true; } && PATIENCE=$((PATIENCE + 15)) && soon gone
'

it 'runs on without the terminal if the caller ignores SIGHUP' '
	terminal "trap \"\" HUP; exec \"\$WHALEBOX\" --init $long </dev/null >file" &&
	soon runs && { close_terminal || true; } && sleep 2 && runs &&
	kill "$(pgrep -o -f "^$WHALEBOX .*$long")" && soon gone
'

it 'ends when the relay is killed, and puts the terminal right' '
	desk && press "\$W -t --init $long\r" && soon runs && raw &&
	kill -KILL "$(pgrep -n -P "$(pgrep -o -f "^$WHALEBOX .*$long")" -f "^$WHALEBOX")" &&
	answers "<129>" && gone && leave
'

it 'leaves the terminal as it found it whenever whalebox is killed' '
	terminal "for n in 1 2 3 4 5 6 7 8 9; do
	        timeout --foreground -s KILL 0.0\$n \"\$WHALEBOX\" $long
	        timeout --foreground -s KILL 0.\$n \"\$WHALEBOX\" $long
	    done; echo killed; until [ -e end ]; do sleep 0.1; done" &&
	shows "^killed" && soon calm && soon gone && touch end && ended
'

it 'lives on with -d when the terminal is closed' '
	trap "\"$WHALEBOX\" rm -f tty$$ >last 2>&1" EXIT &&
	desk && press "\$W -d --name tty$$ $long; echo made\r" && answers "^made" &&
	soon calm && { close_terminal || true; } && sleep 1 && runs &&
	box inspect "tty$$" status && want_out running && box rm -f "tty$$" &&
	want_status 0 && soon gone
'

it 'needs no terminal at all' '
	run setsid "$WHALEBOX" /bin/sh -c "echo out; echo err >&2; exit 3" &&
	want_status 3 && want_out out && want_err err &&
	run setsid timeout 2 "$WHALEBOX" --init /bin/sleep 100 && want_status 124
'

# ---- What it cannot reach ----------------------------------------------------

# A box of root's own ids could signal root's processes.
weak=
! is_root || weak='--userns host'
it 'cannot signal the group of who started it' '
	for how in "" -t "--init" "--init -t"; do
		run sh -c "\"\$WHALEBOX\" $weak $how /bin/sh -c \"kill -9 0; sleep 0.2; exit 5\"
		    echo \$?; \"\$WHALEBOX\" $weak $how /bin/sh -c \"(kill -9 0; :); exit 6\"
		    echo \$?; echo went on" && want_status 0 && want_line "went on" &&
		want_match "^(5|137)" && want_match "^(6|137)" || exit
	done
'

it 'cannot signal the group of who visits it' '
	trap "\"$WHALEBOX\" rm -f tty$$ >last 2>&1" EXIT &&
	run sh -c "exec \"$WHALEBOX\" -d --name tty$$ $weak $long" && want_status 0 &&
	for how in "" -t; do
		run sh -c "\"\$WHALEBOX\" exec $how tty$$ /bin/sh -c \"kill -9 0\"; echo \$?
		    \"\$WHALEBOX\" exec $how tty$$ /bin/sh -c \"kill -9 -1\"; echo \$?
		    echo went on" && want_status 0 && want_line "went on" &&
		want_line 137 || exit
	done
'

# ---- Visitors ----------------------------------------------------------------

it 'is the same for a visitor' '
	trap "\"$WHALEBOX\" rm -f tty$$ >last 2>&1" EXIT &&
	box -d --name "tty$$" /bin/sleep 1234 && want_status 0 &&
	desk && press "\$W exec tty$$ /bin/tty\r" && answers "^/dev/pts/[0-9]" &&
	answers "<0>" && press "\$W exec tty$$ $long\r" && soon runs && press "\003" &&
	answers "<130>" && press "\$W exec tty$$ $long >file\r" && soon runs &&
	press "\032" && answers "<148>" && soon state T && soon calm &&
	press "fg\r" && soon state S && press "\003" && answers "<130>" &&
	press "\$W exec tty$$ $long | cat\r" && soon runs && press "\003" &&
	answers "<130>" && soon gone &&
	press "\$W exec tty$$ /bin/sh -c \"trap : INT; stty -echo; $long; $long\"\r" &&
	raw && press "\035\035\035" && answers "<137>" && soon gone && soon calm &&
	press "\$W exec tty$$ /bin/sh -c \"cat; echo over \\\\\$((3 * 4))\" &\r" &&
	answers "over 12" && press "\$W exec tty$$ /bin/cat\r" && raw &&
	kill -TSTP "$(pgrep -o -f "^$WHALEBOX exec .*/bin/cat")" && answers "<148>" &&
	soon calm && press "fg\r" && raw && press "typed\r" && answers "^typed" &&
	press "\004" && answers "<0>" && leave
'

# ---- The relay ---------------------------------------------------------------

# Nobody has the terminal open for a while.
it 'goes on when the box lets go of its terminal' '
	run "$WHALEBOX" -t /bin/sh -c "trap \"\" HUP
	    { exec </dev/null >/dev/null 2>&1; sleep 1; }; exit 5" && want_status 5 &&
	run "$WHALEBOX" -t /bin/sh -c "exec </dev/null >/dev/null 2>&1
	    sleep 1; echo late >/dev/tty; exit 6" && want_status 6 && want_match "^late"
'

# dd(1) sets that flag, and whoever has the pipe shares it.
it 'loses nothing where a pipe does not wait' '
	seq -w 0 149796 >wanted && {
		dd if=/dev/null oflag=nonblock 2>dd.err &&
		"$WHALEBOX" -t /bin/sh -c "stty -opost; seq -w 0 149796" 2>err
		echo $? >code
	} | { sleep 1; cat; } >shown && same 0 "$(cat code)" && cmp wanted shown
'

it 'loses nothing of the last words, 50 times' '
	for n in $(seq 50); do
		"$WHALEBOX" -t /bin/echo "last words" >shown &&
		grep -q "last words" shown || exit
	done
'

it 'leaves nothing behind' '
	snapshot && terminal "$shell" && shows "^%" && press "exit\r" && ended &&
	unchanged
'

finish
