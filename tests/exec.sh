#!/bin/sh
# needs: host
# exec.sh: who visits a box that is hostile, or that ends meanwhile, takes
# nothing of the host in, leaves nothing behind, and is never on the host.
#
# Where a weaker way in can show that a test would see a fault, it is made with
# that, too: nsenter(1), which enters the same namespaces.
. "$(dirname "$0")/lib.sh"

# A root of these tests' own, with their programs in it.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" && cp "$project/build/tests/peep" "$root" || exit 1
export WHALEBOX_ROOTFS="$root"

# A box whose root is who makes it, and may write what the caller may.
weak=
! is_root || weak='--userns host'

# begin ARGUMENT...: a box named one, until the test ends.
begin() {
	trap '"$WHALEBOX" rm -f one >last 2>&1' EXIT
	box -d --name one "$@"
	want_status 0
}

# visit ARGUMENT...: run "$WHALEBOX" exec ARGUMENT... on it.
visit() {
	box exec "$@"
}

# naively COMMAND...: run it in that box, in the weaker way.
# shellcheck disable=SC2086 # words
naively() {
	run $slowly nsenter --target "$("$WHALEBOX" inspect one pid)" \
	    --user --preserve-credentials --mount --pid "$@"
}
slowly=""

# foreign: the program peep, in that box, has seen what is not of the box.
foreign() {
	"$WHALEBOX" logs one | grep -Ev \
	    '^(ready|fd) |^(mem|environ|exe) /(peep|bin/busybox)$|^(cwd|root) /$' >seen
}

# alone: the box has one process, its first, and the one that looks.
alone() {
	"$WHALEBOX" exec one /bin/ps -o pid >pids 2>/dev/null &&
	[ "$(wc -l <pids)" -eq 3 ]
}

# ---- A box that waits for its visitor ----------------------------------------

# The weaker way in shows something to a user's box alone: a box of root's has a
# user namespace that is not root's, and from there the kernel hides who enters.
# Between setns and execve it runs the host's program, with more rights than the
# box has.  Here each execve is made to wait, and the root of the box has all the
# capabilities that it can have.
it 'shows the box nothing of a visitor that is not locked yet' '
	begin --cap-add ALL /peep && delay=inject=execve:delay_enter=100000 &&
	slowly="strace -f -qq -o /dev/null -e trace=execve -e $delay" &&
	for try in 1 2 3 4 5; do
		run $slowly "$WHALEBOX" exec one /bin/true && want_status 0 || exit
	done &&
	for try in $(seq 50); do
		visit one /bin/true && want_status 0 || exit
	done &&
	soon eval "\"\$WHALEBOX\" logs one | grep -qx \"exe /bin/busybox\"" &&
	{ ! foreign || wrong "nothing but the box" "$(cat seen)"; } &&
	{ is_root || { naively /bin/true && want_status 0 && soon foreign &&
	    grep -q "^exe .*nsenter" seen && grep -q "^held .*nsenter" seen; }; }
'

# The box has replaced a command by the program that is about to run it, and
# waits for its end: nobody can write to a program that runs.  The box itself is
# run by another file than the victim, which shows what it shows.
# survives VICTIM: a whalebox there, that visits, is the same afterwards.
# shellcheck disable=SC2086 # $weak is options
survives() {
	begin $weak /peep && visit one /bin/sh -c "ln -s /proc/self/exe /bin/self
	    echo \"#!/proc/self/exe\" >/bin/script && chmod +x /bin/script" &&
	want_status 0 &&
	{ cat "$WHALEBOX" && echo victim; } >"$1" && chmod 755 "$1" &&
	cp "$1" copy &&
	for try in $(seq 50); do
		run "$1" exec one /bin/self /bin/nothing && want_status 125 &&
		run "$1" exec one /bin/script && want_status 125 || return
	done &&
	sleep 0.5 && "$WHALEBOX" logs one >seen &&
	{ grep -q "^held " seen || wrong "a program that was held" "$(cat seen)"; } &&
	cmp "$1" copy && same "" "$(grep "^overwrote" seen)"
}
it 'gives the box no way to overwrite the whalebox that visits' '
	survives ./victim
'
# Its files can be sealed, as can the memory that exec goes on from.
if is_root; then
it '... nor if that lies on a tmpfs' '
	mkdir memory && mount -t tmpfs none memory && ended=0 &&
	{ survives ./memory/victim || ended=$?; } && umount -l memory &&
	same 0 "$ended"
'
fi
it '... as it can overwrite another program that visits' '
	begin $weak --cap-add ALL /peep && visit one /bin/ln -sf /proc/self/exe /bin/sleep &&
	want_status 0 && cp "$root/bin/busybox" nsenter && user=-U &&
	pid=$("$WHALEBOX" inspect one pid) && { [ -z "$weak" ] || user=; } &&
	overwritten() {
		for try in $(seq 20); do
			./nsenter -t "$pid" $user -m -p /bin/sleep 0.02 || true
			sleep 0.03
		done >entered 2>&1
		grep -q "^overwritten" nsenter
	} && soon overwritten
'

it 'gives the visitor the variables of the box, of a file, and of -e, in this order' '
	begin -e A=box -e B=box -e C=box -e PATH=/bin:/x /bin/sleep 300 &&
	printf "B=file\nC=file\nD=file\n" >file &&
	visit --env-file file -e C=given one /bin/sh -c "echo \$A \$B \$C \$D \$PATH" &&
	want_out "box file given file /bin:/x"
'

it 'takes no descriptor and no folder of the host in' '
	mkdir host && echo secret >host/letter && begin /bin/sleep 300 &&
	exec 3<host 4<host 5<host 6<host 7<host/letter 8>file 9<>file &&
	attack="ls /proc/self/fd; cat /proc/self/fd/3/letter; ls /proc/self/cwd/letter" &&
	cd host && naively /bin/sh -c "$attack" && want_line 9 && want_line secret &&
	visit one /bin/sh -c "$attack" && want_status 1 &&
	want_out "0${newline}1${newline}2${newline}3" && cd .. &&
	for n in $(seq 3 20); do
		visit -w "/proc/self/fd/$n" one /bin/ls && want_status 125 &&
		want_out "" || exit
	done
'

it 'takes no folder of the host in as a standard stream' '
	mkdir folder && echo secret >letter && begin /bin/sleep 300 &&
	attack="cat /proc/self/fd/0/../letter" &&
	run nsenter --target "$("$WHALEBOX" inspect one pid)" --user \
	    --preserve-credentials --mount --pid /bin/sh -c "$attack" <folder &&
	want_out secret &&
	run "$WHALEBOX" exec one /bin/sh -c "$attack" <folder &&
	want_status 125 && want_out "" && want_err "standard input is a folder"
'

# Its files are read before the visitor is locked.
it 'reads a hostile /etc/passwd, whatever that is, and ends in time' '
	LIMIT=10 && log=$WHALEBOX_HOME/containers/one/log &&
	for trap in "mkfifo passwd" "mkfifo passwd; sleep 300 <>passwd &" \
	    "mkdir passwd" "ln -s passwd passwd" "ln -s nothing passwd" \
	    "ln -s /dev/zero passwd" "ln -s /proc/self/fd/0 passwd" \
	    "ln -s /proc/self/environ passwd" \
	    "yes guest | head -c 1000000 >passwd" \
	    "echo guest:x:4294967296:0::: >passwd" "printf guest:x >passwd"; do
		begin /bin/sh -c "cd /etc; rm passwd; $trap
		    echo ready; exec sleep 300" && soon grep -q ready "$log" &&
		visit -u guest one /bin/id && want_status 125 && want_out "" &&
		want_err "whalebox: chapter " && box rm -f one || exit
	done
'

# The visitor that is held up is the fourth, with the init, the command, and the
# shell that looks.  The host's paths, and what -e says, stand on the command line of whalebox, and
# /proc shows that to everybody for as long as it is whalebox that runs.
it 'shows nobody in the box the command line of its init, nor of a visitor' '
	begin --init -e SECRET=init /bin/sleep 300 &&
	{ strace -f -qq -o /dev/null -e trace=execve \
	    -e inject=execve:delay_enter=2000000 "$WHALEBOX" exec -e SECRET=visitor \
	    one /bin/true & } &&
	look() {
		visit one /bin/sh -c "printf \"%s\\n\" /proc/[0-9]*; cat /proc/[0-9]*/cmdline | tr \\\\0 \\\\n
		    cat /proc/1/environ; :" && want_status 0 &&
		[ "$(grep -c "^/proc/[0-9]*\$" out)" -eq 4 ]
	} && soon look && want_line /bin/sleep &&
	same "" "$(grep -e SECRET -e containers -e "$WHALEBOX" -e "^one" out)" && wait
'

# Nobody but PID 1 can be kept from being stopped.  To be stopped before it is
# the command, it is held up there.
it 'ends a visitor that the box keeps stopping, by a signal' '
	begin /bin/sh -c "while :; do kill -STOP -1; sleep 0.01; done" &&
	for signal in INT TERM HUP QUIT; do
		run timeout -k 5 -s "$signal" 1 "$WHALEBOX" exec one /bin/sleep 234 &&
		want_status 124 &&
		run timeout -k 9 -s "$signal" 1 strace -f -qq -o /dev/null \
		    -e trace=execve -e inject=execve:delay_enter=3000000 \
		    "$WHALEBOX" exec one /bin/sleep 234 && differ 137 "$status" || exit
	done
'

it 'prints a log of a megabyte to a pipe that does not wait' '
	begin /bin/seq -w 0 149796 && seq -w 0 149796 >wanted &&
	over() { "$WHALEBOX" inspect one status | grep -q exited; } && soon over && {
		dd if=/dev/null oflag=nonblock 2>dd.err && "$WHALEBOX" logs one
		echo $? >code
	} | { sleep 1; cat; } >shown && same 0 "$(cat code)" && cmp wanted shown
'

# ---- A box that ends, or is another ------------------------------------------

# No file of that path is in the box.
look="[ ! -e \"\$0\" ] || echo on the host; sleep 234$$"

it 'is 137 for the visitor, and no more, when the box ends' '
	begin /bin/sleep 300 && snapshot &&
	{ "$WHALEBOX" exec one /bin/sh -c "echo ready; sleep 234$$" >shown & } &&
	soon grep -q ready shown && "$WHALEBOX" stop -t 0 one &&
	{ wait $! || same 137 $?; } && "$WHALEBOX" rm one && same "" "$(pgrep -f "sleep 234$$")"
'

it 'never runs a command on the host while the box ends, 30 times' '
	for try in $(seq 30); do
		case $((try % 3)) in
		0) end="stop -t 0" life=300 ;;
		1) end="rm -f" life=300 ;;
		2) end="" life=0.0$((try % 10)) ;;
		esac
		begin /bin/sleep "$life" || exit
		{ timeout -k 1 "$LIMIT" "$WHALEBOX" exec one /bin/sh -c "$look" "$PWD" >>shown 2>>err & } &&
		sleep "0.0$((try % 2))$((try * 7 % 10))" &&
		{ [ -z "$end" ] || box $end one; } &&
		code=0 && { wait $! || code=$?; } &&
		case $code in
		125 | 137) echo $code >>codes ;;
		*) wrong "125 or 137" "$code" ;;
		esac &&
		soon eval "box rm one; ! box inspect one status || [ \$status -ne 0 ]" || exit
	done &&
	same "" "$(cat shown)" && grep -q 125 codes && grep -q 137 codes &&
	same "" "$(pgrep -f "sleep 234$$")"
'

# By its path, when it has been found: a fault of the host's.  The box has no
# limits, so that nothing else would show that its visitor is not in its cgroup.
top=$(mounts_of cgroup2 | tail -n 1)
if is_root && [ -n "$top" ]; then
	it 'goes in where the box is, or not at all' '
		b=box$$ && trap "\"$WHALEBOX\" rm -f $b >last 2>&1" EXIT &&
		box -d --name $b /bin/sleep 300 && want_status 0 &&
		pid=$("$WHALEBOX" inspect $b pid) &&
		group=$(sed -n "s/^0:://p" /proc/$pid/cgroup) &&
		same "/whalebox/$b" "${group#"${group%/whalebox/*}"}" &&
		group=/whalebox/$b && visit $b /bin/cat /proc/self/cgroup &&
		want_line 0::/ && visit $b /bin/sleep 0.01 && want_status 0 &&
		for error in EACCES ENOENT EPERM EMFILE; do
			run strace -f -qq -o calls -P "$top$group" -e trace=?open,openat \
			    -e inject=?open,openat:error=$error \
			    "$WHALEBOX" exec $b /bin/echo ran &&
			grep -q INJECTED calls && want_status 125 && want_out "" &&
			want_err "chapter 7: open($top$group)" || exit
		done
	'
fi

# It is held up when it has found the box running, as it looks for its cgroup.
it 'is 125 when the box ends before it is entered' '
	begin /bin/sleep 300 && LIMIT=20 &&
	cgroup=/proc/$("$WHALEBOX" inspect one pid)/cgroup &&
	{ run strace -f -qq -o /dev/null -P "$cgroup" -e trace=openat \
	    -e inject=openat:delay_enter=3000000 timeout -s KILL 9 "$WHALEBOX" \
	    exec one /bin/sh -c "$look" "$PWD" && want_status 125 &&
	    want_out "" && want_err "whalebox: chapter " & } &&
	sleep 1.5 && "$WHALEBOX" stop -t 0 one && { wait $! || exit; } &&
	"$WHALEBOX" rm one
'

it 'enters no other process than the one that was recorded' '
	begin /bin/sleep 300 && config=$WHALEBOX_HOME/containers/one/config &&
	cp "$config" whole && visit one /bin/true && want_status 0 &&
	for change in "s/^pid=.*/pid=$$/" "s/^pid=.*/pid=1/" "s/^pid=.*/pid=0/" \
	    "s/^pid=.*/pid=4194304/" "s/^pid_start=.*/pid_start=1/" \
	    "s/^boot_id=../boot_id=zz/" "s/^pid=.*/pid=-1/" "s/^pid=//"; do
		sed "$change" whole >"$config" &&
		visit one /bin/sh -c "echo ran" && want_status 125 && want_out "" ||
		exit
	done && cp whole "$config"
'

if is_root; then
	it 'lets nobody in who is not the owner of the box' '
		begin /bin/sleep 300 && mark=$PWD/mark && chmod 777 . &&
		stranger() {
			run setpriv --reuid 1000 --regid 1000 --clear-groups \
			    --inh-caps=-all "$WHALEBOX" exec one /bin/touch "$mark"
		} && stranger && differ 0 "$status" && [ ! -e mark ] &&
		chmod 711 "$scratch" "$WHALEBOX_HOME" "$WHALEBOX_HOME/containers" &&
		chmod a+r "$WHALEBOX_HOME/containers/one/config" &&
		stranger && differ 0 "$status" && [ ! -e mark ] &&
		chmod 700 "$WHALEBOX_HOME/containers"
	'
fi

# ---- Many, and some that are killed ------------------------------------------

it 'takes 50 visitors at once, each with its own end' '
	begin /bin/sleep 300 && {
		for n in $(seq 50); do
			( timeout -k 1 "$LIMIT" "$WHALEBOX" exec -e N=$n one /bin/sh -c \
			    "sleep 0.\$N; exit \$N" || echo $n $? >>codes ) &
		done
		wait
	} && sort -n codes >sorted &&
	for n in $(seq 50); do echo $n $n; done >wanted && cmp sorted wanted &&
	soon alone
'

# What visits could leave: in the box, in its supervisor, on the disk.
traces() {
	"$WHALEBOX" exec one /bin/ps -o comm
	"$WHALEBOX" exec one /bin/cat /proc/mounts
	"$WHALEBOX" exec one /bin/ls /proc/1/fd
	ls "/proc/$("$WHALEBOX" inspect one supervisor_pid)/fd"
	pgrep -lP "$("$WHALEBOX" inspect one supervisor_pid)"
	find "$WHALEBOX_HOME/containers" -path "*/work/work" -prune -o \
	    -exec ls -ld --full-time {} +
} 2>&1

it 'leaves nothing of 500 visits in a row' '
	begin /bin/sleep 300 && soon alone && snapshot && traces >before &&
	for n in $(seq 500); do
		"$WHALEBOX" exec one /bin/sh -c "exit 7" >>shown 2>&1
		echo $? >>codes
	done && same "500 7" "$(sort codes | uniq -c | sed "s/^ *//")" &&
	same "" "$(cat shown)" && unchanged &&
	left_no_trace() { traces >after && diff before after; } && soon left_no_trace &&
	visit one /bin/sh -c "sleep 300 >/dev/null 2>&1 & touch /tmp" && traces >after &&
	{ diff before after >changes || grep -q sleep changes ||
		wrong "a sleep that was left" "$(cat changes)"; }
'

# The namespaces are there before the box is closed.
it 'waits for a box that is still being made' '
	trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT &&
	{ strace -f -qq -o /dev/null -e trace=pivot_root \
	    -e inject=pivot_root:delay_enter=700000 \
	    "$WHALEBOX" -d --name one /bin/sleep 300 >made & } &&
	soon test -s "$WHALEBOX_HOME/containers/one/config" && [ ! -s made ] &&
	visit one /bin/cat /etc/hostname && want_status 0 && want_out one &&
	visit one /bin/ls /dev && want_line tty && want_no_line kmsg
'

it 'does not wait for who stays on its terminal' '
	begin /bin/sleep 300 &&
	visit -t one /bin/sh -c "setsid sleep 60 & sleep 0.3; echo shown; exit 4" &&
	want_status 4 && want_match "^shown"
'

# The relay has the terminal to put right, whoever stays on that of the box.
it 'leaves no relay when it is killed' '
	begin /bin/sleep 300 &&
	{ "$WHALEBOX" exec -t one /bin/sh -c "setsid sleep 60 & sleep 0.2
	    echo shown; exec sleep 60" >shown & } && visit=$! &&
	soon grep -q shown shown && pgrep -P "$visit" >children &&
	same 2 "$(wc -l <children)" && kill -KILL "$visit" &&
	gone() { ! ps -o stat= -p "$(paste -sd , children)" | grep -q "^[^Z]"; } &&
	soon gone
'

it 'leaves no process in the box when it is killed, 25 times' '
	begin /bin/sleep 300 && for try in $(seq 25); do
		"$WHALEBOX" exec one /bin/sleep 234$$ &
		sleep "0.0$((try % 2))$((try * 7 % 10))"
		kill -KILL $! && wait $! || true
	done 2>kill.err && soon alone && same "" "$(pgrep -f "sleep 234$$")"
'

# Each process of it on its own: before it is in the box, and when it is there,
# but not the command as yet.
it 'leaves no process at any step at which it is killed' '
	begin /bin/sleep 300 && for call in setns clone3 pipe2 read seccomp prctl execve; do
		for n in 1 2 3; do
			run strace -f -qq -o /dev/null -e trace=$call \
			    -e inject=$call:signal=KILL:when=$n "$WHALEBOX" exec one \
			    /bin/sh -c "[ ! -e \"\$0\" ] || echo on the host; sleep 0.2" \
			    "$PWD" && want_out "" &&
			case $status in
			0 | 125 | 137) echo "$status" >>codes ;;
			*) wrong "0, 125 or 137" "$status" ;;
			esac || exit
		done
	done && grep -q 125 codes && grep -q 137 codes && soon alone
'

finish
