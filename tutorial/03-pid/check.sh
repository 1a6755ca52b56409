#!/bin/sh
# check.sh: chapter 3, its own process tree.
# needs: root
. "$(dirname "$0")/../../tests/lib.sh"

end_victim() {
	kill "$victim"
}

# A whalebox that is killed cannot clean up: the next one does it.
end_whalebox() {
	kill -KILL "$whalebox"
	wait "$whalebox"
	"$WHALEBOX" /bin/true
}

nobody_in() {
	namespaces >inhabited
	[ "$(grep -cFe "$1" inhabited)" -eq 0 ]
}

it 'makes the command number 1' '
	box /bin/sh -c "echo \$\$" &&
	want_status 0 &&
	want_out 1
' 'The first process in a new namespace is number 1: which flag makes one?'

it 'keeps the box from signalling the host' '
	{ sleep 60 & } && victim=$! && trap end_victim EXIT &&
	box /bin/kill -KILL "$victim" &&
	differ 0 "$status" &&
	want_err "No such process" &&
	run kill -0 "$victim" &&
	want_status 0
' 'A number means the process that has it in the namespace of the caller.'

it 'lets no signal end number 1 that the box itself has sent' '
	box /bin/sh -c "kill -TERM \$\$; kill -KILL \$\$; echo still here" &&
	want_status 0 &&
	want_out "still here"
' 'Only number 1 of a namespace is immune to its own SIGKILL.'

it 'ends whatever the command leaves behind' '
	snapshot &&
	box /bin/sh -c "sleep 60 & echo the command ends" &&
	want_status 0 &&
	want_out "the command ends" &&
	unchanged
' 'When number 1 of a namespace ends, the kernel kills the others in it.'

it 'has a number of its own outside, and ends when whalebox is killed' '
	{ "$WHALEBOX" /bin/sh -c "sleep 60 & echo ready; sleep 60" >said & } &&
	whalebox=$! && trap end_whalebox EXIT &&
	soon grep -q ready said &&
	child=$(pgrep -P "$whalebox") &&
	same "$child 1" "$(awk "/^NSpid:/ { print \$2, \$3 }" "/proc/$child/status")" &&
	tree=$(readlink "/proc/$child/ns/pid") &&
	kill -KILL "$whalebox" &&
	soon nobody_in "$tree"
' 'A process has one number in each namespace from the one it is in upwards.'

finish
