#!/bin/sh
# check.sh: chapter 0, a plain process.
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# start SCRIPT: a box in the background whose shell runs SCRIPT.  Sets $runtime.
# ended: waits for it, and sets what run sets.
start() {
	: >out
	"$WHALEBOX" /bin/sh -c "$1" >out 2>err &
	runtime=$!
	ran="$WHALEBOX /bin/sh -c '$1'"
	soon grep -q ready out
}
ended() {
	wait "$runtime" && status=0 || status=$?
	out=$(cat out)
}

it 'ends as the command ends' '
	snapshot &&
	for code in 0 1 3 125 255; do
		box /bin/sh -c "exit $code" &&
		want_status $code &&
		want_no_err ||
		exit 1
	done &&
	unchanged
' 'Which part of the status that waitpid gives is what the command exited with?'

it 'ends with 127 if there is no such command' '
	box /bin/nothing &&
	want_status 127 &&
	want_err "chapter 0: execve(/bin/nothing): No such file or directory"
' 'The child knows why execve failed, and leaves with a status for it.'

it 'ends with 126 if the command cannot be run' '
	box /etc/passwd &&
	want_status 126 &&
	want_err "chapter 0: execve(/etc/passwd): Permission denied"
' 'The child knows why execve failed, and leaves with a status for it.'

it 'ends with 125 if whalebox itself fails' '
	box &&
	want_status 125 &&
	want_err "no command" &&
	box sh &&
	want_status 125 &&
	want_err sh &&
	box --nothing /bin/true &&
	want_status 125 &&
	want_err "no option --nothing"
' 'Nothing has been started yet: who says so, and with which status?'

it 'passes on each argument, whatever is in it' '
	box /bin/sh -c "printf \"<%s>\" \"\$0\" \"\$@\"; echo" --name "a  b" "" \* &&
	want_status 0 &&
	want_out "<--name><a  b><><*>"
' 'Options end at the first word that is none.'

it 'passes on standard input, and both outputs' '
	echo hello >in &&
	box /bin/sh -c "cat; echo oh >&2" <in &&
	want_status 0 &&
	want_out hello &&
	same oh "$err"
' 'The child has the streams of its parent unless somebody closes them.'

it 'passes on no other open file' '
	box /bin/sh -c "[ -e /proc/self/fd/7 ] && echo open || echo closed" \
	    7</etc/passwd &&
	want_status 0 &&
	want_out closed
' 'What did the caller leave open, and who closes it before the clone?'

it 'passes on a signal, and ends as the command then ends' '
	start "trap \"echo told; exit 7\" TERM; echo ready
	       for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done" &&
	kill "$runtime" &&
	ended &&
	want_line told &&
	want_status 7
' 'The signal is sent to whalebox, and is meant for the command.'

it 'ends with 128+N when signal N ends the command' '
	start "echo ready; sleep 9" &&
	kill -KILL "$(pgrep -P "$runtime")" &&
	ended &&
	want_status 137
' 'A process that a signal ended has no exit status; waitpid(2) has a macro that tells.'

# The second box sweeps away what the first, which had no time for it, did not.
gone() {
	[ -z "$(pgrep -f "^/bin/sleep $1\$")" ]
}
it 'leaves no command behind when it is killed' '
	start "echo ready; exec /bin/sleep 60$$" &&
	soon pgrep -f "^/bin/sleep 60$$\$" &&
	kill -KILL "$runtime" &&
	ended &&
	want_status 137 &&
	soon gone "60$$" &&
	box /bin/sh -c "exit 5" &&
	want_status 5
' 'Who tells the child that its parent is dead, when the parent cannot?'

finish
