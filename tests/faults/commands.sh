# shellcheck shell=sh
# commands.sh: makes each step of the commands fail, in turn.  Part of
# tests/faults.sh, and used together with sweep.sh, whose words it has.
#
# One good run of a command, traced by strike(c), gives the system calls of each
# of its processes.  Then each of them fails, in two ways, or its process is
# killed there.  Whatever comes of it, these are faults:
#
#   claims too much     it ended with 0, and has not done what it is for
#   fails open          what was to run in the box has seen something else
#   hangs               it did not end in time
#   goes untold         it failed and did not say so
#   destroys something  a box that it was not to change has changed
#   leaves something    a process, mount, cgroup or folder, after the box's removal

# What there is before each command, and which of its processes are struck: the
# child that becomes a box is so in sweep.sh.
#
#   command   the box   processes
table='
    detach    none      0 1
    start     ended     0 1 2
    stop      serving   all
    remove    ended     all
    destroy   serving   all
    visit     serving   all
    list      serving   all
    list      dead      all
    read      serving   all
    follow    ended     all
    last      serving   all
    await     ending    all
    signal    serving   all
    inspect   serving   all
'
# Root alone has networks.
! is_root || table="$table
    weave     none      all
    unweave   woven     all
"

box=$box_name.box
net=$box_name.net
other=$box_name.other                   # it has ended, and nobody touches it
ends='echo one; echo two; exit 7'
soon_ends='echo one; echo two; sleep 0.3; exit 7'
serves='trap "exit 7" TERM; echo one; echo two; sleep 1000 & wait'

# The words of a command, in $words, to be set as "$@" by eval.
words_of_command() {
	case $1 in
	detach)  echo '-d --name "$box" $limits /bin/sh -c "$ends" "$box"' ;;
	start)   echo 'start "$box"' ;;
	stop)    echo 'stop -t 2 "$box"' ;;
	remove)  echo 'rm "$box"' ;;
	destroy) echo 'rm -f "$box"' ;;
	visit)   echo 'exec "$box" /bin/sh -c "$probe" "$box.visit" $host_namespaces' ;;
	list)    echo 'ps -a' ;;
	read)    echo 'logs "$box"' ;;
	follow)  echo 'logs -f "$box"' ;;
	last)    echo 'logs -n 1 "$box"' ;;
	await)   echo 'wait "$box"' ;;
	signal)  echo 'kill -s TERM "$box"' ;;
	inspect) echo 'inspect "$box"' ;;
	weave)   echo 'network create "$net" --subnet 10.99.0.0/24' ;;
	unweave) echo 'network rm "$net"' ;;
	esac
}

# ---- The box that a command finds --------------------------------------------

folder_of() {
	echo "$WHALEBOX_HOME/containers/$1"
}

recorded() {
	grep -qx "$1" "$(folder_of "$box")/config" 2>/dev/null
}

has_log() {
	printf '%b' "$1" | cmp -s - "$(folder_of "$box")/log"
}

# within COMMAND...: it succeeds within two seconds, or as many as HANGS says
# where all takes longer.
within() {
	tries=$((HANGS * 4))
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}

# No whalebox waits for the box: the lock by which one lives is on its folder.
is_over() {
	[ -z "$(pgrep -f "$box")" ]
}

serves_now() {
	recorded status=running && has_log 'one\ntwo\n' &&
	[ "$(pgrep -fc "^/bin/sh .*$box\$")" -ge 1 ]
}

has_ended() {
	recorded status=exited && recorded exit_code=7 && has_log 'one\ntwo\n' &&
	is_over
}

# Its supervisor was killed.
is_dead_now() {
	recorded status=running && has_log 'one\ntwo\n' && is_over
}

# A network with this name.
net_folder() {
	echo "$WHALEBOX_HOME/networks/$net"
}

is_woven() {
	grep -qsx subnet=10.99.0.0/24 "$(net_folder)/config"
}

no_net() {
	[ ! -e "$(net_folder)/config" ] ||
		"$WHALEBOX" network rm "$net" >>tidied 2>&1
	[ ! -e "$(net_folder)/config" ]
}

no_box() {
	if [ -e "$(folder_of "$box")" ]; then
		"$WHALEBOX" rm -f "$box" >>tidied 2>&1 || "$WHALEBOX" /bin/true
	fi >>tidied 2>&1
	[ ! -e "$(folder_of "$box")" ]
}

# have KIND: a box of that kind, made anew unless it is there.
# shellcheck disable=SC2086 # a list of words
have() {
	case $1 in
	none) no_box && no_net ;;
	woven)
		is_woven || {
			no_box && no_net &&
			"$WHALEBOX" network create "$net" --subnet 10.99.0.0/24 >made
		}
		;;
	ended)
		has_ended || {
			no_box &&
			"$WHALEBOX" -d --name "$box" /bin/sh -c "$ends" "$box" >made &&
			within has_ended
		}
		;;
	# It ends while the command waits, if that is quick enough.
	ending)
		no_box &&
		"$WHALEBOX" -d --name "$box" /bin/sh -c "$soon_ends" "$box" >made ;;
	serving)
		serves_now || {
			no_box &&
			"$WHALEBOX" -d --name "$box" $limits /bin/sh -c "$serves" "$box" >made &&
			within serves_now
		}
		;;
	dead)
		is_dead_now || {
			have serving &&
			kill -KILL "$("$WHALEBOX" inspect "$box" supervisor_pid)" &&
			within is_dead_now
		}
		;;
	esac
}

# ---- What is right afterwards ------------------------------------------------

# without_chance FILE: what the command printed, but for what changes each time:
# how old a box is, and the number of a visitor.
without_chance() {
	case $command in
	list)  sed 's/  *[0-9]*[smhd]  */ /' "$1" ;;
	visit) sed 's/^pid [0-9]*,/pid N,/' "$1" ;;
	*)     cat "$1" ;;
	esac
}

is_as_good() {
	without_chance good.out >good.seen
	without_chance out | cmp -s - good.seen
}

# The command ended with 0: it has done what it is for.
is_done() {
	case $1 in
	detach) same_text "$box" && within is_over && {
			has_ended || { [ "$process" -gt 0 ] && is_known_dead; }
		} ;;
	start)  same_text "$box" && within is_over && {
			{ recorded status=exited && recorded exit_code=7 &&
			    has_log 'one\ntwo\none\ntwo\n'; } ||
			{ [ "$process" -gt 1 ] && is_known_dead; }
		} ;;
	signal) same_text "$box" && within has_ended ;;
	stop)   same_text "$box" && within is_over && recorded status=exited &&
		{ recorded exit_code=7 || recorded exit_code=137; } ;;
	remove | destroy)
		same_text "$box" && within is_over && [ ! -e "$(folder_of "$box")" ] ;;
	weave)  same_text "$net" && is_woven ;;
	unweave) same_text "$net" && [ ! -e "$(net_folder)" ] ;;
	*)      is_as_good ;;
	esac
}

same_text() {
	[ "$(cat out)" = "$1" ]
}

# A supervisor that failed when the box ran has said so in the log; one that was
# killed is known to be dead.
is_known_dead() {
	grep -q '^whalebox: ' "$(folder_of "$box")/log" ||
	[ "$("$WHALEBOX" inspect "$box" status)" = dead ] ||
	{ [ "$call" = write ] && recorded status=exited && recorded exit_code=7; }
}

# A command that failed has not changed what is not its own: a box that is not
# to be removed has its record and what it had printed.
is_unharmed() {
	cat "$(folder_of "$other")/config" "$(folder_of "$other")/log" |
	    cmp -s - other.before || return
	case $1 in
	detach | remove | destroy | weave | unweave) ;;
	*)
		grep -qx "id=$id" "$(folder_of "$box")/config" &&
		printf 'one\ntwo\n' | cmp -s -n 8 - "$(folder_of "$box")/log" ;;
	esac
}

# The processes of a visit are gone, and no other has come.
nobody_visits() {
	[ -z "$(pgrep -f "$box.visit")" ]
}

# Nothing is left of the box once it is removed.  What was never whole is for
# the next run.
box_left() {
	wires_left
	pgrep -l -f "$box"
	diff mounts.before /proc/self/mountinfo
	for m in $(mounts_of cgroup2); do
		find "$m" -type d -name "$box*" 2>/dev/null
	done
	ls -d "$(folder_of "$box")" 2>/dev/null
}

nothing_of_box() {
	box_left >left 2>&1
	[ ! -s left ]
}

# A launcher that was killed leaves its supervisor at work: the box has come, or
# nobody makes it any more.
is_made() {
	[ -z "$(pgrep -f "$box")" ] || [ -e "$(folder_of "$box")/config" ]
}

cleaned_up() {
	within is_made
	no_box && no_net && "$WHALEBOX" --rm --name "$box" /bin/true >>tidied 2>&1
	within nothing_of_box
}

# ---- Striking ----------------------------------------------------------------

# perform RUNNER...: the command, by that.
perform() {
	eval "set -- \"\$@\" \"\$WHALEBOX\" $(words_of_command "$command")"
	"$@"
}

# list_calls: those of the command, as "PROCESS CALL COUNT"; what only one of
# two runs did, chance did.
list_calls() {
	for run in 1 2; do
		have "$kind" && perform timeout -k 1 "$HANGS" \
		    "$project/build/tests/strike" list calls.$run >good.out 2>good.err ||
			return 1
		within settled || return 1
	done
	grep -Fxf calls.1 calls.2 | grep -Ev ' (exit_group|execve|execveat|arch_prctl|set_tid_address|rt_sigreturn|restart_syscall|get[a-z]+id|getpgrp|umask|#.*) ' |
	    if [ "$struck" = all ]; then cat; else
		grep "^[$(echo "$struck" | tr -d ' ')] "; fi | sort -u |
	    sort -k 1,1n -k 2,2 -k 3,3n | sed "s/^/$command $kind /" >>strikes
}

# The command's processes have ended, but for the box's own.
settled() {
	case $command in
	detach | start) has_ended || is_over ;;
	*) true ;;
	esac
}

# strike_command COMMAND KIND PROCESS CALL COUNT FAULT
strike_command() {
	command=$1 kind=$2 process=$3 call=$4
	point="$1, process $3, $4 $5" fault=$6
	: >left
	if ! have "$kind"; then
		box_left >left 2>&1
		cat tidied >err
		bad 'leaves something'
		end_all
		no_box
		have "$kind" || return 0
	fi
	id=$(sed -n 's/^id=//p' "$(folder_of "$box")/config" 2>/dev/null)
	: >tidied
	# What these print changes with the box.
	case $1 in
	list | inspect) perform env >good.out ;;
	esac
	began=$(date +%s)
	perform timeout -k 1 "$HANGS" "$project/build/tests/strike" \
	    "$3" "$4" "$5" "$6" >out 2>err </dev/null
	status=$?
	if [ $(($(date +%s) - began)) -ge "$HANGS" ]; then
		bad 'hangs'
		end_all
	fi
	case $status in
	0)
		is_done "$command" || bad 'claims too much' ;;
	125 | 137)
		[ "$fault" = KILL ] || grep -q '^whalebox: ' err ||
			bad 'goes untold' ;;
	*)
		bad 'goes untold' ;;
	esac
	if [ "$command" = visit ]; then
		[ ! -s out ] || is_as_good || bad 'fails open'
		within nobody_visits || bad 'leaves something'
	fi
	is_unharmed "$command" || bad 'destroys something'
	case $command in
	visit | list | read | follow | last | inspect)
		have_still "$kind" || bad 'destroys something' ;;
	*)
		cleaned_up || { bad 'leaves something'; end_all; } ;;
	esac
}

# The box is as it was: such commands do not change it.
have_still() {
	case $1 in
	ended) has_ended ;;
	dead)  is_dead_now ;;
	*)     serves_now ;;
	esac
}

# prepare_commands: the boxes, and in ./strikes the points of all commands.
prepare_commands() {
	tool=whalebox limits='' options='' HANGS=30
	! is_root || ! has_cgroup2 ||
		limits='--memory 64m --pids-limit 64 --cpus 0.9'
	! is_root || limits="$limits --network bridge -p 8081:80"
	host_namespaces=$(for ns in /proc/self/ns/*; do readlink "$ns"; done)
	cat /proc/self/mountinfo >mounts.before
	for file in bad report strikes tidied left; do
		: >$file
	done
	began=$(date +%s)
	"$WHALEBOX" -d --name "$other" /bin/sh -c "$ends" >made &&
	have ended && have serving || return 1
	HANGS=$((12 + $(date +%s) - began))
	cat "$(folder_of "$other")/config" "$(folder_of "$other")/log" >other.before
	while read -r command kind struck; do
		[ -z "$command" ] || list_calls || {
			echo "no good run of $command"
			cat good.err
			return 1
		}
		[ -z "$command" ] || cp good.out "good.$command"
	done <<-END
		$table
	END
	keep_wanted strikes
}

# sweep_commands ERRORS POINTS: as sweep() does.
sweep_commands() {
	choose strikes "$2" || return
	number=0
	while read -r command kind process call count; do
		for error in $(errors_of "$call" | cut -d ' ' -f "-$1") KILL; do
			! is_enough || break 2
			cp "good.$command" good.out
			strike_command "$command" "$kind" "$process" "$call" \
			    "$count" "$error" </dev/null
			number=$((number + 1))
		done
	done <chosen
	have none
	"$WHALEBOX" rm -f "$other" >>tidied 2>&1
	echo "$tool, $(id -un), $number faults at $(wc -l <chosen) of" \
	    "$(wc -l <strikes) points of its commands:"
	for fault_kind in 'claims too much' 'fails open' 'hangs' 'goes untold' \
	    'destroys something' 'leaves something'; do
		echo "  $fault_kind: $(grep -cx "$fault_kind" bad)"
	done
}
