#!/bin/sh
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# begin OPTION...: a box named one that does nothing, until the test ends.
begin() {
	trap '"$WHALEBOX" rm -f one >last 2>&1' EXIT
	box -d --name one "$@" /bin/sleep 300
	want_status 0
}

# visit ARGUMENT...: run "$WHALEBOX" exec ARGUMENT... on that box.
visit() {
	box exec "$@"
}

# value KEY: of its record.
value() {
	"$WHALEBOX" inspect one "$1"
}

# Prints the links of the namespaces of a process, and below them, 8 or 10.
links='for n in /proc/$process/ns/*; do echo "${n##*/} $(readlink $n)"; done'

it 'runs a command in all the namespaces of the box' '
	begin && pid=$(value pid) &&
	visit one /bin/sh -c "process=1; $links" && want_status 0 &&
	cp out first && visit one /bin/sh -c "process=self; $links" &&
	want_match "^user user:\[[0-9]+\]$" && diff first out &&
	(process=$pid && eval "$links") >seen && diff seen out &&
	(process=self && eval "$links") >host &&
	for n in mnt pid uts ipc net user; do
		differ "$(grep "^$n " host)" "$(grep "^$n " out)" || exit
	done
' 'A pidfd of PID 1 names all its namespaces; setns(2) takes several flags.'

it 'has it see the processes of the box, and be seen by them' '
	begin &&
	{ "$WHALEBOX" exec one /bin/sleep 234 & } && visitor=$! &&
	asleep() { "$WHALEBOX" exec one /bin/pidof sleep >pids; grep -q " " pids; } &&
	soon asleep && visit one /bin/ps -o pid,args && want_status 0 &&
	want_match "^ +1 /bin/sleep 300" && want_match "^ +[2-9] /bin/sleep 234" &&
	visit one /bin/sh -c "echo \$PPID" && want_out 0 &&
	kill "$visitor" && { wait "$visitor" || same 143 $?; }
' 'setns(2) moves no process to another PID namespace: who is born there?'

it 'has it find the files of the box, and its hostname' '
	begin --hostname blue && host=$(hostname) && echo secret >letter &&
	visit one /bin/sh -c "echo made >/made; cat /etc/hostname" &&
	want_status 0 && want_out blue && visit one /bin/cat /made && want_out made &&
	[ ! -e /made ] && visit one /bin/hostname && want_out blue &&
	visit one /bin/cat "$PWD/letter" && want_status 1 &&
	visit one /bin/pwd && want_out / && same "$host" "$(hostname)"
' 'After setns(2) to a mount namespace, where is its root, and where are you?'

it 'has it born in the cgroup of the box' '
	begin && pid=$(value pid) && mkfifo key && exec 9<>key &&
	{ "$WHALEBOX" exec one /bin/cat <key >shown & } &&
	echo ready >&9 && soon grep -q ready shown &&
	same "$(cat "/proc/$pid/cgroup")" "$(cat "/proc/$(pgrep -P $!)/cgroup")" &&
	kill $! && { wait $! || same 143 $?; }
' 'clone3(2): CLONE_INTO_CGROUP. And who is the visitor a child of?'

if is_root && has_cgroup2; then
	it 'has the limits of the box hold for it' '
		begin --init --pids-limit 5 && visit one /bin/true && want_status 0 &&
		visit one /bin/sh -c "for i in 1 2 3 4; do sleep 1 & done; wait" &&
		want_err "can'\''t fork" && soon "$WHALEBOX" exec one /bin/true &&
		visit one /bin/sh -c "sleep 0.1; exit 7" && want_status 7
	' 'Limits are the cgroup'\''s. Which one is the visitor in when it starts?'
fi

it 'locks it as the box is locked' '
	locks="^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp[a-z_]*):" &&
	begin --cap-drop kill --cap-add sys_nice &&
	visit one /bin/grep -E "$locks" /proc/1/status && want_status 0 &&
	want_line "CapEff:	00000000a88425db" && cp out first &&
	visit one /bin/grep -E "$locks" /proc/self/status &&
	want_line "NoNewPrivs:	1" && want_line "Seccomp:	2" && diff first out &&
	visit one /bin/mount -t tmpfs none /tmp && differ 0 "$status"
' 'What the box did to itself after its mounts, the visitor does, too.'

it 'gives it the variables of the box, and on top its own' '
	begin -e COLOUR=blue -e SIZE=1 -e "WORDS=a  b" && export LETTER=secret TOLD=yes &&
	visit -e SIZE=2 -e NEW=x -e TOLD one /bin/env && want_status 0 &&
	want_line COLOUR=blue && want_line SIZE=2 && want_line NEW=x &&
	want_line "WORDS=a  b" && want_line TOLD=yes && want_line HOSTNAME=one &&
	want_no_match LETTER && want_no_line SIZE=1 &&
	visit one /bin/env && want_line SIZE=1
' 'The record has the options of the run; those of the visit come later.'

it 'starts it in the folder of -w, as the user of -u' '
	begin -w /etc && visit one /bin/pwd && want_status 0 && want_out /etc &&
	visit -w /tmp one /bin/pwd && want_out /tmp &&
	visit -w /etc/passwd one /bin/true && want_status 125 &&
	visit -u 0:0 one /bin/id -u && want_out 0 &&
	visit -u nobody-here one /bin/true && want_status 125 || exit
	if is_root || grep -q "^$(id -un):" /etc/subuid; then
		visit -u guest one /bin/sh -c "id -u; id -g" && want_status 0 &&
		want_out "1000${newline}1000"
	fi
' 'furnish_box() does all that; the volumes alone are mounted already.'

it 'gives it a terminal with -t' '
	begin && echo typed >typed && visit -t one /bin/sh -c \
	    "tty; stty -echo; read -r line; echo got \$line; exit 7" <typed &&
	want_status 7 && tr -d "\r" <out >shown && grep -q "/dev/pts/[0-9]*\$" shown &&
	grep -q "got typed" shown && visit one /bin/sh -c "tty || exit 3" &&
	want_status 3
' 'The relay of chapter 12 reads your input. Unless what?'

it 'passes on what it reads and prints, and its words as they are' '
	begin && seq 30000 >wanted && visit one /bin/cat <wanted &&
	want_status 0 && cmp wanted out &&
	visit one /bin/sh -c "printf \"<%s>\" \"\$@\"; echo oops >&2" sh \
	    "a  b" "" "*" -t && printf "<a  b><><*><-t>" >wanted &&
	cmp wanted out && want_err oops
' 'Arguments are an array: nobody joins them to a line, or splits that.'

it 'ends with the exact status of the command' '
	begin && for n in 0 1 7 125 255; do
		visit one /bin/sh -c "exit $n" && want_status $n || exit
	done &&
	for n in 2 9 15; do
		visit one /bin/sh -c "kill -$n \$\$" && want_status $((128 + n)) || exit
	done &&
	visit one /nowhere && want_status 127 && want_err "execve(/nowhere)" &&
	visit one /etc/passwd && want_status 126 && visit one /etc &&
	want_status 126 && visit one true && want_status 0
' 'The command has to be a child of whalebox: CLONE_PARENT.'

it 'runs nothing where no such box runs' '
	begin && visit one /bin/true && want_status 0 && mark=$PWD/mark &&
	visit two /bin/touch "$mark" && want_status 125 &&
	want_err "no box named two" && visit ../one /bin/touch "$mark" &&
	want_status 125 && visit one && want_status 125 &&
	box stop -t 0 one && visit one /bin/touch "$mark" && want_status 125 &&
	want_err "one is not running" && want_err "hint: " && [ ! -e mark ] &&
	box start one && visit one /bin/true && want_status 0
' 'A record that says "running" is a claim: who is alive to prove it?'

it 'runs nothing anywhere when setns fails' '
	begin && visit one /bin/true && want_status 0 &&
	for error in EPERM EINVAL ESRCH; do
		run strace -f -o /dev/null -e trace=setns \
		    -e "inject=setns:error=$error" "$WHALEBOX" exec one \
		    /bin/sh -c "echo ran; touch /tmp/mark \"$PWD/mark\"" &&
		want_status 125 && want_out "" && want_err "setns(" || exit
	done &&
	[ ! -e mark ] && [ ! -e /tmp/mark ] && visit one /bin/ls /tmp && want_out ""
' 'must() around it, in the process that would go on.'

it 'hands on no descriptor of the host' '
	begin && mkdir host && echo secret >host/letter &&
	exec 5<host 6<host 7<host/letter 8>file 9<>file &&
	visit one /bin/ls /proc/self/fd && want_status 0 &&
	want_out "0${newline}1${newline}2${newline}3" &&
	visit one /bin/cat /proc/self/fd/5/letter && want_status 1
' 'close_range(2), and O_CLOEXEC for all that you open yourself.'

it 'ends the command when it is told to, or killed' '
	begin && for signal in TERM KILL; do
		{ "$WHALEBOX" exec one /bin/sleep 234 & } && visitor=$! &&
		two() { "$WHALEBOX" exec one /bin/pidof sleep >pids; grep -q " " pids; } &&
		soon two && kill -$signal $visitor && { wait $visitor; true; } &&
		alone() { two || [ "$(cat pids)" = 1 ]; } && soon alone || exit
	done && same running "$(value status)"
' 'PR_SET_PDEATHSIG, set again after every change of ids.'

it 'enters a box whose first process is an init' '
	begin --init && visit one /bin/hostname && want_status 0 && want_out one &&
	visit one /bin/ps -o pid,args && want_match "^ +2 /bin/sleep 300"
' 'Whose memory is it that the init runs in, and who may look into that?'

it 'leaves the host and the box as they were' '
	begin && box inspect one && cp out before && snapshot && visit one /bin/true && want_status 0 &&
	visit -t one /bin/true && want_status 0 && unchanged &&
	box inspect one && diff before out
' 'The record and the folders are those of another process: leave them.'

finish
