#!/bin/sh
# needs:
# tty.sh: whalebox -t, typed at.  script(1) has the terminal that a person would
# sit at, and is itself given what is typed by a pipe.
. "$(dirname "$0")/lib.sh"

# terminal COMMANDS: a shell starts them on a terminal of 30 rows and 90 columns.
# What it shows goes to ./screen.
terminal() {
	ran=$1
	mkfifo keys && exec 9<>keys || return 1
	SHELL=/bin/sh timeout -k 5 "$LIMIT" script -qfc \
	    "stty rows 30 cols 90; tty >name; stty -a >before; $1" /dev/null \
	    <keys >screen 2>err &
	terminal=$!
}

# press KEYS: types them, written with the escapes of printf(1).
press() {
	printf %b "$1" >&9
}

# shows ERE: a line like that is on the screen before long.
shows() {
	soon grep -Eq -e "$1" screen || wrong "on the screen: $1" "$(cat -v screen)"
}

# ended: so has what was started.
ended() {
	wait "$terminal" && exec 9>&- && rm keys
}

# calm: the terminal is soon as it was before.
calm() {
	stty -F "$(cat name)" -a >after && cmp -s before after
}

shell="\"\$WHALEBOX\" -t -e PS1=% /bin/sh"

it 'runs a shell with jobs: ^C ends one, ^Z stops one, fg goes on with it' '
	terminal "$shell; echo code \$?" && shows "^%" &&
	press "sleep 60; echo after \$?\r" && sleep 1 && press "\003" &&
	press "echo alive \$((3 * 4))\r" && shows "alive 12" &&
	press "cat >/note\r" && sleep 1 && press "first\r" && sleep 1 && press "\032" &&
	shows "Stopped" && press "fg\r" && shows "^cat 1>/note" &&
	press "second\r\004" && press "cat -A /note\r" &&
	shows "^first\\$" && shows "^second\\$" &&
	press "exit 7\r" && shows "^code 7" && ended
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
	terminal "bash --noediting --norc --noprofile -i" && press "PS1=%\r" && shows "%$" &&
	press "\"\$WHALEBOX\" /bin/sleep 2\r" && sleep 1 && press "\032" &&
	shows "Stopped" && press "bg\r" && sleep 3 &&
	press "echo alive \$((3 * 4))\r" && shows "alive 12" &&
	press "exit\r" && ended
'

it 'is not stopped by ^Z where no shell could continue it' '
	terminal "exec \"\$WHALEBOX\" /bin/sleep 2" && sleep 1 && press "\032" && ended
'

it 'ends with a terminal that is closed, and so does its box' '
	for how in --init -t; do
		terminal "exec \"\$WHALEBOX\" $how /bin/sleep 1000$$" &&
		soon pgrep -f "^/bin/sleep 1000$$" >/dev/null && kill "$terminal" &&
		{ wait "$terminal" || true; } && exec 9>&- && rm keys &&
		gone() { ! pgrep -f "/bin/sleep 1000$$" >/dev/null; } && soon gone || exit
	done
'

it 'stops, and its box, when a job in the background reads the terminal' '
	terminal "bash -c \"set -m; \\\"\\\$WHALEBOX\\\" /bin/cat & sleep 1
	    echo state=\\\$(ps -o stat= --ppid \\\$!); kill -KILL %1; wait\"" &&
	shows "^state=T" && ended && box /bin/true && want_status 0
'

it 'leaves nothing behind' '
	snapshot && terminal "$shell" && shows "^%" && press "exit\r" && ended &&
	unchanged
'

finish
