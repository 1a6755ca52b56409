#!/bin/sh
# check.sh: chapter 1, a name of its own.
# needs: root
. "$(dirname "$0")/../../tests/lib.sh"

it 'calls the box by its name' '
	box $unkept --name kiosk /bin/uname -n &&
	want_status 0 &&
	want_out kiosk
' 'Which process has to call sethostname, and has it been called before execve?'

it 'calls the box by its --hostname, if there is one' '
	box $unkept --name kiosk --hostname desk /bin/uname -n &&
	want_status 0 &&
	want_out desk
' 'An option is a row of the chapter: what does it store, and who reads that?'

it 'gives a box with no name twelve hex digits for a hostname' '
	box /bin/uname -n &&
	want_status 0 &&
	want_match "^[0-9a-f]{12}$"
' 'The box always has a name; look for where it is made up.'

it 'puts the box in a UTS namespace of its own' '
	box /bin/readlink /proc/self/ns/uts &&
	want_status 0 &&
	want_match "^uts:\[[0-9]+\]$" &&
	differ "$(readlink /proc/self/ns/uts)" "$out"
' 'Which flag does the clone need, and where do the chapters declare theirs?'

# Chapter 10 forbids the change; then the box is to keep the name it has.
it 'keeps the name of the host, whatever the box does to its own' '
	before=$(uname -n) &&
	snapshot &&
	box $unkept --name kiosk /bin/sh -c "
		name=kiosk
		hostname desk && name=desk
		echo \$name && uname -n
	" &&
	{ same "$before" "$(uname -n)" || { hostname "$before"; false; }; } &&
	want_status 0 &&
	{ want_out "desk${newline}desk" || want_out "kiosk${newline}kiosk"; } &&
	unchanged
' 'Is the name that sethostname writes the copy of the box, or still that of the host?'

it 'refuses what is no hostname' '
	for name in "" "a b" a/b .. -x "$(printf %064d 0)"; do
		box "--hostname=$name" /bin/uname -n &&
		want_status 125 &&
		want_out "" &&
		want_err --hostname &&
		want_err "\"$name\"" ||
		exit 1
	done
' 'There is a taker for names among the tools.'

finish
