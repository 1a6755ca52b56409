#!/bin/sh
# needs:
# faults.sh: whatever fails, at whatever step, there is no weaker box than was
# asked for, no hang, and nothing is left behind.
#
#	sh tests/faults.sh         a part of the tests: a sample of the sweep
#	sh tests/faults.sh full    all of it, as root and as an ordinary user, and
#	                           bubblewrap's figures beside ours
#	sh tests/faults.sh at 'mount|open' TITLE    a sweep, at these calls alone,
#	                           until one does not end as it has to
#
# The sample is one in so many of the sweeps' points (tests/faults/sweep.sh says
# what those are, and commands.sh for the commands), others each day.  SEED=n
# takes those of another day, which a failure names, and SAMPLE=n takes n of them.

# Root's boxes have wires, on a host of the tests' own.
if [ "$(id -u)" = 0 ] && [ -z "${WIRES:-}" ]; then
	WIRES=apart exec unshare --net sh -c \
	    'ip link set lo up && exec sh "$@"' sh "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faults/sweep.sh"
. "$(dirname "$0")/faults/commands.sh"
. "$(dirname "$0")/faults/images.sh"

if [ "${1:-}" = at ]; then
	WHALEBOX_FILTER=$3
fi
export SEED="${SEED:-$(date +%Y%j)}" SAMPLE="${SAMPLE:-12}"

# shielded COMMAND...: apart, with all files read-only but those in $scratch.
shielded() {
	apart sh -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro / &&
	    exec "$@"' "$scratch" "$@"
}

# Everything, as root and as an ordinary user, whom this folder may be closed to.
if [ "${1:-}" = full ] && is_root; then
	unfinished=
	mkdir -p "$scratch/root" "$scratch/user/build" "$scratch/user/tmp" &&
	cp -R "$project/tests" "$project/whalebox.c" "$scratch/user" &&
	cp -R "$project"/build/tests "$project"/build/whalebox-[0-9]* \
	    "$scratch/user/build" &&
	cp "$WHALEBOX" "$scratch/user/whalebox" &&
	cp -R "$WHALEBOX_ROOTFS" "$scratch/user/rootfs" &&
	chmod 711 "$scratch" && chown -R 1000:1000 "$scratch/user" || exit 1
	export WHALEBOX_HOME=
	{
		# They wait more than they work, so both at once take half the time.
		where=root
		shielded env TMPDIR="$scratch/root" WHALEBOX_WHERE='root: ' \
		    sh "$project/tests/faults.sh" all >"$scratch/as-root" 2>&1 &
		root=$!
		where=user
		shielded setpriv --reuid 1000 --regid 1000 --clear-groups \
		    --inh-caps=-all env TMPDIR="$scratch/user/tmp" \
		    WHALEBOX_WHERE='user: ' WHALEBOX="$scratch/user/whalebox" \
		    WHALEBOX_ROOTFS="$scratch/user/rootfs" \
		    sh "$scratch/user/tests/faults.sh" all
		wait $root
		cat "$scratch/as-root"
		echo '# end'
	} 2>&1 | awk -f "$project/tests/tap.awk"
	exit
fi

# ---- What a caller may start it with -----------------------------------------

it 'starts with standard streams closed, and gives the box three' '
	for closed in "<&-" ">&-" "2>&-" "<&- >&- 2>&-"; do
		run sh -c "exec \"\$WHALEBOX\" /bin/sh -c \"
			[ -e /dev/stdin ] && [ -e /dev/stdout ] &&
			[ -e /dev/stderr ] && exit 7\" $closed" &&
		want_status 7 || exit
	done
'

it 'tells when its output goes nowhere' '
	run sh -c "\"\$WHALEBOX\" --help >/dev/full" && want_status 125 &&
	want_err "whalebox: " &&
	run sh -c "\"\$WHALEBOX\" /bin/echo x >/dev/full" &&
	want_status 1
'

it 'ends with whoever reads its output' '
	snapshot &&
	run sh -c "{ \"\$WHALEBOX\" /usr/bin/yes; echo \$? >status; } | head -n 1" &&
	want_out y && differ 0 "$(cat status)" && unchanged
'

it 'knows how the box ended though the caller ignores SIGCHLD' '
	run sh -c "trap \"\" CHLD; exec \"\$WHALEBOX\" /bin/sh -c \"exit 7\"" &&
	want_status 7
'

it 'refuses to start with room for 8 open files' '
	snapshot &&
	run sh -c "ulimit -n 8; exec \"\$WHALEBOX\" /bin/true" &&
	want_status 125 && want_err "whalebox: chapter " && unchanged
'

slow 'passes on 128 KiB of arguments, in one and in many' '
	one=$(head -c 131000 /dev/zero | tr "\0" x) &&
	box /bin/sh -c "echo \${#1}" sh "$one" && want_out 131000 &&
	box /bin/sh -c "echo \$#" sh $(seq 25000) && want_out 25000
'

slow 'starts with an environment that no shell would make' '
	run "$project/build/tests/environ" "A=one${newline}two" B =C "" \
	    "WHALEBOX_HOME=$WHALEBOX_HOME" -- "$WHALEBOX" \
	    --rootfs "$WHALEBOX_ROOTFS" --env "D=three${newline}four" \
	    /bin/sh -c "echo \"\$PATH, \$A, \$D\"" &&
	want_status 0 && want_no_err && want_match "^/.*bin, , three$" &&
	want_line four
'

it 'is not ended by a limit on the size of files, but says so' '
	run sh -c "(ulimit -f 0; exec \"\$WHALEBOX\" /bin/true 2>&1) | cat" &&
	want_match "^whalebox: .*File too large" && snapshot && box /bin/true &&
	want_status 0 && unchanged
'

it 'runs in a folder that has been removed' '
	run sh -c "mkdir gone; cd gone; rmdir ../gone; exec \"\$WHALEBOX\" /bin/true" &&
	want_status 0
'

# Overlay shows nothing of what is mounted in a lower folder.
it 'runs in a root file system of a user in which something is mounted' '
	run unshare --user --map-root-user --mount sh -c \
	    "mount -t tmpfs below \"\$WHALEBOX_ROOTFS/tmp\" &&
	    : >\"\$WHALEBOX_ROOTFS/tmp/below\" &&
	    exec \"\$WHALEBOX\" /bin/sh -c \"echo said >/tmp/new; cat /tmp/*\"" &&
	want_status 0 && want_out said && want_no_err &&
	[ ! -e "$WHALEBOX_ROOTFS/tmp/new" ]
'

# The ids of a range need root of a user namespace that has the range.
if ! is_root && grep -qs "^$(id -un):" /etc/subuid; then
	it 'removes what other users of the box have left, kept or killed' '
		leave="mkdir /tmp/d; touch /tmp/d/f; chmod 700 /tmp/d
		    chown -R guest /tmp/d; echo ready" &&
		box --name one /bin/sh -c "$leave" && want_status 0 &&
		box rm one && want_status 0 && want_out one && want_no_err &&
		{ "$WHALEBOX" /bin/sh -c "$leave; sleep 300" >said & } &&
		soon grep -q ready said && kill -KILL $! && { wait $!; true; } &&
		box /bin/true && want_status 0 && want_no_err &&
		same "" "$(ls "$WHALEBOX_HOME/containers")"
	'
fi

if is_root && has_cgroup2; then
	it 'visits no box without its limits' '
		trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT &&
		box -d --name one -m 64m /bin/sleep 300 && want_status 0 &&
		box exec one /bin/true && want_status 0 && hidden() {
			run unshare --mount sh -c "umount -l /sys/fs/cgroup &&
			    exec \"\$0\" exec one /bin/echo ran" "$WHALEBOX"
		} && hidden && want_status 125 && want_out "" &&
		want_err "whalebox: chapter 7: " && want_err "hint: " &&
		box rm -f one && want_status 0 &&
		box -d --name one /bin/sleep 300 && want_status 0 &&
		hidden && want_status 125 && want_out "" &&
		want_err "whalebox: chapter 7: " && want_err "hint: " &&
		box rm -f one && want_status 0
	'
fi

it 'says so if it cannot end a box' '
	trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT &&
	box -d --name one /bin/sleep 300 && want_status 0 &&
	run strace -f -qq -o trace -e inject=pidfd_send_signal:retval=0 \
	    -e inject=?poll,ppoll:retval=0 "$WHALEBOX" stop one && want_status 125 &&
	want_out "" && want_err "SIGKILL" && want_err "timed out" &&
	box inspect one status && want_out running && box rm -f one && want_status 0
'

if is_root; then
	it 'needs no cgroups if no limit is asked for, though a mount of them is hidden' '
		run unshare --mount sh -c "mount -t tmpfs hidden /sys/fs/cgroup &&
		    exec \"\$WHALEBOX\" /bin/echo ran" && want_status 0 && want_out ran
	'
else
	it 'says where boxes can be kept when there is no HOME' '
		run env -u HOME -u XDG_DATA_HOME -u WHALEBOX_HOME "$WHALEBOX" /bin/true &&
		want_status 125 && want_err "WHALEBOX_HOME=DIR" && [ ! -e "(null)" ]
	'
fi

slow 'refuses a name that is not one' '
	for name in ../x / . .. -x "" "a b" "$(printf %0300d 0)"; do
		box --name "$name" /bin/true && want_status 125 &&
		want_err "whalebox: --name: not " || exit
	done
'

# ---- Root file systems and folders -------------------------------------------

# A root file system with the least in it.
small_root() {
	mkdir -p "$1/bin" && cp "$WHALEBOX_ROOTFS/bin/busybox" "$1/bin/sh"
}

it 'makes /proc, /sys and /dev for a root file system that lacks them' '
	small_root root &&
	box --rootfs root /bin/sh -c "[ -d /proc/self ] && [ -c /dev/null ] &&
	    [ -d /sys/class ] && echo yes" &&
	want_out yes && want_no_err && same bin "$(ls root)"
'

# A program that is traced cannot become root by newuidmap.
if is_root; then
	it 'makes no box without its files of /etc, whatever keeps it from looking' '
		run strace -f -o trace -e trace=openat2 \
		    -e inject=openat2:error=EMFILE:when=1 "$WHALEBOX" /bin/true &&
		want_status 125 && want_err "openat2(etc" && grep -q INJECTED trace
	'
fi

slow 'works in folders with any name' '
	odd="a:b,c\\d \"e=f%s" &&
	mkdir "$odd" && small_root "$odd/root" &&
	export WHALEBOX_HOME="$PWD/$odd/home" &&
	box --rootfs "$odd/root" /bin/sh -c "echo x >/new && read y </new &&
	    echo \$y" &&
	want_out x && want_no_err && same bin "$(ls "$odd/root")" &&
	same "" "$(ls "$odd/home/containers")"
'

slow 'removes a folder 5,000 levels deep, and one of mode 0' '
	LIMIT=300 && snapshot &&
	box /bin/sh -c "
		mkdir -p /closed/inner && touch /closed/inner/file &&
		chmod 0 /closed/inner /closed &&
		levels=\$(printf %02000d 0 | sed \"s|00|d/|g\") &&
		for i in 1 2 3 4 5; do
			mkdir -p \$levels && cd -P \$levels || exit
		done &&
		echo made" &&
	want_out made && want_no_err && unchanged
'

if is_root; then
	# A disk of one's own: tmpfs cannot be idmapped before Linux 6.3.
	it 'tells when the disk is full, and leaves nothing there' '
		export WHALEBOX_HOME="$PWD/disk" && mkdir disk &&
		cat >full.sh <<-END &&
			mount -t tmpfs -o \$1 disk disk || exit
			timeout 20 "\$WHALEBOX" --userns host /bin/sh -c "
				head -c 1m /dev/zero >/file; echo \\\$?"
			status=\$?
			ls disk/containers
			exit \$status
		END
		run unshare -m sh full.sh nr_inodes=4 && want_status 125 &&
		want_err "No space left on device" && want_out "" &&
		run unshare -m sh full.sh size=256k && want_status 0 &&
		want_out 1
	'
fi

# ---- Many at once ------------------------------------------------------------

it 'lets one of two boxes have a name' '
	snapshot &&
	for round in 1 2 3 4 5 6 7 8 9 10; do
		for i in 1 2; do
			{
				timeout 20 "$WHALEBOX" $unkept --name twin$$ \
				    /bin/sleep 0.3 2>err.$i
				echo $? >status.$i
			} &
		done &&
		wait &&
		same 0125 "$(sort -n status.1 status.2 | tr -d "\n")" || exit
	done &&
	unchanged
'

it 'runs 20 boxes at once' '
	snapshot &&
	for i in $(seq 20); do
		{
			timeout 60 "$WHALEBOX" /bin/sh -c "echo $i >/tmp/me
			    sleep 0.5; read me </tmp/me; exit \$me"
			echo $i $? >>statuses
		} &
	done &&
	wait && seq 20 | sed "s/.*/& &/" >wanted && sort -n statuses >all &&
	cmp wanted all && unchanged
'

# ---- Signals -----------------------------------------------------------------

# signalled BODY SHELL-COMMAND...: runs BODY in a box, and beside it the
# commands, which find whalebox as process $pid.
signalled() {
	body=$1
	printf '%s\n' "$2" >beside.sh
	run sh -c '
		pid=$$ timeout 20 sh beside.sh &
		exec "$WHALEBOX" /bin/sh -c "$0"
	' "$body"
}

it 'passes each signal on, and once' '
	signalled "
		for s in INT TERM HUP QUIT USR1 USR2 WINCH; do
			trap \"echo \$s\" \$s
		done
		trap exit WINCH
		echo ready
		while :; do sleep 0.05; done" "
		for s in INT TERM HUP QUIT USR1 USR2 WINCH; do
			lines=\$((lines + 1))
			until [ \$(wc -l <out) -ge \$lines ]; do sleep 0.05; done
			kill -\$s \$pid
		done" &&
	want_status 0 && same "ready INT TERM HUP QUIT USR1 USR2 " \
	    "$(tr "\n" " " <out)"
'

it 'waits for a box that ignores TERM, and ends it when it is killed' '
	snapshot &&
	signalled "trap \"\" TERM; echo ready; sleep 1; exit 4" "
		until [ -s out ]; do sleep 0.05; done
		kill -TERM \$pid" &&
	want_status 4 &&
	signalled "trap \"\" TERM; echo ready; sleep 300" "
		until [ -s out ]; do sleep 0.05; done
		kill -KILL \$pid" &&
	want_status 137 && box /bin/true && want_status 0 && unchanged
'

it 'ends all processes of a box with its first, zombies and orphans too' '
	snapshot &&
	box /bin/sh -c "
		for i in \$(seq 50); do sh -c \"sleep 300 & exit\"; done
		for i in \$(seq 50); do sh -c \"exec true\" & done
		exec sh -c \"exit 3\"" &&
	want_status 3 && unchanged
'

# ---- Too little, too much ----------------------------------------------------

it 'tells how to switch on user namespaces' '
	run unshare --user --map-root-user sh -c "
		echo 0 >/proc/sys/user/max_user_namespaces &&
		exec \"\$WHALEBOX\" /bin/true" &&
	want_status 125 && want_err "whalebox: chapter 0: clone3" &&
	want_err "  hint: sysctl -w user.max_user_namespaces="
'

it 'has a box fill its own /dev/shm and no more' '
	snapshot &&
	box /bin/sh -c "dd if=/dev/zero of=/dev/shm/x bs=1M count=100
		wc -c </dev/shm/x" &&
	want_out 67108864 && unchanged
'

if is_root && has_cgroup2; then
	it 'outlives a fork bomb' '
		snapshot &&
		box --pids-limit 32 --memory 64m /bin/sh -c "
			bomb() { bomb | bomb & }
			bomb
			exec sleep 1" &&
		unchanged && box /bin/true && want_status 0
	'
	it 'outlives a memory bomb' '
		snapshot &&
		box --memory 32m /bin/sh -c "tail /dev/zero; exit 3" &&
		differ 0 "$status" && want_err "out of memory" && unchanged
	'
fi

# ---- What cannot be read, and what is lost ------------------------------------

# unread PATH ERROR COMMAND...: whalebox's command, for which each read of that
# file fails so.
unread() {
	unread_path=$1 unread_error=$2
	shift 2
	run strace -f -qq -o /dev/null -P "$unread_path" -e trace=read,getdents64 \
	    -e inject=read,getdents64:error="$unread_error" "$WHALEBOX" "$@"
}

slow 'says so if it cannot read a log, a record, a mark, or the list of boxes' '
	trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT &&
	box -d --name one /bin/sh -c "echo said; exit 7" && want_status 0 &&
	over() { box inspect one status && [ "$out" = exited ]; } && soon over &&
	folder=$(readlink -f "$WHALEBOX_HOME")/containers && cp "$folder/one/config" whole &&
	for follow in "" -f "-n 1"; do
		unread "$folder/one/log" EIO logs $follow one && want_status 125 &&
		want_out "" && want_err "whalebox: chapter 13: read(log): " || exit
	done &&
	for command in ps "ps -a" "inspect one" "start one" "rm one" "rm -f one" \
	    "wait one" "kill one" "stop one"; do
		for file in config box; do
			unread "$folder/one/$file" EIO $command && want_status 125 &&
			want_err "whalebox: chapter 13: read(one/$file): " &&
			same "" "$(grep -e corrupt -e "rm -f" err)" &&
			cmp whole "$folder/one/config" || exit
		done
	done &&
	unread "$folder" EIO ps -a && want_status 125 &&
	want_err "whalebox: chapter 13: getdents64(" &&
	for n in $(seq 12); do
		run "$project/build/tests/strike" 0 fstat "$n" EPERM "$WHALEBOX" logs one &&
		{ [ "$status" = 125 ] || want_out said; } || exit
	done &&
	box logs one && want_out said && box rm one && want_status 0
'

# A box that shares the host's network has the host's /sys, and an empty folder over
# its cgroups.
if is_root; then
	it 'leaves nothing out of a box because a look at it fails' '
		look="mount | grep /sys/fs/cgroup" && box --network host /bin/sh -c "$look" &&
		want_status 0 && want_match "type tmpfs" && cp out good && for error in EPERM EIO; do
			run strace -f -qq -o trace -P sys/fs/cgroup \
			    -e "inject=/access|stat:error=$error" "$WHALEBOX" --rm --network host \
			    /bin/sh -c "$look" &&
			same 1 "$(grep -c INJECTED trace)" &&
			{ [ "$status" = 125 ] || same "" "$(diff good out)"; } || exit
		done
	'
fi

# The folder loses its name by the last rename of a run: that fails, and so does
# each try that follows.
if is_root; then
	it 'takes away the cgroup though the clean-up of the folder fails for good' '
		strike=$project/build/tests/strike && box --rm --name one /bin/true &&
		run "$strike" list calls "$WHALEBOX" --rm --name one /bin/true &&
		want_status 0 &&
		last=$(sed -n "s/^0 renameat //p" calls | tail -n 1) && [ -n "$last" ] &&
		cat >script <<-END &&
			strace -o trace -e trace=renameat \
			    -e inject=renameat:error=EIO:when=$last+ \
			    "$WHALEBOX" --rm --name one /bin/true
			[ \$? -eq 0 ] && ls "$WHALEBOX_HOME/containers" &&
			find $(mounts_of cgroup2 | head -n 1) -mindepth 1 -type d
		END
		apart sh script >out 2>err && same one "$(cat out)" &&
		want_err "whalebox: chapter 9: renameat(one)" &&
		grep -q INJECTED trace &&
		rm -r "$WHALEBOX_HOME/containers/one"
	'
fi

# One run looks whether the other lives, and is held up there until that has ended,
# and taken its cgroup along.
if is_root; then
	slow 'says nothing of a cgroup that is gone when it is to be removed' '
		cgroups=$(mounts_of cgroup2 | head -n 1)/whalebox &&
		{ "$WHALEBOX" --rm --name one$$ /bin/sh -c "echo ready; sleep 2" >said & } &&
		soon grep -q ready said && [ -e "$cgroups/one$$" ] &&
		run strace -f -qq -o trace -P "$cgroups/one$$" -e trace=fcntl \
		    -e inject=fcntl:delay_enter=4500000 "$WHALEBOX" /bin/echo ran &&
		want_status 0 && want_out ran && want_no_err &&
		{ grep -q DELAYED trace || wrong "a delay" "$(cat trace)"; } && wait &&
		[ ! -e "$cgroups/one$$" ]
	'
fi

# Whichever write of the supervisor it is that fails: the last but the record
# of the end is the byte.
slow 'waits for no byte that is lost' '
	strike=$project/build/tests/strike &&
	trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT && LIMIT=15 &&
	run "$strike" list calls "$WHALEBOX" -d --name one /bin/sleep 300 &&
	want_status 0 && box rm -f one && want_status 0 &&
	writes=$(grep -c "^1 write " calls) && [ "$writes" -gt 2 ] &&
	for n in $(seq "$writes"); do
		run "$strike" 1 write "$n" EIO "$WHALEBOX" -d --name one /bin/sleep 300 &&
		want_status 125 && want_out "" && want_err "whalebox: chapter " &&
		box inspect one && want_status 125 && want_err "no box named one" || exit
	done
'

# Whichever fstat of whalebox's, or of the supervisor's, it is that fails once.
slow 'keeps a box that is to stay, and no other, though a look at its folder fails' '
	strike=$project/build/tests/strike && box /bin/true &&
	before=$(ls "$WHALEBOX_HOME/containers") &&
	trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT &&
	run "$strike" list calls "$WHALEBOX" /bin/true && want_status 0 &&
	for n in $(seq "$(grep -c "^0 fstat " calls)"); do
		run "$strike" 0 fstat "$n" EPERM "$WHALEBOX" /bin/true &&
		same "$before" "$(ls "$WHALEBOX_HOME/containers")" || exit
	done &&
	box -d --name one /bin/sh -c "echo x >>/file; exit 7" && want_status 0 &&
	over() { [ "$("$WHALEBOX" inspect one exit_code)" = 7 ]; } && soon over &&
	for n in $(seq 12); do
		run "$strike" 2 fstat "$n" EPERM "$WHALEBOX" start one && soon over || exit
	done && box rm one && want_status 0
'

# named PROCESS CALL COUNT STEP ARGUMENT...: that call fails, and it is what the
# error names.
named() {
	named_process=$1 named_call=$2 named_count=$3 named_step=$4
	shift 4
	run "$project/build/tests/strike" "$named_process" "$named_call" \
	    "$named_count" EIO "$WHALEBOX" "$@" && want_status 125 && want_out "" &&
	same 1 "$(grep -c "^whalebox: " err)" && {
		grep -Eq "^whalebox: chapter [0-9]+: $named_step: (I/O|Input/output) error$" err ||
		    wrong "$named_step" "$newline$err"
	}
}

slow 'names the call that failed, and not the one before it' '
	trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT &&
	named 0 getrandom 1 "getrandom[(]64 bits[)]" /bin/true &&
	named 1 signalfd4 1 "signalfd[(][)]" -d --name one /bin/true &&
	run "$project/build/tests/strike" list calls "$WHALEBOX" -d --name one /bin/true &&
	want_status 0 && box rm -f one && want_status 0 &&
	named 1 fchmod "$(grep -c "^1 fchmod " calls)" \
	    "fchmod[(]one, S_ISVTX[)]" -d --name one /bin/true &&
	named 1 fsync 3 "ftruncate, fsync[(]one/config.new[)]" -d --name one /bin/true &&
	box -d --name one /bin/true && want_status 0 &&
	named 0 getrandom 2 "getrandom[(][)]" /bin/true &&
	named 1 wait4 1 "waitpid[(]-1[)]" --init /bin/true &&
	ended() { [ "$("$WHALEBOX" inspect one status)" = exited ]; } && soon ended &&
	named 1 fchmod 1 "fchmod[(]one, ~S_ISVTX[)], .*" rm one
'

# Past a ".." openat2(2) says EAGAIN if anything is renamed meanwhile, by anybody.
# A trace does not show what a user's child asks for: it is not dumpable.
if is_root; then
	slow 'opens again what a rename elsewhere has kept it from' '
		mkdir data && box_at="-v $PWD/data:/some/where -w /etc" &&
		run strace -f -qq -o trace -e trace=openat2 "$WHALEBOX" $box_at /bin/true &&
		want_status 0 && grep -n RESOLVE_IN_ROOT trace | cut -d : -f 1 >places &&
		[ "$(wc -l <places)" -ge 4 ] && for n in $(cat places); do
			run "$project/build/tests/strike" 1 openat2 "$n" EAGAIN \
			    "$WHALEBOX" $box_at /bin/echo ran &&
			want_status 0 && want_out ran && want_no_err || exit
		done
	'
fi

# ---- A fault at each step ----------------------------------------------------

no_bad_end() {
	[ ! -s report ] || {
		cat report
		false
	}
}

print_figures() {
	[ ! -e "$scratch/figures" ] || sed 's/^/# /' "$scratch/figures"
	rm -f "$scratch/figures"
}

case ${1:-sample} in
sample) errors=1 points=$SAMPLE few=$((SAMPLE / 4 + 1)) kills=$((3 * SAMPLE)) ;;
at)     errors=1 points=all few=all kills=0 only=$2 ;;
*)      errors=2 points=all few=all kills=500 ;;
esac

it "has no weaker box, and leaves nothing, whatever step fails (SEED=$SEED)" '
	prepare whalebox && sweep $errors $points >"$scratch/figures" &&
	no_bad_end
'
print_figures
it "leaves nothing for long, whenever it is killed (SEED=$SEED)" '
	prepare whalebox && kill_randomly $kills >"$scratch/figures" &&
	no_bad_end
'
print_figures

# What a box is furnished with, as chapter 11 has it.
data=$scratch/data
mkdir "$data"
furnished="-v $data:/data --tmpfs /mnt:size=1m -w /tmp -e A=B
    --env-file $scratch/variables --read-only"
echo C=D >"$scratch/variables"
! is_root || furnished="$furnished -u guest"

# Under emulation, only to find out what there is to sweep would take minutes.
case ${WHALEBOX_WHERE:-} in
vm*) ;;
*)
	for with in "$furnished" --init; do
		it "has no weaker box, whatever step fails, with ${with##* } (SEED=$SEED)" '
			prepare whalebox $with && sweep $errors $few \
			    >"$scratch/figures" && no_bad_end
		'
		print_figures
	done
	if is_root; then
		it "has no weaker box, whatever step fails, with wires (SEED=$SEED)" '
			"$WHALEBOX" --network bridge /bin/true &&
			prepare whalebox --network bridge -p 8080:80 &&
			sweep $errors $points >"$scratch/figures" && no_bad_end
		'
		print_figures
		it "leaves no wires for long, whenever it is killed (SEED=$SEED)" '
			prepare whalebox --network bridge -p 8080:80 &&
			kill_randomly $kills 0.06 >"$scratch/figures" && no_bad_end
		'
		print_figures
	fi
	it "ends no command with a claim that is not so, whatever step fails (SEED=$SEED)" '
		prepare_commands && sweep_commands $errors $points >"$scratch/figures" &&
		no_bad_end
	'
	print_figures

	it "waits until there is room in a pipe, from chapter 0 on" "
		{ dd if=/dev/zero bs=64k count=1 oflag=nonblock 2>dd.err
		  $project/build/whalebox-0 --help; echo \$? >code
		} | { sleep 1; cat; } >shown &&
		same 0 \"\$(cat code)\" && grep -q \"whalebox failed\" shown
	"

	# Without a PID namespace the first process does not take the others with it.
	it "removes no folder of a box that others may live on in" "
		containers=\$WHALEBOX_HOME/containers && clear() {
			[ ! -e \"\$containers\" ] || chmod -R u+rwX \"\$containers\" &&
			rm -rf \"\$containers\"
		} && clear &&
		{ $project/build/whalebox-no-PID /bin/sh -c \
		    \"sleep 300 & echo \\\$!; wait\" >said & } &&
		soon test -s said && kill -KILL \$! && { wait \$!; true; } &&
		read -r pid rest <\"\$(echo \"\$containers\"/*/box)\" &&
		over() { ! kill -0 \"\$pid\" 2>/dev/null; } && soon over &&
		kill -0 \"\$(cat said)\" && kept=\$(ls \"\$containers\") &&
		differ \"\" \"\$kept\" && box /bin/true && want_status 0 &&
		same \"\$kept\" \"\$(ls \"\$containers\")\" &&
		{ ! kill -0 \"\$(cat said)\" || kill \"\$(cat said)\"; } &&
		clear
	"

	it "makes and removes images whole or not at all, whatever step fails (SEED=$SEED)" '
		prepare_images && sweep_images $errors $points >"$scratch/figures" &&
		no_bad_end
	'
	print_figures

	# The program as it is after some of the chapters.  Before chapter 5 all
	# other namespaces are for root.
	for stage in 0 4 7 9; do
		[ $stage -eq 0 ] || [ $stage -gt 4 ] || is_root || continue
		it "has no weaker box, whatever step fails, at stage $stage (SEED=$SEED)" '
			WHALEBOX=$project/build/whalebox-$stage unkept= &&
			prepare whalebox && sweep $errors $few \
			    >"$scratch/figures" && no_bad_end
		'
		print_figures
	done
	;;
esac
case ${1:-sample} in
sample | at) finish ;;
esac

# Whatever comes of it, it is not our failure.
if command -v bwrap >/dev/null; then
	it 'measures bubblewrap in the same way' '
		{ prepare bwrap && sweep 1 all && kill_randomly $kills; } \
		    >"$scratch/figures"
	'
	print_figures
else
	skip 'it is not installed' 'measures bubblewrap in the same way'
fi
finish
