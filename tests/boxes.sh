#!/bin/sh
# needs: host
# boxes.sh: a box in the background is what its record says, whoever is killed,
# whatever is written over the record, and however many act on the box at once.
. "$(dirname "$0")/lib.sh"

# The name of the box of each test, and a part of every command line that has
# to do with it, so that what is left of it can be found.
b=box$$

# No process, folder, mount or cgroup of a box is left.
quiet() {
	{
		pgrep -fa "$b"
		ls -A "$WHALEBOX_HOME/containers"
		grep -F "$WHALEBOX_HOME" /proc/self/mountinfo
		for m in $(mounts_of cgroup2); do
			find "$m" -type d -path "*/whalebox/$b*" 2>/dev/null
		done
	} >left
	[ ! -s left ]
}

# What a test that failed has left is not to be the next one's failure.
tidy() {
	for left in $("$WHALEBOX" ps -aq); do
		timeout 30 "$WHALEBOX" rm -f "$left"
	done >"$scratch/tidied" 2>&1
	# A folder that this user may not look into is root's, and has none of ours.
	for m in $(mounts_of cgroup2); do
		find "$m" -depth -type d -path "*/whalebox/$b.*" -exec rmdir {} + || true
	done >>"$scratch/tidied" 2>&1
}
trap 'tidy; cleanup' EXIT

# many ARGUMENT...: box, with more of them than a message is to have.
many() {
	box "$@"
	ran="whalebox with $# words"
}

# value KEY, of the record; is KEY VALUE, for soon
value() {
	"$WHALEBOX" inspect "$b" "$1" 2>/dev/null
}

is() {
	same "$1=$2" "$1=$(value "$1")"
}

ended() {
	is status exited
}

logged() {
	"$WHALEBOX" logs "$b" | grep -Fxq -e "$1"
}

is_on_terminal() {
	"$WHALEBOX" logs "$b" | grep -q "^/dev/pts/"
}

# A command that ends with status 7 as soon as it is told to.
obey='trap "exit 7" TERM; echo ready; sleep 1000 & wait'

# serve [OPTION...]: a box that does.
serve() {
	box -d --name "$b" "$@" /bin/sh -c "$obey" "$b" && want_status 0 &&
	want_out "$b" && soon logged ready
}

# Now nothing is to be left of it, and removing it says so.
removed() {
	box rm -f "$b" && want_status 0 && want_out "$b" && want_no_err &&
	all_gone
}

all_gone() {
	soon quiet || {
		cat left
		return 1
	}
}

record() {
	echo "$WHALEBOX_HOME/containers/$b/config"
}

# ---- Who waits, and who does not ---------------------------------------------

it 'prints the name of a box in the background, and only that' '
	tidy &&
	box -d --name "$b" /bin/sh -c "echo out; echo err >&2; $obey" "$b" &&
	want_status 0 && want_out "$b" && want_no_err && is status running &&
	soon logged ready && removed &&
	box -d /bin/sh -c "$obey" "$b" && want_status 0 && want_no_err &&
	want_match "^[0-9a-f]{12}\$" && same 1 "$(wc -l <out)" && name=$out &&
	box inspect "$name" id && want_out "$name" &&
	box inspect "$name" name && want_out "$name" &&
	box rm -f "$name" && want_out "$name" && all_gone
'

# The command substitution ends when nobody has the pipe open any more.
it 'returns at once, and holds nothing of its caller' '
	tidy &&
	mkdir folder && begun=$(date +%s) &&
	name=$(cd folder && exec 5>../held 6<.. &&
	    "$WHALEBOX" -d --name "$b" /bin/sh -c "$obey" "$b" 2>&1) &&
	same "$b" "$name" && [ $(($(date +%s) - begun)) -lt 5 ] &&
	supervisor=$(value supervisor_pid) &&
	same / "$(readlink "/proc/$supervisor/cwd")" &&
	same "$supervisor" "$(ps -o sid= -p "$supervisor" | tr -d " ")" &&
	for n in 0 1 2; do
		same /dev/null "$(readlink "/proc/$supervisor/fd/$n")" || exit
	done &&
	ls -l "/proc/$supervisor/fd" "/proc/$(value pid)/fd" >held.now &&
	same "" "$(grep -F "$PWD" held.now)" &&
	same "" "$(grep "> /dev/[pt]t" held.now)" && removed
'

it 'returns at once with -t, too, and so lets go of its caller' '
	tidy && mkdir folder &&
	( cd folder && exec timeout -k 1 10 "$WHALEBOX" -d -t --name "$b" /bin/sh -c \
	    "tty; $obey" "$b" >name 2>&1 ) && same "$b" "$(cat folder/name)" &&
	supervisor=$(value supervisor_pid) && value pid >processes &&
	pgrep -P "$supervisor" >>processes && echo "$supervisor" >>processes &&
	while read -r pid; do
		ls -l "/proc/$pid/cwd" "/proc/$pid/fd" || exit
	done <processes >held.now &&
	same "" "$(grep -F "$PWD" held.now)" && soon is_on_terminal && removed
'

it 'leaves nothing of a box whose command cannot be executed' '
	tidy &&
	for init in "" --init -t; do
		box -d $init --name "$b" /nowhere && want_status 127 &&
		want_out "" && want_err "execve(/nowhere)" && want_err "hint: " &&
		all_gone &&
		box -d $init --name "$b" /etc/passwd && want_status 126 &&
		want_out "" && want_err "execve(/etc/passwd)" && all_gone || exit
	done &&
	box -d --name "$b" -w /proc/self/fd/9 /bin/true && want_status 125 &&
	want_out "" && want_err "whalebox: " && all_gone
'

it 'records the exit status, whatever it is' '
	tidy &&
	for n in 0 1 125 126 127 255; do
		box -d --name "$b" /bin/sh -c "exit $n" "$b" && want_status 0 &&
		soon ended && same "$n" "$(value exit_code)" &&
		box ps -a && want_match "^$b +- +exited \\($n\\) " &&
		box rm "$b" && want_status 0 || exit
	done &&
	box -d --name "$b" --init /bin/sh -c "kill -SEGV \$\$" "$b" &&
	soon ended && same 139 "$(value exit_code)" && removed &&
	serve && kill -KILL "$(value pid)" && soon ended &&
	same 137 "$(value exit_code)" && removed
'

it 'removes a box with --rm when it ends, and keeps one with a name' '
	tidy &&
	box -d --rm --name "$b" /bin/sh -c "echo x >/file; sleep 0.3" "$b" &&
	want_out "$b" && is status running && all_gone &&
	serve --rm && box stop "$b" && want_status 0 && all_gone &&
	box --rm --name "$b" /bin/sh -c "exit 3" && want_status 3 && quiet &&
	box --name "$b" /bin/sh -c "echo x >/file; exit 3" "$b" &&
	want_status 3 && want_no_err &&
	is status exited && is exit_code 3 && box logs "$b" && want_status 125 &&
	want_err "hint: whalebox start $b" &&
	box rm "$b" && want_out "$b" && all_gone
'

# ---- The log -----------------------------------------------------------------

it 'keeps all that the box prints, in order and to the byte' '
	tidy &&
	mkdir data && head -c 20000 /bin/sh >data/bytes &&
	box -d --name "$b" -v "$PWD/data:/data" /bin/sh -c "
		i=0; while [ \$i -lt 300 ]; do
			echo out \$i; echo err \$i >&2; i=\$((i + 1))
		done; cat /data/bytes; printf end" "$b" && soon ended &&
	i=0 && while [ $i -lt 300 ]; do
		echo "out $i"; echo "err $i"; i=$((i + 1))
	done >expected && cat data/bytes >>expected && printf end >>expected &&
	box logs "$b" && want_status 0 && cmp expected out &&
	box logs -f "$b" && want_status 0 && cmp expected out && removed
'

# The end of what was printed, and no more than was asked for.
it 'keeps no more than --log-max, over starts too' '
	tidy &&
	box -d --name "$b" --log-max 8191 /bin/true && want_status 125 &&
	want_err "--log-max" && want_err "hint: " && quiet &&
	bound() { [ "$(cat "$(dirname "$(record)")"/log* | wc -c)" -le 8192 ]; } &&
	box -d --name "$b" --log-max 8k /bin/seq 20000 && want_status 0 &&
	soon ended && bound && box logs "$b" && want_line 20000 &&
	size=$(wc -c <out) && [ "$size" -gt 4000 ] &&
	seq 20000 | tail -c "$size" | cmp - out &&
	for try in 1 2 3; do
		box start "$b" && want_out "$b" && soon ended && bound || exit
	done && removed
'

it 'follows the log over its files, losing and repeating nothing' '
	tidy &&
	mkdir data &&
	box -d --name "$b" --log-max 8k -v "$PWD/data:/data" /bin/sh -c "
		until [ -e /data/go ]; do sleep 0.05; done
		for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
			seq \$((10000 + i * 300)) \$((10299 + i * 300)); sleep 0.1
		done" "$b" && want_status 0 &&
	{ "$WHALEBOX" logs -f "$b" >seen & } && touch data/go &&
	soon grep -q 14000 seen && same 1 "$(expr "$(ls "/proc/$!/fd" | wc -l)" "<" 14)" &&
	wait $! && seq 10000 15999 | cmp - seen &&
	is status exited && removed
'

it 'shows as many of the last lines as were asked for, over both files' '
	tidy &&
	box -d --name "$b" --log-max 8K /bin/sh -c "seq 3000; printf half; $obey" "$b" &&
	want_status 0 && soon eval "\"\$WHALEBOX\" logs $b | grep -q half" &&
	box logs "$b" && cp out all && [ -s "$(dirname "$(record)")/log.1" ] &&
	lines=$(($(wc -l <all) + 1)) && for n in 0 1 2 700 $((lines - 1)) $lines \
	    $((lines + 1)) 99999; do
		box logs -n "$n" "$b" && want_status 0 && tail -n "$n" all | cmp - out || exit
	done && box logs -n2 "$b" && tail -n 2 all | cmp - out &&
	for bad in -n-1 "-n x" "-n 1k" "-n 99999999999" -n; do
		box logs $bad "$b" && want_status 125 && want_out "" &&
		want_err "logs: -n" && want_err "hint: " || exit
	done && box stop "$b" && run timeout 5 "$WHALEBOX" logs -fn 1 "$b" &&
	want_status 0 && tail -n 1 all | cmp - out && removed
'

it 'never waits for who reads the log' '
	tidy &&
	mkdir data &&
	box -d --name "$b" --log-max 8k -v "$PWD/data:/data" /bin/sh -c "
		echo first; until [ -e /data/go ]; do sleep 0.05; done
		seq 100000; until [ -e /data/end ]; do sleep 0.05; echo x; done" \
	    "$b" && want_status 0 &&
	{ "$WHALEBOX" logs -f "$b" >seen & } && soon grep -q first seen &&
	kill -STOP $! && touch data/go && soon logged 100000 &&
	run sh -c "\"\$WHALEBOX\" logs -f $b | head -n 1" && want_no_err &&
	same 1 "$(wc -l <out)" && touch data/end && soon ended &&
	kill -CONT $! && wait $! && removed
'

it 'stops following when it is told to' '
	tidy &&
	serve && run timeout 1 "$WHALEBOX" logs -f "$b" && want_status 124 &&
	want_out ready && removed
'

# ---- What ps and inspect say -------------------------------------------------

it 'lists the boxes that run, or all' '
	tidy &&
	serve && pid=$(value pid) &&
	box --name "$b.2" /bin/sh -c "exit 7" "$b" && want_status 7 &&
	box ps && want_no_err && same 2 "$(wc -l <out)" &&
	want_match "^NAME +PID +STATUS +AGE +COMMAND +PORTS +IMAGE\$" &&
	want_match "^$b +$pid +running +[0-9]+s +/bin/sh -c .* $WHALEBOX_ROOTFS\$" &&
	box ps -a && same 3 "$(wc -l <out)" &&
	want_match "^$b +$pid +running " &&
	want_match "^$b.2 +- +exited \\(7\\) +[0-9]+s +/bin/sh -c exit.* 7 " &&
	box ps -q && want_out "$b" && box ps -a -q && same 2 "$(wc -l <out)" &&
	want_line "$b" && want_line "$b.2" && cp out both &&
	box ps -aq && cmp both out &&
	for bad in -x -qx --all "$b"; do
		box ps $bad && want_status 125 && want_out "" && want_err hint: || exit
	done && box ps --bogus && want_err "there is no option --bogus" &&
	box rm "$b.2" && want_out "$b.2" && removed
'

it 'tells the truth, key by key' '
	tidy &&
	before=$(date +%s) && serve --hostname "$b-host" --log-max 64k &&
	after=$(date +%s) && pid=$(value pid) &&
	box inspect "$b" && want_no_err && cp out all &&
	for key in id name status exit_code pid pid_start supervisor_pid boot_id \
	    created started finished image directory command hostname log-max; do
		same 1 "$(grep -c "^$key=" all)" &&
		same "$(sed -n "s/^$key=//p" all | sed "s/\\\\ / /g")" \
		    "$(value "$key" | sed "s/\\\\ / /g")" || exit
	done &&
	is name "$b" && is status running && is exit_code "" && is finished 0 &&
	same 12 "$(expr "$(value id)" : "[0-9a-f]*")" &&
	same 1 "$(sed -n "s/^NSpid:.*[^0-9]//p" "/proc/$pid/status")" &&
	same "$(value supervisor_pid)" "$(ps -o ppid= -p "$pid" | tr -d " ")" &&
	is pid_start "$(awk "{ print \$22 }" "/proc/$pid/stat")" &&
	is boot_id "$(cat /proc/sys/kernel/random/boot_id)" &&
	[ "$before" -le "$(value created)" ] && [ "$(value started)" -le "$after" ] &&
	is created "$(value started)" && is directory "$PWD" &&
	is image "$(readlink -f "$WHALEBOX_ROOTFS")" && is log-max 64k &&
	is hostname "$b-host" &&
	box stop "$b" && want_status 0 && is status exited && is exit_code 7 &&
	is pid 0 && is pid_start 0 && [ "$after" -le "$(value finished)" ] &&
	box inspect "$b" nokey && want_status 125 && want_out "" &&
	want_err "hint: " && box inspect "$b" name more && want_status 125 && removed
'

# ---- Once more, the same -----------------------------------------------------

it 'starts a box with the very same words' '
	tidy &&
	mkdir data && look="[ -e /data/1 ] && n=2 || n=1
	    cat /proc/1/cmdline >/data/\$n; exit" && tab=$(printf "\t") &&
	set -- "two words" "two${newline}lines" "$newline" "" "" " " "  x  " \
	    "'\''" "\"" "\\" "\\\\" "\\n" "\\e" "\\ " "end\\" "a=b" "command=x" \
	    "*" "\$HOME" "\`x\`" "$tab" "$(printf "\303\274\377\001\033[1m")" \
	    "-x" "--" "" &&
	printf "%s\0" /bin/sh -c "$look" "$b" "$@" >expected &&
	box -d --name "$b" -v "$PWD/data:/data" /bin/sh -c "$look" "$b" "$@" &&
	want_status 0 && soon ended && cmp expected data/1 &&
	box start "$b" && want_out "$b" && soon ended && cmp expected data/2 &&
	removed && rm data/* &&
	set -- $(seq 100000 111999) "$(head -c 20000 /dev/zero | tr "\0" " ")" &&
	printf "%s\0" /bin/sh -c "$look" "$b" "$@" >expected &&
	many -d --name "$b" -v "$PWD/data:/data" /bin/sh -c "$look" "$b" "$@" &&
	want_status 0 && soon ended && cmp expected data/1 &&
	box start "$b" && want_out "$b" && soon ended && cmp expected data/2 &&
	removed
'

# A word takes a blank at least, and no letter, if somebody has changed it.
it 'overruns nothing when a record has a command of blanks' '
	tidy && box -d --name "$b" /bin/echo shown && want_status 0 && soon ended &&
	cp "$(record)" good && for count in 1 10 1000 200000; do
		{ grep -v "^command=" good && printf "command=" &&
		    head -c $count /dev/zero | tr "\0" " " && echo; } >"$(record)" &&
		many start "$b" && want_status 125 && want_out "" &&
		want_err "(): No such file or directory" && is status exited ||
		exit
	done && cp good "$(record)" && box start "$b" && want_status 0 && removed
'

# As long as execve(2) takes them: blanks are the longest in a record.
it 'records a command however long it is, and starts it again' '
	tidy && blanks=$(head -c 130000 /dev/zero | tr "\\0" " ") &&
	count="echo \$# \${#3} \${12}; exit" && set -- /bin/sh -c "$count" "$b" \
	    1 2 "$blanks" "$blanks" "$blanks" "$blanks" "$blanks" "$blanks" \
	    "$blanks" "$blanks" "$blanks" $(seq 100000 139999) &&
	many -d --name "$b" "$@" && want_status 0 && soon ended &&
	[ "$(wc -c <"$(record)")" -gt 2600000 ] && box start "$b" &&
	want_out "$b" && soon ended && box logs "$b" &&
	want_out "40011 130000 100000${newline}40011 130000 100000" && removed &&
	many -d --rm --name "$b" /bin/sh -c "$obey" "$b" $(seq 100000 139999) &&
	want_status 0 && is status running && value command >words &&
	same "139999" "$(tail -c 7 words)" && box stop "$b" && all_gone
'

it 'believes no record that no command line can have filled' '
	tidy && box --name "$b" /bin/true && truncate -s 17m "$(record)" &&
	box inspect "$b" && want_status 125 && want_err "the record of $b is corrupt" &&
	removed
'

it 'starts a box with the very same options, from wherever' '
	tidy &&
	mkdir data "data/a b" elsewhere && echo seen >data/file && user= &&
	{ ! is_root || user="-u 3:4"; } && export FROM_CALLER="now\\n  x" &&
	box -d --name "$b" -e "A=one${newline}two \\ three\\n" -e EMPTY= \
	    -e FROM_CALLER --env=B=--env -v "./data:/data" -v "data/a b:/c d:ro" \
	    -w "/c d" --hostname odd.host --read-only --cap-drop ALL $user \
	    /bin/sh -c "env | sort; pwd; id -u; id -g; hostname; cat /data/file
		grep Cap /proc/self/status; grep \" / \" /proc/mounts | cut -c 1-30
		touch /x; touch \"/c d/x\"" "$b" &&
	want_status 0 && soon ended && box logs "$b" && cp out first &&
	want_line "A=one" && want_line "two \\ three\\n" && want_line seen &&
	want_line "FROM_CALLER=now\\n  x" && want_line "/c d" &&
	want_line odd.host && same 2 "$(grep -c "Read-only" out)" &&
	want_match "CapEff:.0+\$" && { ! is_root || want_line 3; } &&
	export FROM_CALLER=later && cd elsewhere && box start "$b" &&
	want_out "$b" && soon ended && box start "$b" && soon ended &&
	cat ../first ../first ../first >expected &&
	box logs "$b" && cmp expected out && removed
'

it 'starts a box with its folders in memory, empty, and variables of a file' '
	tidy && echo A=old >file && box -d --name "$b" --env-file file --tmpfs /m:size=1m \
	    /bin/sh -c "echo \$A; ls /m; touch /m/x; grep -o size=1024k /proc/mounts" "$b" &&
	want_status 0 && soon ended && echo A=new >file && box start "$b" && soon ended &&
	box logs "$b" && want_out "old${newline}size=1024k${newline}old${newline}size=1024k" &&
	removed
'

it 'keeps the files of a box until it is removed' '
	tidy &&
	box -d --name "$b" /bin/sh -c "cat /file /etc/*.new; echo x >>/file
	    rm -r /usr; echo y >/etc/a.new; ls -d /usr" "$b" && soon ended &&
	for try in 2 3; do
		box start "$b" && want_out "$b" && soon ended || exit
	done &&
	box logs "$b" && same 3 "$(grep -cx x out)" && same 2 "$(grep -cx y out)" &&
	[ -d "$WHALEBOX_ROOTFS/usr" ] && [ ! -e "$WHALEBOX_ROOTFS/file" ] &&
	box rm "$b" && want_status 0 && all_gone
'

# ---- The end, and the commands that bring it ---------------------------------

it 'asks a box to end, and kills one that does not' '
	tidy &&
	serve && begun=$(date +%s) && box stop "$b" && want_out "$b" &&
	want_no_err && [ $(($(date +%s) - begun)) -lt 8 ] && is status exited &&
	is exit_code 7 && removed &&
	box -d --name "$b" /bin/sh -c "trap \"\" TERM; echo ready; sleep 1000" "$b" &&
	soon logged ready && begun=$(date +%s) && box stop -t 2 "$b" &&
	want_out "$b" && took=$(($(date +%s) - begun)) && is status exited &&
	is exit_code 137 && [ "$took" -ge 1 ] && [ "$took" -lt 8 ] &&
	box start "$b" && begun=$(date +%s) && box stop -t0 "$b" &&
	want_out "$b" && [ $(($(date +%s) - begun)) -lt 8 ] && is exit_code 137 &&
	for bad in -t "-t x" "-t -1" "-t 86401" "-t 1x" -x; do
		box stop $bad "$b" && want_status 125 && want_err "hint: " || exit
	done && removed
'

it 'asks a box to end though its caller ignored TERM' '
	tidy &&
	run sh -c "trap \"\" TERM; exec \"\$WHALEBOX\" -d --name $b \
	    /bin/sh -c \"\$0\" $b" "$obey" && want_status 0 && soon logged ready &&
	box stop -t 8 "$b" && is exit_code 7 && removed
'

it 'asks a box to end though whoever waits for it is stopped' '
	tidy && { "$WHALEBOX" --name "$b" --init /bin/sleep 1000 & } &&
	soon is status running && kill -STOP $! && begun=$(date +%s) &&
	box stop "$b" && want_out "$b" && is exit_code 143 &&
	[ $(($(date +%s) - begun)) -lt 8 ] && removed
'

it 'stops asking when it is killed' '
	tidy && box -d --name "$b" /bin/sleep 1000 && want_status 0 &&
	{ "$WHALEBOX" stop -t 60 "$b" >stopped & } && sleep 1 && kill $! &&
	{ wait $! || true; } && asks() { pgrep -f "stop -t 60 $b" >/dev/null; } &&
	not_asking() { ! asks; } && soon not_asking && is status running && removed
'

it 'sends the first process any signal, by number or name' '
	tidy &&
	box -d --name "$b" /bin/sh -c "for s in HUP USR1 USR2; do
	    trap \"echo got \$s\" \$s; done; $obey; while :; do wait; done" "$b" &&
	want_status 0 && soon logged ready &&
	for signal in HUP SIGUSR1 sigusr2; do
		box kill -s $signal "$b" && want_status 0 && want_out "$b" && want_no_err &&
		soon logged "got $(echo "${signal#[Ss][Ii][Gg]}" | tr a-z A-Z)" || exit
	done && pid=$(value pid) && for bad in "-s FOO" "-s SIG" "-s 0" "-s 65" "-s -9" \
	    -s -9 "-x 9" --signal; do
		box kill $bad "$b" && want_status 125 && want_out "" &&
		want_err "kill: " && want_err "hint: whalebox kill [-s SIGNAL]" || exit
	done && kill -0 "$pid" && box kill -s 15 "$b" && soon ended && is exit_code 7 &&
	box kill "$b" && want_status 125 && want_err "$b is not running" &&
	want_out "" && box start "$b" && box kill "$b.none" "$b" && want_status 125 &&
	want_out "$b" && is status exited && is exit_code 137 && box start "$b" &&
	box kill "$b" && box rm "$b" && want_out "$b" && all_gone
'

it 'waits for the end of boxes, and prints their exit statuses in order' '
	tidy && mkdir data &&
	box -d --name "$b" -v "$PWD/data:/data" /bin/sh -c \
	    "until [ -e /data/go ]; do sleep 0.05; done; exit 5" "$b" &&
	box --name "$b.2" /bin/sh -c "exit 6" "$b" && want_status 6 &&
	{ timeout 60 "$WHALEBOX" wait "$b" "$b.2" "$b" >waited & } && sleep 0.3 &&
	[ ! -s waited ] && touch data/go && wait $! &&
	same "5 6 5" "$(paste -sd " " waited)" &&
	for bad in "" "$b.none" "-x $b" "--no-stdin $b"; do
		box wait $bad && want_status 125 && want_out "" && want_err "hint: " || exit
	done && box wait "$b.none" "$b" && want_status 125 && want_out 5 &&
	box rm "$b.2" && removed
'

it 'waits for no status where nobody can know it' '
	tidy && serve --rm && { "$WHALEBOX" wait "$b" >waited 2>why & } && sleep 0.3 &&
	box stop "$b" && { wait $!; same 125 $?; } && grep -q "removed when it ended" why &&
	[ ! -s waited ] && serve && { "$WHALEBOX" wait "$b" >waited 2>why & } && sleep 0.3 &&
	kill -KILL "$(value supervisor_pid)" && { wait $!; same 125 $?; } &&
	grep -q "$b is dead" why && [ ! -s waited ] && removed
'

it 'finds nothing wrong in what is so already' '
	tidy &&
	serve && pid=$(value pid) && box start "$b" && want_status 0 &&
	want_out "$b" && want_no_err && is pid "$pid" &&
	box stop "$b" && want_status 0 && box stop "$b" && want_status 0 &&
	want_out "$b" && want_no_err && is exit_code 7 && removed
'

it 'removes no box that runs, unless told to' '
	tidy &&
	serve && pid=$(value pid) && box rm "$b" && want_status 125 &&
	want_out "" && want_err "$b is running" && want_err "hint: " &&
	is pid "$pid" && kill -0 "$pid" && removed && [ ! -e "/proc/$pid" ]
'

it 'refuses a name that is taken, and leaves the box alone' '
	tidy &&
	serve && pid=$(value pid) &&
	for d in -d ""; do
		box $d --name "$b" /bin/true && want_status 125 && want_out "" &&
		want_err "a box named $b is " && is pid "$pid" || exit
	done &&
	box stop "$b" && box -d --name "$b" /bin/true && want_status 125 &&
	is exit_code 7 && box logs "$b" && want_out ready && removed
'

it 'refuses names that no box has' '
	tidy &&
	echo precious >precious && mkdir "$WHALEBOX_HOME/containers/.hidden" &&
	: >"$WHALEBOX_HOME/beside" &&
	for name in "$b" ../beside ../containers . .. .hidden "" / "$PWD" a/b -x \
	    "$(printf %0300d 0)"; do
		for command in stop start rm "rm -f" inspect logs "logs -f" wait kill; do
			box $command "$name" && want_status 125 && want_out "" &&
			want_err "hint: " || exit
		done || exit
	done && rmdir "$WHALEBOX_HOME/containers/.hidden" &&
	rm "$WHALEBOX_HOME/beside" && [ -e precious ] &&
	for command in stop start rm "rm -f" inspect logs wait kill; do
		box $command && want_status 125 && want_err "no name" || exit
	done &&
	serve && box stop "$b.none" "$b" "$b.not" && want_status 125 &&
	want_out "$b" && is status exited && removed
'

it 'refuses options of a run in front of a command that has its own' '
	tidy && serve &&
	for command in ps "logs $b" "inspect $b" "wait $b" "kill $b" "stop $b" "start $b" "rm -f $b"; do
		for option in -d "--name $b" --rm; do
			box $option $command && want_status 125 && want_out "" &&
			want_err "${command%% *}: not with --" || exit
		done || exit
	done && is status running &&
	box --explain ps && want_status 0 && want_match "^$b " && removed
'

it 'takes nothing in a path of its record for another value' '
	tidy && folder="               command=/bin/x" && mkdir -p "$folder" &&
	cd "$folder" && box -d --name "$b" /bin/sh -c "exit 7" "$b" && soon ended &&
	cd .. && for command in inspect start inspect; do
		box $command "$b" && want_status 0 && soon ended || exit
	done && is exit_code 7 && removed
'

it 'drops no option of a box that a build does not have' '
	tidy && serve --cap-drop ALL && less=$project/build/whalebox-no-LOCKS &&
	run "$less" exec "$b" /bin/true && want_status 125 && want_out "" &&
	want_err "--cap-drop=ALL belongs to chapter 10" &&
	box stop -t 0 "$b" && run "$less" start "$b" && want_status 125 &&
	want_out "" && want_err "--cap-drop=ALL belongs to chapter 10" &&
	box start "$b" && want_status 0 && removed
'

# ---- The truth, whatever the record says -------------------------------------

it 'knows when a supervisor was killed, and puts up with it' '
	tidy &&
	for then in start rm; do
		serve && pid=$(value pid) && kill -KILL "$(value supervisor_pid)" &&
		soon is status dead && gone() { [ ! -e "/proc/$pid" ]; } &&
		soon gone && box ps && want_no_match "^$b " && box ps -a &&
		want_match "^$b +- +dead " && box stop "$b" && want_out "$b" &&
		is status dead &&
		if [ $then = start ]; then
			box start "$b" && want_out "$b" && is status running && removed
		else
			box rm "$b" && want_out "$b" && want_no_err && all_gone
		fi || exit
	done
'

# spoil ALIVE COMMAND: with the record in $config as COMMAND, a shell command,
# makes it, nothing of it is believed, and another box has nothing to fear.
spoil() {
	if [ "$1" ]; then
		serve --read-only
	else
		box -d --name "$b" --read-only /bin/sh -c "exit 7" "$b" &&
		soon ended
	fi &&
	config=$(record) && cp "$config" good && eval "$2" &&
	box ps -a && want_status 0 && want_no_err &&
	want_match "^$b +- +corrupt" && want_match "^$b.2 +[0-9]+ +running" &&
	for command in inspect start stop; do
		box $command "$b" && want_status 125 && want_out '' &&
		want_err "the record of $b is corrupt" &&
		want_err "hint: remove it: whalebox rm" || return
	done &&
	if [ "$1" ]; then
		box rm "$b" && want_status 125
	fi &&
	box rm -f "$b" && want_status 0 && want_out "$b" && want_no_err &&
	box ps -aq && want_out "$b.2" && kill -0 "$bystander" &&
	same 0 "$(pgrep -fc "$b $b\$")"
}

# spoilt COMMAND: be the box stopped or alive.
spoilt() {
	for alive in '' yes; do
		spoil "$alive" "$1" || {
			echo "with the record spoilt by: $1"
			return 1
		}
	done
}

# Who changes its user is no longer ended by PR_SET_PDEATHSIG.
if is_root; then
	it 'ends what has outlived its supervisor when somebody acts, and not when one looks' '
		gone() { ! ps -o stat= -p "$pid" | grep -q "^[^Z]"; } &&
		for act in stop start rm "rm -f"; do
			tidy && box -d --name "$b" /bin/su nobody -s /bin/sh -c \
			    "echo ready; exec sleep 1000" "$b" && want_status 0 &&
			soon logged ready && pid=$(value pid) &&
			sleeps() { [ "$(cat "/proc/$pid/comm")" = sleep ]; } &&
			soon sleeps && kill -KILL "$(value supervisor_pid)" &&
			soon is status dead && box ps -a && want_match "^$b .* dead " &&
			box ps && want_status 0 && box logs "$b" && want_status 0 &&
			box inspect "$b" && want_status 0 && is status dead &&
			! gone && if [ "$act" = rm ]; then
				box rm "$b" && want_status 125 && want_out "" &&
				want_err "lives on" && want_err "hint: whalebox stop $b" &&
				! gone && box stop "$b" && want_status 0
			fi && box $act "$b" && want_status 0 && want_out "$b" &&
			want_no_err && soon gone || exit
		done && all_gone
	'
fi

if is_root && [ -n "$(mounts_of cgroup2)" ]; then
	it 'removes the cgroup of a box whose supervisor was killed, of 200' '
		tidy && serve && cgroups=$(mounts_of cgroup2 | tail -n 1)/whalebox &&
		[ -d "$cgroups/$b" ] && for n in $(seq 200); do
			mkdir "$cgroups/$b.$n" || exit
		done && kill -KILL "$(value supervisor_pid)" && soon is status dead &&
		box rm "$b" && want_status 0 && [ ! -e "$cgroups/$b" ] &&
		rmdir "$cgroups/$b".* && all_gone
	'
fi

it 'knows no box that was not to be kept when its supervisor was killed' '
	tidy && box -d --rm --name "$b" /bin/sh -c "$obey" "$b" && want_status 0 &&
	soon logged ready && kill -KILL "$(value supervisor_pid)" && sleep 0.5 &&
	box start "$b" && want_status 125 && want_err "no box named $b" &&
	box /bin/true && want_status 0 && all_gone
'

# One after so many milliseconds, that is: until then a look before is enough.
it 'is swept by one of the next runs though many are kept, 5 times' '
	swept() {
		box /bin/true && want_status 0 &&
		ls "$WHALEBOX_HOME/containers" >after && cmp -s before after
	} &&
	tidy && for n in $(seq 40); do
		box --name "$b.$n" /bin/true && want_status 0 || exit
	done && ls "$WHALEBOX_HOME/containers" >before &&
	for try in 1 2 3 4 5; do
		"$WHALEBOX" /bin/sleep 1000 & victim=$!
		one_more() { [ "$(ls "$WHALEBOX_HOME/containers" | wc -l)" = 41 ]; }
		soon one_more && kill -KILL "$victim" && { wait "$victim"; true; } &&
		soon swept || { diff before after; exit 1; }
	done 2>killed && tidy
'

# Three hundred folders as of kept boxes: of the runs, one in three looks at all.
it 'is swept by its own name, or by some next run, though hundreds are kept' '
	tidy && kept=$(seq -f "$WHALEBOX_HOME/containers/$b.%g" 300) &&
	mkdir $kept && chmod +t $kept && left="$WHALEBOX_HOME/containers/$b" &&
	killed_one() {
		"$WHALEBOX" --rm --name "$b" /bin/sleep 1000 & victim=$!
		soon [ -f "$left/config" ] && kill -KILL "$victim" &&
		{ wait "$victim"; [ -d "$left" ]; }
	} &&
	killed_one && box --rm --name "$b" /bin/true && want_status 0 &&
	[ ! -e "$left" ] &&
	killed_one && for try in $(seq 60); do
		box /bin/true && want_status 0 || exit
		[ -e "$left" ] || break
	done 2>killed && [ ! -e "$left" ] && chmod -t $kept && rmdir $kept
'

it 'opens what it prints to, as /dev/stdout and by the box that it is in' '
	tidy && box -d --name "$b" /bin/sh -c "echo one >/dev/stdout
	    echo two >/dev/stderr; echo three >/proc/1/fd/1; $obey" "$b" &&
	want_status 0 && soon logged ready &&
	logged one && logged two && logged three && removed
'

it 'takes no variable from later callers' '
	tidy && serve -e "WB_UNSET$$" && run env "WB_UNSET$$=leak" \
	    "$WHALEBOX" exec "$b" /bin/env && want_status 0 &&
	want_no_match "WB_UNSET" && removed
'

if is_root; then
	it 'takes no group of the caller along with -u' '
		run setpriv --groups 4,27 "$WHALEBOX" --userns host -u guest /bin/id &&
		want_status 0 && want_match "^uid=1000" && want_no_match "[(,=](4|27)[(,]"
	'
fi

it 'has the umask of a box, and not of its caller' '
	tidy && (umask 077 && box -u 0:0 /bin/sh -c "umask; stat -c %a / /etc/hosts" &&
	want_status 0 && want_out "0022${newline}755${newline}644")
'

it 'tells of a result that could not be written' '
	tidy && serve && for words in "stop -t 0 $b" "inspect $b name" "start $b" \
	    "ps -aq" "rm -f $b" --version; do
		run sh -c "exec \"\$WHALEBOX\" $words >/dev/full" &&
		want_status 125 && want_err "No space left on device" || exit
	done && all_gone
'

it 'believes nothing of a record that is not whole' '
	tidy &&
	box -d --name "$b.2" /bin/sh -c "$obey" "$b" && want_status 0 &&
	bystander=$("$WHALEBOX" inspect "$b.2" pid) &&
	other=$(dirname "$(record)").2/config &&
	spoilt ": >\$config" && spoilt "rm \$config; mkdir -p \$config/x" &&
	spoilt "rm \$config; ln -s /etc/passwd \$config" &&
	spoilt "rm \$config; mkfifo \$config" &&
	spoilt "cat $other >\$config" && spoilt "head -c 3000 /bin/sh >\$config" &&
	spoilt "echo nonsense >>\$config" && spoilt "printf x >>\$config" &&
	spoilt "head -c -1 good >\$config" && spoilt "head -c 100 good >\$config" &&
	spoilt "{ head -n 5 good; printf \"\\0\"; sed 1,5d good; } >\$config" &&
	spoilt "{ head -c 9 good; printf \"\\0\"; tail -c +10 good; } >\$config" &&
	spoilt "sed \"s/^pid=.*/pid=x/\" good >\$config" &&
	spoilt "sed \"s/^pid=.*/pid=-1/\" good >\$config" &&
	spoilt "sed \"s/^pid=.*/pid=99999999999/\" good >\$config" &&
	spoilt "sed \"s/^status=.*/status=/\" good >\$config" &&
	spoilt "sed \"s/^name=.*/name=$b.2/\" good >\$config" &&
	spoilt "sed 7d good >\$config" &&
	{ is_root || spoilt "chmod 0 \$config"; } &&
	for n in $(seq "$(wc -l <"$other")"); do
		[ "$n" -ge "$(wc -l <good)" ] ||
		spoilt "head -n $n good >\$config" || exit
	done &&
	box rm -f "$b.2" && all_gone
'

# Its folder is closed to others, but not every kernel closes it to the box.
it 'follows no link that has come into the folder of a box' '
	tidy &&
	box -d --name "$b" /bin/echo shown && want_status 0 && soon ended &&
	cp "$(record)" good && echo precious >victim &&
	for name in log config.new; do
		link=$(dirname "$(record)")/$name && rm -f "$link" &&
		ln -s "$PWD/victim" "$link" && box start "$b" &&
		same precious "$(cat victim)" && want_status 125 &&
		want_err "ymbolic link" && rm "$link" && cp good "$(record)" || exit
	done &&
	ln -s "$PWD/victim" "$(dirname "$(record)")/log.1" && box logs "$b" &&
	want_no_line precious && rm "$(record)" && ln -s "$PWD/good" "$(record)" &&
	box inspect "$b" && want_status 125 && want_err corrupt && removed
'

it 'lists the others when one record cannot be read, and removes no folder without a mark' '
	tidy &&
	serve && odd=$WHALEBOX_HOME/containers/$b.odd && mkdir -p "$odd/config" &&
	: >"$WHALEBOX_HOME/containers/$b.file" &&
	box ps && want_status 0 && want_match "^$b " && box ps -aq &&
	want_status 0 && want_line "$b" && want_line "$b.odd" &&
	want_no_line "$b.file" && for command in "rm -f" rm; do
		box $command "$b.odd" && want_status 125 && want_out "" &&
		want_err "$b.odd was not made by whalebox" &&
		want_err "hint: look at it" && [ -d "$odd/config" ] || exit
	done && rmdir "$odd/config" "$odd" &&
	rm "$WHALEBOX_HOME/containers/$b.file" && removed
'

it 'signals no process that has the number of the box by chance' '
	tidy &&
	{ sleep 1000 & } && other=$! && trap "kill -KILL $other" EXIT &&
	set -- "s/^pid=.*/pid=$other/" "s/^boot_id=..../boot_id=0000/" &&
	for edit; do
		serve && sed "$edit" "$(record)" >edited && cat edited >"$(record)" &&
		is status running && box stop "$b" && want_status 0 &&
		is exit_code 7 && kill -0 "$other" &&
		box start "$b" && want_out "$b" && is status running &&
		sed "$edit" "$(record)" >edited && cat edited >"$(record)" &&
		removed && kill -0 "$other" &&
		serve && kill -KILL "$(value supervisor_pid)" &&
		soon is status dead && sed "$edit" "$(record)" >edited &&
		cat edited >"$(record)" && is status dead && box start "$b" &&
		is status running && removed && kill -0 "$other" || exit
	done
'

it 'minds no record that was half written' '
	tidy &&
	serve && printf "id=0\nname=" >"$(record).new" && box stop "$b" &&
	want_status 0 && is exit_code 7 && printf x >"$(record).new" &&
	box start "$b" && want_out "$b" && is status running && removed
'

if is_root; then
	# In a mount namespace of the test, with a small disk in memory.
	it 'records how a box ended on a disk that is full, and nothing by halves' '
		tidy &&
		mkdir home data && run unshare --mount sh -c "
		mount -t tmpfs -o size=1m tmpfs home
		WHALEBOX_HOME=\$PWD/home && export WHALEBOX_HOME
		fill() { head -c \${1:-1m} /dev/zero >home/fill 2>fill.err; }
		w() { timeout 20 \"\$WHALEBOX\" \"\$@\"; }
		w -d --userns host --name $b -v \$PWD/data:/data --log-max 8m \
		    /bin/sh -c \"until [ -e /data/go ]; do sleep 0.05; done
		    seq 300000; touch /data/done; exit 7\" $b || exit
		w logs -f $b >/dev/null & reader=\$!
		fill; touch data/go
		until [ -e data/done ]; do sleep 0.1; done
		wait \$reader; echo reader \$?
		w ps -a | grep -c corrupt
		echo code \$(w inspect $b exit_code)
		fill; w start $b; echo start \$?
		w ps -a | grep -c corrupt
		rm home/fill; rm data/done
		w start $b; echo start \$?
		w rm -f $b; echo rm \$?
		words=\$(seq 100000 114000)
		left=\$((\$(stat -f -c \"%f * %S\" home) - 60000))
		fill \$left
		w -d --userns host --name $b /bin/true \$words; echo words \$?
		w ps -aq; ls home/containers
		rm home/fill; w --userns host --name $b /bin/true \$words
		left=\$((\$(stat -f -c \"%f * %S\" home) - 60000))
		fill \$left
		w start $b; echo again \$?
		rm home/fill; w inspect $b status; w rm $b" &&
		want_line "reader 0" && want_line "code 7" && want_line "rm 0" &&
		want_line "words 125" && want_line "again 125" && want_line exited &&
		want_line "start 125" && want_line "start 0" &&
		same "0 0" "$(grep -x 0 out | paste -sd " ")"
	'
fi

# ---- Many at once ------------------------------------------------------------

# each N COMMAND: the shell command, N times at once; their statuses, sorted and
# counted, are in $statuses, as "1 0, 9 125".
each() {
	rm -f statuses && : >each.err && { for n in $(seq "$1"); do
		{ (eval "$2" >/dev/null 2>>each.err; echo $? >>statuses) & }
	done; wait; } &&
	statuses=$(sort -n statuses | uniq -c | awk '{ print $1, $2 }' |
	    paste -sd ,)
}

# The shell of the box, once, and not as what a child of it was before execve.
one() {
	[ "$(pgrep -fc "^/bin/sh .*$b\$")" = 1 ]
}

it 'makes one box of 10 that are to have the same name' '
	tidy &&
	for try in 1 2 3; do
		each 10 "timeout 20 \"\$WHALEBOX\" -d --name $b /bin/sh -c \"\$obey\" $b" &&
		same "1 0,9 125" "$statuses" && is status running &&
		soon one && removed || exit
	done
'

it 'starts one box when 20 start it at once' '
	tidy &&
	serve && box stop "$b" && each 20 "timeout 20 \"\$WHALEBOX\" start $b" &&
	same "20 0" "$statuses" && is status running &&
	soon one && box ps -q && want_out "$b" &&
	each 20 "timeout 20 \"\$WHALEBOX\" rm -f $b" && same "1 0,19 125" "$statuses" &&
	all_gone
'

# with_all COMMAND...: on all boxes, in two processes; prints what they print.
with_all() {
	"$WHALEBOX" ps -aq | xargs -n 50 -P 2 timeout 120 "$WHALEBOX" "$@"
}

it 'keeps 1,000 boxes at once (an ordinary user 200), and then nothing of them' '
	tidy && all=1000 && { is_root || all=200; } && seq "$all" |
	    xargs -P 2 -I {} timeout 60 "$WHALEBOX" -d --name "$b.{}" /bin/sleep 999 |
	    sort >names && same "$all" "$(uniq names | wc -l)" &&
	"$WHALEBOX" ps | grep " /bin/sleep 999 " >seen &&
	same "$(cat names)" "$(cut -d " " -f 1 seen | sort)" &&
	same "$all" "$(awk "{ print \$2 }" seen | sort -u | wc -l)" &&
	for act in "stop -t 0" rm; do
		with_all $act | sort | cmp - names &&
		same "" "$("$WHALEBOX" ps -q)" || exit
	done && all_gone
'

# again COMMAND: over and over until a file named enough is there.  No command
# is to hang, or to end otherwise than with 0 or 125.
again() {
	until [ -e enough ]; do
		timeout 20 "$WHALEBOX" "$@" >/dev/null 2>>again.err
		case $? in
		0 | 125) ;;
		*) echo "$?: $*" >>again.bad ;;
		esac
	done
}

it 'survives all commands on one name at once' '
	tidy &&
	: >again.bad && : >again.err && {
		again -d --name "$b" /bin/sh -c "$obey" "$b" &
		again start "$b" & again stop -t 0 "$b" & again rm "$b" &
		again rm -f "$b" & again ps -a & again inspect "$b" & again logs "$b" &
	} && sleep 4 && touch enough && wait && cat again.bad &&
	same "" "$(cat again.bad)" && same "" "$(grep "chapter" again.err |
	    grep -v "No such file" | sort | uniq -c)" &&
	box rm -f "$b" && all_gone
'

# ---- Killed at any moment ----------------------------------------------------

# cleaned: rm -f removes what is there, and one more run what was never whole.  A
# supervisor whose launcher was killed goes on, and may make its box only now.
cleaned() {
	box rm -f "$b" && {
		[ "$status" -eq 0 ] || grep -q "there is no box named $b" err
	} && { quiet || { "$WHALEBOX" /bin/true && quiet; }; }
}

# Which process is killed changes from try to try: the launcher, the youngest of
# all, or who stops, removes or starts the box.
it 'can be cleaned up whoever was killed, 50 times' '
	tidy &&
	for try in $(seq 50); do
		what=$((try % 5)) && { [ $what -lt 2 ] || serve; } &&
		{ [ $what -lt 4 ] || box stop "$b"; } || exit
		case $what in
		0 | 1) set -- -d --name "$b" /bin/sh -c "$obey" "$b" ;;
		2) set -- stop "$b" ;;
		3) set -- rm -f "$b" ;;
		4) set -- start "$b" ;;
		esac
		"$WHALEBOX" "$@" >/dev/null 2>killed.err & victim=$!
		sleep "0.0$((try % 3))$((try * 7 % 10))"
		[ $what -ne 1 ] || victim=$(pgrep -f "$b" | tail -n 1)
		kill -KILL $victim 2>/dev/null || true
		soon cleaned || {
			echo "try $try, $*" && cat left
			exit 1
		}
	done
'

finish
