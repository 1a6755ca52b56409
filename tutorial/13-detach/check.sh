#!/bin/sh
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

folders=$WHALEBOX_HOME/containers

# value KEY BOX: is in $out.
value() {
	box inspect "$2" "$1" && want_status 0
}

# becomes STATUS BOX: it is so by now.
becomes() {
	[ "$("$WHALEBOX" inspect "$2" status)" = "$1" ]
}

# gone PID: no such process runs; one that nobody waits for is none.
gone() {
	! grep -qs "^State:.[^ZX]" "/proc/$1/status"
}

# prints TEXT BOX: its log has this line.
prints() {
	"$WHALEBOX" logs "$2" | grep -Fqx -e "$1"
}

# remove BOX...: ends the test, and with it its boxes.
remove() {
	box rm -f "$@" && want_status 0 && want_out "$(printf '%s\n' "$@")"
}

it 'goes on with -d as soon as the box runs, and prints its name' '
	mkdir ours &&
	box -d --name bg-1 -v "$PWD/ours:/mnt" /bin/sh -c \
	    "echo \$\$ >/mnt/pid; while [ ! -e /mnt/end ]; do sleep 0.1; done
	    echo ended >/mnt/last" &&
	want_status 0 && want_out bg-1 && want_no_err && [ ! -e ours/last ] &&
	soon test -s ours/pid && same 1 "$(cat ours/pid)" &&
	value supervisor_pid bg-1 && touch ours/end && soon test -s ours/last &&
	soon gone "$out"
' 'Two processes: one prints the name and ends, the other has to wait.'

it 'tells with -d when the command cannot be run, and then leaves nothing' '
	snapshot && box -d --name bg-2 /nowhere && want_status 127 &&
	want_out "" && want_err "execve(/nowhere)" &&
	box -d --name bg-2 /etc/passwd && want_status 126 && want_out "" &&
	box -d --name bg-2 -w /etc/passwd /bin/true && want_status 125 &&
	want_out "" && unchanged
' 'A pipe whose end O_CLOEXEC closes tells that execve(2) went well.'

it 'lets go of the streams, session, terminal and folder of the caller' '
	mkfifo pipe && { timeout 10 cat pipe >until-end & } &&
	"$WHALEBOX" -d --name bg-3 /bin/sh -c "cat; sleep 60" >pipe 2>&1 &&
	wait $! && same bg-3 "$(cat until-end)" &&
	value supervisor_pid bg-3 && supervisor=$out &&
	same "$supervisor 0" "$(cut -d " " -f 6,7 "/proc/$supervisor/stat")" &&
	same / "$(readlink "/proc/$supervisor/cwd")" &&
	for fd in 0 1 2; do
		same /dev/null "$(readlink "/proc/$supervisor/fd/$fd")" || exit
	done && remove bg-3
' 'setsid(2), chdir(2), dup2(2). A pipe ends when the last copy of it is closed.'

it 'keeps a record of the box: who it is, and how it is' '
	box -d --name bg-4 -e A=b /bin/sleep 60 && want_status 0 &&
	value name bg-4 && want_out bg-4 && value exit_code bg-4 && same "" "$out" &&
	value status bg-4 && want_out running &&
	value command bg-4 && want_out "/bin/sleep 60" &&
	value image bg-4 && want_out "$(realpath "$WHALEBOX_ROOTFS")" &&
	value boot_id bg-4 && want_out "$(cat /proc/sys/kernel/random/boot_id)" &&
	value id bg-4 && want_match "^[0-9a-f]{12}\$" &&
	value supervisor_pid bg-4 && supervisor=$out &&
	value pid bg-4 && same "$supervisor" "$(cut -d " " -f 4 "/proc/$out/stat")" &&
	since=$(cut -d " " -f 22 "/proc/$out/stat") &&
	value pid_start bg-4 && want_out "$since" &&
	box inspect bg-4 && want_status 0 && want_line env=A=b &&
	box inspect bg-4 nokey && want_status 125 && remove bg-4
' 'proc(5): field 22 of stat. Write it when the child is at the gate.'

it 'keeps the words of the command apart' '
	box --name bg-5 /bin/sh -c "exit \$#" 0 "a b" "" "c${newline}d\\" &&
	want_status 3 && value command bg-5 &&
	want_out "/bin/sh -c exit\\ \$# 0 a\\ b \\e c\\nd\\\\" &&
	same "" "$(sed -n "/^[a-z_-]*=/!p" "$folders/bg-5/config")" && remove bg-5
' 'A line is one value, so a word with a new line in it needs another form.'

it 'lists with ps the boxes that run, with -a all, with -q their names' '
	box -d --name bg-6 /bin/sleep 60 && want_status 0 &&
	box --name bg-done /bin/sh -c "exit 6" && want_status 6 &&
	pid=$("$WHALEBOX" inspect bg-6 pid) &&
	box ps && want_status 0 && want_match "^NAME +PID +STATUS" &&
	want_match "^bg-6 +$pid +running .* /bin/sleep 60 " && want_no_match bg-done &&
	box ps -a && want_match "^bg-done +- +exited \(6\) " && want_match "^bg-6 " &&
	box ps -q && want_line bg-6 && want_no_line bg-done &&
	box ps -aq && want_line bg-6 && want_line bg-done && want_no_match NAME &&
	remove bg-6 bg-done
' 'What a record says of a box that runs has to be checked.'

it 'keeps what the box prints, and shows it with logs, as it comes with -f' '
	box -d --name bg-7 /bin/sh -c "echo 1; echo 2 >&2; echo 3; sleep 2
	    printf 4" && want_status 0 && want_out bg-7 &&
	soon prints 3 bg-7 && box logs bg-7 && want_out "1${newline}2${newline}3" &&
	box logs -f bg-7 && want_status 0 && printf "1\n2\n3\n4" | cmp - out &&
	same "-rw-------" "$(stat -c %A "$folders/bg-7/log")" && remove bg-7
' 'One pipe for both streams keeps their order. -f ends when the box has.'

it 'keeps no more of it than --log-max, and that is the end' '
	box -d --name bg-8 --log-max 16k /bin/seq 30000 && want_status 0 &&
	soon becomes exited bg-8 && box logs bg-8 && want_status 0 &&
	same 30000 "$(tail -n 1 out)" && seq 30000 | tail -c "$(wc -c <out)" | cmp - out &&
	[ "$(wc -c <out)" -gt 4096 ] && [ "$(wc -c <out)" -le 16384 ] &&
	box -d --log-max 1k /bin/true && want_status 125 && want_err "--log-max" &&
	remove bg-8
' 'Two files of half the size: when one is full, rename(2) it over the other.'

it 'stops a box with TERM, and records how it ended' '
	box -d --name bg-9 /bin/sh -c "trap \"echo bye; exit 9\" TERM
	    echo ready; while :; do sleep 0.1; done" && want_status 0 &&
	soon prints ready bg-9 && value pid bg-9 && pid=$out &&
	box stop bg-9 && want_status 0 && want_out bg-9 && gone "$pid" &&
	value status bg-9 && want_out exited && value exit_code bg-9 && want_out 9 &&
	value finished bg-9 && differ 0 "$out" && prints bye bg-9 &&
	box stop bg-9 && want_status 0 && remove bg-9
' 'The signal goes to the supervisor, which passes it on as chapter 0 does.'

it 'kills a box that does not stop in time' '
	box -d --name bg-10 /bin/sleep 60 && want_status 0 &&
	value pid bg-10 && pid=$out && before=$(date +%s) &&
	box stop -t 1 bg-10 && want_status 0 && want_out bg-10 && gone "$pid" &&
	[ $(($(date +%s) - before)) -le 8 ] &&
	value exit_code bg-10 && want_out 137 &&
	box stop -t 1x bg-10 && want_status 125 && remove bg-10
' 'PID 1 ignores a TERM that it has no handler for. What does it not ignore?'

it 'starts a box again, with its files, options and folder' '
	mkdir ours && cd ours &&
	box --name bg-11 -e A=b -w /tmp -v ./new:/mnt /bin/sh -c \
	    "echo x >>/root/runs; cat /root/runs; echo \$A; pwd; ls /mnt" &&
	want_status 0 && want_out "x${newline}b${newline}/tmp" &&
	touch new/file && id=$("$WHALEBOX" inspect bg-11 id) && cd .. &&
	box start bg-11 && want_status 0 && want_out bg-11 &&
	soon becomes exited bg-11 && box logs bg-11 &&
	want_out "x${newline}x${newline}b${newline}/tmp${newline}file" &&
	value id bg-11 && want_out "$id" && remove bg-11
' 'All that run_box() needs is in the record: read it as if it had been typed.'

it 'starts a box with the words that its command had' '
	box --name bg-19 /bin/sh -c "exit \$#" 0 "a b" "" "c${newline}d\\" &&
	want_status 3 && box start bg-19 && want_status 0 &&
	soon becomes exited bg-19 && value exit_code bg-19 && want_out 3 && remove bg-19
' 'They are in the record, each as one word.'

it 'starts a box whose supervisor was killed' '
	box -d --name bg-20 /bin/sleep 60 && want_status 0 &&
	value supervisor_pid bg-20 && kill -KILL "$out" && soon becomes dead bg-20 &&
	box start bg-20 && want_status 0 && want_out bg-20 &&
	value status bg-20 && want_out running && remove bg-20
' 'What is left of it has to be ended first.'

it 'removes a box, with all that it left; one that runs only with -f' '
	snapshot && box -d --name bg-12 /bin/sh -c "mkdir -p /a/b; sleep 60" &&
	want_status 0 && value pid bg-12 && pid=$out &&
	box rm bg-12 && want_status 125 && want_err "bg-12 is running" &&
	value status bg-12 && want_out running &&
	box rm -f bg-12 && want_status 0 && want_out bg-12 && gone "$pid" &&
	box inspect bg-12 && want_status 125 && want_err "no box named bg-12" &&
	unchanged
' 'Chapter 9 knows how to remove a folder; the box has to be dead by then.'

it 'keeps a box in the foreground if it has a name, unless --rm' '
	snapshot && box /bin/true && want_status 0 &&
	box --rm --name bg-13 /bin/sh -c "exit 4" && want_status 4 && unchanged &&
	box --name bg-13 /bin/sh -c "exit 5" && want_status 5 && want_no_err &&
	value status bg-13 && want_out exited &&
	value exit_code bg-13 && want_out 5 &&
	box --name bg-13 /bin/true && want_status 125 && want_err "bg-13 is there" &&
	remove bg-13 && unchanged &&
	box -d --rm --name bg-13 /bin/sleep 1 && want_status 0 && unchanged
' 'Its folder has a sticky bit, and remove_box() looks at that.'

it 'sees that a supervisor was killed, and that the box went with it' '
	box -d --name bg-14 /bin/sleep 60 && want_status 0 &&
	value pid bg-14 && pid=$out && value supervisor_pid bg-14 &&
	kill -KILL "$out" && soon gone "$pid" && soon becomes dead bg-14 &&
	grep -qx status=running "$folders/bg-14/config" &&
	box ps -q && want_no_line bg-14 && box /bin/true && want_status 0 &&
	box ps -a && want_match "^bg-14 +- +dead " && remove bg-14
' 'The kernel drops a lock however its holder dies: fcntl(2), F_GETLK.'

it 'signals no process that only has the number of the box' '
	box -d --name bg-15 /bin/sleep 60 && want_status 0 &&
	value pid bg-15 && pid=$out && sleep 0.1 && { sleep 60 & } && other=$! &&
	sed -i "s/^pid=.*/pid=$other/" "$folders/bg-15/config" &&
	box stop -t 0 bg-15 && want_status 0 && soon gone "$pid" &&
	kill -0 "$other" && kill "$other" && remove bg-15
' 'A pidfd first; then compare when that process started.'

it 'believes nothing in a record that is not whole' '
	box --name bg-16 /bin/true && want_status 0 &&
	cp "$folders/bg-16/config" whole &&
	for damage in "head -c 100" "grep -v ^pid=" "sed s/^name=.*/name=x/" \
	    "sed s/^pid=.*/pid=1x/" "tail -n +2"; do
		$damage whole >"$folders/bg-16/config" || exit
		box stop bg-16 && want_status 125 && want_out "" &&
		want_err "record of bg-16 is corrupt" || exit
	done && box ps -a && want_match "^bg-16 .*corrupt" && remove bg-16
' 'The last line has its end, every key is there, and numbers are numbers.'

it 'does what it can for some names when there are no boxes of others' '
	box --name bg-17 /bin/true && want_status 0 &&
	for none in nobody ../containers/bg-17 "" .; do
		box rm "$none" && want_status 125 && want_out "" &&
		want_err "there is no box named $none" || exit
	done && box rm nobody bg-17 && want_status 125 && want_out bg-17 &&
	box ps -aq && want_no_line bg-17 && box rm && want_status 125
' 'A process each; the status is a failure if one of them failed.'

if is_root && has_cgroup2; then
	it 'starts a box again under the limits that it had' '
		box -d --name bg-18 -m 64m --pids-limit 20 --cpus 0.5 /bin/sh -c "
			cd /sys/fs/cgroup; cat memory.max pids.max cpu.max" &&
		want_status 0 && soon becomes exited bg-18 &&
		for again in 1 2; do
			box start bg-18 && want_status 0 && want_out bg-18 &&
			soon becomes exited bg-18 || exit
		done && box logs bg-18 && same 3 "$(grep -cx 67108864 out)" &&
		same 3 "$(grep -cx 20 out)" && same 3 "$(grep -cx "50000 100000" out)" &&
		remove bg-18
	' 'Options come from the record as they came from the command line.'
fi

# Boxes of tests that failed.
for name in $("$WHALEBOX" ps -aq 2>"$scratch/log"); do
	"$WHALEBOX" rm -f "$name" >"$scratch/log" 2>&1
done

finish
