#!/bin/sh
# needs: host root
# removal.sh [full]: what removes a box's folder removes nothing else, whatever
# the box does meanwhile, and whatever else lies beside it.
#
# A fault here could cost this machine its files.  So each attack is made in a
# world of its own: a mount namespace whose whole root is a file system in memory
# that is made for it, with the tests' tools beside it, read-only.  Nothing of the
# machine is mounted there: what is lost is lost in that world, and is missed in
# the comparison of all that was there before and after.
#
# Each is made by three callers: "user", an ordinary one; "root", without a
# cgroup v2; and "cgroup", root who has one.  Some are made by a fourth, too,
# "range", a user with a range of ids in /etc/subuid: there the box attacks as
# another of its users, so that only a helper can remove what is left.  `full` makes those, too, that take
# minutes.  Another binary: WHALEBOX=FILE.
# shellcheck disable=SC2030,SC2031,SC2153 # containers, WHALEBOX: as meant
. "$(dirname "$0")/lib.sh"

# ---- The world: from outside --------------------------------------------------

# pack PROGRAM FILE: a copy of it as that, and of the libraries it needs, if any.
pack() {
	rm -f "$2" && cp "$1" "$2" || return
	for file in $(ldd "$1" 2>&1 | sed -n 's/[^/]*\(\/[^ ]*\) (.*/\1/p'); do
		cp -L "$file" tools/lib || return
	done
}

# What there is besides whalebox itself and the rootfs.  Everything is a copy.
pack_tools() {
	mkdir -p tools/bin tools/range tools/build tools/tests tools/lib &&
	busybox=$(readlink -f "$WHALEBOX_ROOTFS/bin/busybox") &&
	cp "$busybox" tools/bin/busybox &&
	for applet in $(tools/bin/busybox --list | grep -v "^busybox$"); do
		ln -s busybox "tools/bin/$applet" || return
	done &&
	for tool in setpriv chattr strace cksum; do
		path=$(command -v "$tool") && pack "$path" "tools/bin/$tool" || return
	done &&
	for tool in newuidmap newgidmap; do
		path=$(command -v $tool) && pack "$path" "tools/range/$tool" || return
	done &&
	pack "$WHALEBOX" tools/whalebox &&
	cp "$project/build/whalebox-no-LOCKS" "$project/build/tests/squat" tools/build &&
	cp "$project/tests/removal.sh" "$project/tests/lib.sh" tools/tests &&
	: >tools/whalebox.c &&
	cp -R "$WHALEBOX_ROOTFS" tools/rootfs && cp tools/build/squat tools/rootfs &&
	chmod 755 tools
}

# attack WHO... -- TITLE BODY: BODY is run inside, by each of these callers.
attack() {
	callers=
	while [ "$1" != -- ]; do
		callers="$callers $1"
		shift
	done
	title=$2 body=$3
	for who in $callers; do
		# shellcheck disable=SC2016 # the test's own
		it "$who: $title" '
			cd "$scratch" && export LIMIT PATIENCE &&
			timeout -k 5 "$((LIMIT * 6))" unshare --mount --uts --ipc --net --pid \
			    --fork --kill-child sh "$project/tests/attacks/world.sh" \
			    "$who" "$title" "$body" "$group"
		'
		[ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
	done
}

# A cgroup in which a world's boxes have theirs: other whaleboxes on this machine
# would end a box whose own whalebox is dead.
group=$(mounts_of cgroup2 | head -n 1)
group=${group:+$group/removal.$$}

# ---- The world: from inside ---------------------------------------------------

# Nothing may be writable here that is not of this world.
is_closed() {
	awk '$6 !~ /^ro/ {
		for (i = 7; $i != "-"; i++);
		if ($(i + 1) !~ /^(tmpfs|proc|devpts|cgroup2)$/) exit 1
	}' /proc/self/mountinfo
}

# inside WHO TITLE BODY
inside() {
	is_closed || { echo 'something of the machine is here'; exit 1; }
	who=$1
	unset WHALEBOX_WHERE WHALEBOX_FILTER
	ip link set lo up
	squatter=/squat traced=strace
	case $who in
	user | range)
		as='/tools/bin/setpriv --reuid 1000 --regid 1000 --clear-groups
		    --inh-caps=-all'
		HOME=/home/ann WHALEBOX_HOME=/home/ann/.local/share/whalebox
		# So that what is set-user-ID is that in a trace, too.
		traced='strace -u ann'
		[ "$who" = user ] || squatter='/squat as 1000' PATH=$PATH:/usr/bin
		;;
	*)
		as=
		HOME=/root WHALEBOX_HOME=/var/lib/whalebox
		;;
	esac
	export HOME
	containers=$WHALEBOX_HOME/containers
	started_boxes=0
	# Made by whalebox itself, as its modes and owners are its own.
	rmdir "$WHALEBOX_HOME"
	# shellcheck disable=SC2086 # words
	$as "$WHALEBOX" /bin/true || exit 1
	it "$2" "$3"
	finish
}

# box, run as the caller whom the test is about.
box() {
	# shellcheck disable=SC2086 # words
	run $as "$WHALEBOX" "$@"
}

# A listing of names, kinds, modes, owners, links, targets and contents of what
# is in FOLDER, without what is in the folders of the boxes.
list_files() (
	cd / &&
	find "$1" -xdev -path "$containers/*" -prune -o -print0 | sort -z |
	    xargs -0 stat -c '%N %F %a %u:%g' -- &&
	find "$1" -xdev -path "$containers/*" -prune -o -type f -print0 | sort -z |
	    xargs -0 sh -c 'stat -c "%n %h" -- "$@" && sha256sum -- "$@"' sh
)

note() {
	list_files / >/scratch/before
}

untouched() {
	list_files / >/scratch/after 2>&1
	diff -U 0 /scratch/before /scratch/after >/scratch/changes || {
		echo "$(grep -c '^-[^-]' /scratch/changes) lines of what is not a box's are lost or changed:"
		grep '^[-+][^-+]' /scratch/changes | head -12
		return 1
	}
}

# What is in the folder of boxes, and below it at one level.
boxes() {
	ls -A "$containers"
}

nothing_left() {
	[ -z "$(boxes)" ] || wrong 'no box' "$(boxes | head -5)"
}

# squat [OPTION...] /squat WHAT...: a box in the background, which says when its
# files are there.  Sets $whalebox, whalebox's process, and $said, what it prints.
squat() {
	started_boxes=$((started_boxes + 1))
	said=/scratch/said.$started_boxes
	: >"$said"
	# shellcheck disable=SC2086 # words
	$as "${SQUAT_WITH:-$WHALEBOX}" "$@" >$said 2>&1 </dev/null &
	whalebox=$!
	soon says ready
}

says() {
	grep -Fxq "$1" "$said" || {
		cat "$said"
		return 1
	} >/scratch/unsaid
}

# The processes of squatters, in whatever box.
squatters() {
	for process in /proc/[0-9]*; do
		case $(tr '\0' ' ' <"$process/cmdline") in
		/squat\ *) echo "${process#/proc/}" ;;
		esac
	done 2>/dev/null
}

lives() {
	[ -n "$(squatters)" ] || wrong 'a box that lives on' 'it has ended'
}

none_lives() {
	[ -z "$(squatters)" ]
}

# kept COMMAND...: a box in the background, whose supervisor is killed.
kept() {
	box -d --name kept "$@" && want_status 0 && soon is_logged ready &&
	box inspect kept supervisor_pid && want_status 0 && supervisor=$out &&
	kill -9 "$supervisor" && soon is_over "$supervisor" && lives
}

list_kept() {
	( containers=/nowhere && list_files "$WHALEBOX_HOME/containers/kept" )
}

is_logged() {
	grep -Fxq "$1" "$containers/kept/log"
}

# The box's whalebox is killed, and the box lives on.
orphan() {
	kill -9 "$whalebox" && soon is_over "$whalebox" && lives
}

is_over() {
	[ ! -e "/proc/$1" ] || grep -q '^State:	Z' "/proc/$1/status" 2>/dev/null
}

# The next run, and what it is to be: the command's, and no complaint.
next_run() {
	box /bin/echo works
}

worked() {
	want_status 0 && want_out works && want_no_err
}

# as_caller SCRIPT [ARGUMENT...]
as_caller() {
	# shellcheck disable=SC2086 # words
	$as /tools/bin/sh -ec "$@"
}

# end_all: every squatter, and whoever made it.
end_all() {
	for process in $(squatters); do
		kill -9 "$process" 2>/dev/null
	done
	soon none_lives
}

# dead [COUNT]: so many boxes of which all is dead but their folders.
dead() {
	makers=
	for _ in $(seq "${1:-1}"); do
		# shellcheck disable=SC2086 # words
		squat $squatter dead || return
		makers="$makers $whalebox"
	done
	# shellcheck disable=SC2086 # words
	kill -9 $makers && end_all &&
	for maker in $makers; do
		soon is_over "$maker" || return
	done &&
	same "${1:-1}" "$(boxes | wc -l)"
}

# swept [RUNS]: after so many runs at most, nothing is left of any box.
swept() {
	for _ in $(seq "${1:-1}"); do
		next_run && want_status 0 && want_out works && untouched || return
		[ -n "$(boxes)" ] || return 0
	done
	nothing_left
}

# Folders that stay, since no box made them, are looked at, as boxes' are.
others() {
	as_caller 'cd "$0" && for n in $(seq "$1"); do mkdir -p other$n; done' \
	    "$containers" "$1"
}

# A process that is nobody's business here.
victim() {
	# shellcheck disable=SC2086 # words
	${1-$as} sleep 1000 >/scratch/victim 2>&1 </dev/null &
	victim=$!
	soon is_named sleep "$victim"
}

is_named() {
	[ "$(cat "/proc/$2/comm")" = "$1" ]
}

victim_lives() {
	{ [ -e "/proc/$victim" ] && ! is_over "$victim"; } ||
		wrong 'the other process lives' 'it was killed'
}

# mark PID START [BOOT [NAMESPACE]]: a line as whalebox writes it.
mark() {
	echo "$1 $2 ${3:-$(boot)} ${4:-$(stat -L -c %i /proc/self/ns/pid)}"
}

start_of() {
	sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20
}

boot() {
	cat /proc/sys/kernel/random/boot_id
}

# forge HOME: a box's folder there, whose papers name the victim.
forge() {
	mkdir -p "$1/containers/forged/upper/files" \
	    "$1/containers/forged/work" &&
	echo precious >"$1/containers/forged/upper/files/one" &&
	echo precious >"$1/containers/forged/log" &&
	mark "$victim" "$(start_of "$victim")" >"$1/containers/forged/box" &&
	cat >"$1/containers/forged/config" <<-END
		id=0123456789ab
		name=forged
		status=running
		exit_code=
		pid=$victim
		pid_start=$(start_of "$victim")
		supervisor_pid=$victim
		boot_id=$(boot)
		created=1700000000
		started=1700000000
		finished=0
		image=/tools/rootfs
		directory=/
		command=/bin/true
	END
}

# refuses_home HOME: so does every command, with a hint, and touches nothing.
refuses_home() {
	WHALEBOX_HOME=$1
	note &&
	for command in ps 'ps -a' 'logs forged' 'inspect forged' 'rm forged' \
	    'stop -t 1 forged' 'start forged' 'exec forged /bin/true' /bin/true \
	    '-d --name new /bin/true' '--name forged /bin/true' 'rm -f forged'; do
		# shellcheck disable=SC2086 # words
		box $command
		victim_lives && untouched && want_status 125 && want_out "" &&
		want_err "hint: " || return
	done
}

everybody='user root cgroup'
with_range="range $everybody"
wild='1500 300'         # files, and levels
kills='2 9'              # the calls at which a sweep is killed
moments=8               # and how often a run is
if [ "${FULL:-${1:-}}" = full ]; then
	FULL=full
	export FULL
	wild='10000 5000'
	kills=$(seq 1 80)
	moments=300
	LIMIT=120
fi
if [ "${1:-}" = inside ]; then
	"$@"
fi

( cd "$scratch" && pack_tools ) || exit 1

# ---- A box that lives on ------------------------------------------------------

# shellcheck disable=SC2086 # words, all through
{
attack $with_range -- 'moves the folder in which the sweep stands' '
	squat $squatter move && orphan && note && next_run && untouched && worked &&
	soon none_lives && nothing_left
'

attack $with_range -- 'swaps folders for links to what is not its own' '
	squat $squatter swap "$HOME" && orphan && note && next_run && untouched &&
	worked && soon none_lives && nothing_left
'

attack $with_range -- 'makes files without end' '
	squat $squatter make && orphan && note && next_run && untouched && worked &&
	soon none_lives && nothing_left
'

attack $everybody -- 'has mounts of its own, and a volume' '
	as_caller "mkdir ~/volume && echo precious >~/volume/file" &&
	SQUAT_WITH=/tools/build/whalebox-no-LOCKS &&
	squat -v "$HOME/volume:/volume" /squat mount && orphan && note &&
	next_run && untouched && worked && soon none_lives && nothing_left
'

# Its PID 1 dies, but another box, which lives, still has its root.  When that ends,
# its own whalebox, which lives, has much to remove.
attack $everybody -- 'has given its root to another box, which fills it without end' '
	as_caller "mkdir ~/shared" &&
	squat -v "$HOME/shared:/shared" /squat take /shared/socket &&
	taker=$said && living=$(boxes) &&
	squat -v "$HOME/shared:/shared" /squat send /shared/socket &&
	said=$taker && soon says taken && kill -9 "$whalebox" &&
	soon is_over "$whalebox" && note && begun=$(date +%s) &&
	next_run && untouched && want_status 0 && want_out works &&
	[ $(($(date +%s) - begun)) -lt 20 ] && lives &&
	same "$living" "$(boxes | grep -Fx "$living")" &&
	next_run && untouched && want_status 0 && want_out works &&
	end_all && soon swept 3
'

# As strace has it, what is removed from this box's layer is there again at once.
attack user -- 'is made anew as fast as it is removed: the sweep gives up' '
	dead && name=$(boxes) && $as touch "$containers/$name/upper/file" && note &&
	begun=$(date +%s) &&
	run $as strace -f -qq -o /dev/null -P "$containers/$name/upper" \
	    -e trace=unlinkat -e inject=unlinkat:retval=0 \
	    "$WHALEBOX" /bin/echo works &&
	untouched && want_status 0 && want_out works &&
	want_err "unlinkat($name): " && want_err "timed out" &&
	same 1 "$(wc -l <err)" && same "$name" "$(boxes)" &&
	[ $(($(date +%s) - begun)) -lt 20 ] && swept
'

# Who empties a folder of mode 0 has to change that first: held up at this very
# moment, it must not do it to what a link, which is there by now, leads to.
attack range user root -- 'has a link where a folder was that is about to be opened up' '
	dead && upper=$containers/$(boxes)/upper && rm -rf "$upper/"* "${upper%upper}work/"* &&
	$as mkdir -p "$upper/closed/in" && { [ "$who" != range ] ||
	    chown -R 200999:200999 "$upper/closed"; } && chmod 0 "$upper/closed" &&
	as_caller "mkdir -p ~/shut/in && chmod 511 ~/shut" && note &&
	inode=$(stat -c %i "$upper/closed") &&
	{ $traced -f -qq -s 200 -o /scratch/calls -e trace=chmod,fchmod,fchmodat \
	    -e inject=chmod,fchmod,fchmodat:delay_enter=1000000 \
	    "$WHALEBOX" /bin/echo works >/scratch/swept 2>&1 & } && sweep=$! &&
	held_up() { grep -q -e "/proc/self/fd" -e "\"closed\"" /scratch/calls; } &&
	soon held_up && at=$(find "${upper%/upper}" -inum "$inode") &&
	mv "$at" "$at.aside" && ln -s "$HOME/shut" "$at" && { wait $sweep || :; } && untouched &&
	same works "$(cat /scratch/swept)" && swept 2
'

# ---- A box that has a record --------------------------------------------------

attack $everybody -- 'is looked at by ps, logs and inspect, which change nothing' '
	kept /squat wait &&
	list_kept >/scratch/kept &&
	for command in "ps" "ps -a" "ps -q" "ps -aq" "logs kept" "inspect kept" \
	    "inspect kept status"; do
		box $command && want_status 0 && want_no_err && lives &&
		same "$(cat /scratch/kept)" "$(list_kept)" || exit
	done &&
	box ps -aq && want_line kept &&
	same kept "$(boxes)" && end_all
'

attack $everybody -- 'is not removed by rm without -f while it lives' '
	kept /squat wait && note && list_kept >/scratch/kept && box rm kept && lives &&
	want_status 125 && want_err "hint: " && same kept "$(boxes)" &&
	same "$(cat /scratch/kept)" "$(list_kept)" && end_all
'

attack $everybody -- 'is ended by stop, and removed by rm' '
	kept /squat wait && note && box stop -t 1 kept && want_status 0 &&
	soon none_lives && same kept "$(boxes)" && box rm kept && want_status 0 &&
	want_out kept && nothing_left && untouched
'

attack $with_range -- 'is ended and removed by rm -f, whatever it does meanwhile' '
	kept $squatter move && note && box rm -f kept && untouched && want_status 0 &&
	want_out kept && want_no_err && none_lives && nothing_left
'

# ---- What is mounted, linked or odd in a dead one ------------------------------

attack $everybody -- 'leaves what is mounted in a dead box alone, and says so' '
	dead && upper=$containers/$(boxes)/upper &&
	mount --bind "$HOME" "$upper/tree1" && note && next_run && untouched &&
	want_status 0 && want_out works && want_err whalebox: &&
	umount "$upper/tree1" && swept 2
'

attack $with_range -- 'removes every kind of file, and nothing that it is a link to' '
	squat $squatter wild $wild && kill -9 "$whalebox" && end_all &&
	upper=$containers/$(boxes)/upper && note &&
	ln "$HOME/letter" "$upper/hard" && ln -s "$HOME" "$upper/home" &&
	mknod "$upper/null" c 1 3 && mknod "$upper/disk" b 250 0 &&
	next_run && untouched && worked && nothing_left
'

attack root user -- 'says what it cannot remove, and works' '
	dead && upper=$containers/$(boxes)/upper &&
	chattr +i "$upper/tree1/f1" && note && next_run && untouched &&
	want_status 0 && want_out works && want_err whalebox: &&
	[ -e "$upper/tree1/f1" -o -n "$(boxes)" ] && next_run && want_status 0 &&
	find "$containers" -name f1 -exec chattr -i {} + && swept 2
'

# ---- What whalebox did not make ------------------------------------------------

attack $everybody -- 'leaves alone what it did not make' '
	victim &&
	as_caller "cd \"\$0\" && mkdir cache storage storage/overlay empty garbage \
	    linked piped shape minus \
	    long big cut blank && echo precious >storage/overlay/file &&
	    echo precious >plain && ln -s \"\$HOME\" home && : >empty/box &&
	    echo garbage >garbage/box && mkdir shape/box &&
	    echo \"\$1\" >~/mark && ln -s ~/mark linked/box &&
	    ln \"\$HOME/letter\" hard && mkfifo piped/box pipe &&
	    echo \"-\$1\" >minus/box && echo \"\$1x\" >long/box &&
	    echo \"99999999999999999999\$1\" >big/box && printf %s \"\$1\" >cut/box &&
	    echo \"  \$1\" >blank/box" "$containers" "$(mark 1 0)" &&
	containers=/nowhere && note && LIMIT=10 &&
	for _ in 1 2 3; do
		next_run && untouched && victim_lives && worked || exit
	done &&
	for name in storage garbage linked piped home plain; do
		box --name $name /bin/echo works && untouched && want_status 125 &&
		want_err "hint: " || exit
	done
'

attack $everybody -- 'ends nobody who only has the number of a dead box' '
	victim &&
	as_caller "cd \"\$0\" && mkdir -p later/upper/x before/upper/x &&
	    echo \"\$1\" >later/box && echo \"\$2\" >before/box" \
	    "$containers" "$(mark "$victim" 1)" "$(mark "$victim" \
	    "$(start_of "$victim")" 01234567-89ab-cdef-0123-456789abcdef)" &&
	note && next_run && untouched && worked && victim_lives && nothing_left
'

# Whalebox makes a box under this name.  The home is not a box: who put it there?
attack $everybody -- 'leaves alone what has the name of its own half-made boxes' '
	for kind in "mkdir .new; echo precious >.new/file" "ln -s $HOME .new" \
	    "echo precious >.new" "mkfifo .new" "mkdir -p .new/upper/x"; do
		as_caller "cd \"\$0\"; rm -rf .new; $kind" "$containers" &&
		( containers=/nowhere && LIMIT=10 && note && box /bin/echo works &&
		untouched && want_status 125 && want_err "hint: " ) || exit
	done
'

# ---- Whose home ----------------------------------------------------------------

attack user root -- 'refuses a home that others can write' '
	victim && home=$WHALEBOX_HOME && forge "$home" &&
	chown -R "$(stat -c %u:%g "$home")" "$home" && chmod 700 "$containers" &&
	chmod 777 "$home" && refuses_home "$home" &&
	chown :2000 "$home" && chmod 775 "$home" && refuses_home "$home" &&
	chmod 755 "$home" && chmod 777 "$containers" && refuses_home "$home" &&
	chmod 775 "$containers" && refuses_home "$home"
'

attack user root -- 'refuses a home of another user' '
	victim && mkdir -m 755 /home/ben && forge /home/ben/home &&
	chown -R 1001:1001 /home/ben && chmod 700 /home/ben/home/containers &&
	refuses_home /home/ben/home &&
	chmod 777 /home/ben/home/containers && refuses_home /home/ben/home &&
	as_caller "mkdir -m 700 ~/new && ln -s /home/ben/home/containers ~/new" &&
	refuses_home "$HOME/new" &&
	as_caller "mkdir -m 700 ~/mixed" && forge "$HOME/mixed" &&
	chown -R 1001:1001 "$HOME/mixed/containers" && refuses_home "$HOME/mixed"
'

attack user root -- 'refuses a home that is a link to one of another user' '
	victim && mkdir -m 755 /home/ben && forge /home/ben/home &&
	chown -R 1001:1001 /home/ben && chmod 700 /home/ben/home/containers &&
	as_caller "ln -s /home/ben/home ~/link" && refuses_home "$HOME/link"
'

# Of root, in a home that a user has made for the purpose.
attack root -- 'kills nobody whom a user names' '
	victim && forge /home/ann/home && chown -R 1000:1000 /home/ann/home &&
	chmod 700 /home/ann/home/containers && refuses_home /home/ann/home
'

attack user root -- 'minds no home that is moved away and replaced' '
	as_caller "cd && mkdir -m 700 moved moved/one moved/two" && note &&
	{ timeout 60 $as /tools/bin/sh -c "cd ~/moved && while :; do
	    mv -T one three; mv -T two one; mv -T three two; done" & } &&
	mover=$! && WHALEBOX_HOME=$HOME/moved/one &&
	for _ in $(seq 25); do
		box /bin/echo works
		[ "$status" -eq 0 ] || want_status 125 || exit
		[ "$status" -ne 0 ] || want_out works || exit
	done &&
	kill "$mover" && soon is_over "$mover" &&
	for name in one two three; do
		[ ! -d "$HOME/moved/$name" ] || WHALEBOX_HOME=$HOME/moved/$name
		box /bin/echo works && want_status 0 || exit
	done &&
	same "" "$(find "$HOME/moved" -mindepth 3)" &&
	same "" "$(find "$HOME/moved" -type f)" &&
	rm -rf "$HOME/moved/"* && rmdir "$HOME/moved" &&
	grep -v "/moved" /scratch/before >/scratch/without &&
	mv /scratch/without /scratch/before && untouched
'

# ---- Many at once, and killed --------------------------------------------------

for sweepers in 2 8; do
	attack $with_range -- "$sweepers sweep at once" '
		dead 20 && note &&
		for n in $(seq '$sweepers'); do
			$as "$WHALEBOX" /bin/echo works >out.$n 2>&1 </dev/null &
			echo $!
		done >sweepers &&
		for process in $(cat sweepers); do
			soon is_over "$process" || exit
		done &&
		for n in $(seq '$sweepers'); do
			same works "$(cat out.$n)" || exit
		done &&
		untouched && swept 3
	'
done

# Of some that start one after the other, a few milliseconds apart, one finds
# that another has looked, unless this machine is so busy that all of them come
# 64 milliseconds later: then it is tried again.
attack user root -- 'costs a start next to nothing, with many boxes there' '
	some() {
		rm -f /scratch/count.* /scratch/failed &&
		for n in $(seq 12); do
			{
				$as strace -qq -o "/scratch/looks.$n" -e trace=openat \
				    "$WHALEBOX" /bin/true >"/scratch/said.$n" 2>&1 \
				    </dev/null || echo "$n" >/scratch/failed
				grep -c other "/scratch/looks.$n" >"/scratch/count.$n"
			} &
			usleep 8000
		done
		wait
		[ ! -e /scratch/failed ] || {
			wrong "twelve boxes" "$(cat /scratch/said.*)"
			return
		}
		same "" "$(awk "\$1 > 64" /scratch/count.*)" || return
		grep -qx 0 /scratch/count.* || wrong "no look" "$(cat /scratch/count.*)"
	} &&
	others 200 && soon some
'

attack $everybody -- 'is found before long, among many' '
	dead && name=$(boxes) && others 200 && runs=0 &&
	touch -a -d 2100-01-01 "$containers" &&
	while [ -e "$containers/$name" ]; do
		runs=$((runs + 1)) && [ "$runs" -le 60 ] && next_run && worked &&
		usleep 70000 || exit
	done
'

# killed CALL N: a sweep is killed at its Nth such call, and the next ones end
# what it began.
attack $with_range -- 'goes on where a sweep was killed' '
	killed() {
		rm -rf "${containers:?}/$name" &&
		tar -xf /scratch/dead.tar -C "$containers" &&
		{ $traced -f -qq -o /dev/null -e "trace=$1" \
		    -e "inject=$1:signal=KILL:when=$2" "$WHALEBOX" /bin/echo works \
		    >killed.out 2>&1 </dev/null || :; } &&
		swept 3 || wrong "as before, after a kill at $1 $2" differs
	} &&
	dead && name=$(boxes) && tar -cf /scratch/dead.tar -C "$containers" . &&
	note &&
	for at in $kills; do
		for call in unlinkat openat openat2 mkdirat renameat renameat2 fchmod \
		    fchmodat getdents64 flock; do
			killed $call $at || exit
		done
	done
'

# The whalebox is killed a little later each time.
attack $everybody -- 'lives on nowhere, whenever its whalebox was killed' '
	note && for n in $(seq $moments); do
		$as "$WHALEBOX" /squat wait >killed.out 2>&1 </dev/null &
		whalebox=$! && usleep $((n * 60000 / moments)) &&
		kill -9 "$whalebox" && soon is_over "$whalebox" || exit
		{ next_run && untouched && worked && soon none_lives && nothing_left; } ||
			wrong "as before, after kill $n of $moments" differs || exit
	done
'
}

finish
