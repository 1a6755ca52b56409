#!/bin/sh
# needs: root vm
# dumpable.sh: with fs.suid_dumpable at 1, as those who debug set-user-ID programs
# have it, each change of ids opens a process to whoever has these ids.  A box
# still sees nothing of its visitor.
#
# It is a setting of the whole machine, so this is for a machine of its own.
. "$(dirname "$0")/lib.sh"

# A root of these tests' own, with their program in it.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" && cp "$project/build/tests/peep" "$root" || exit 1
export WHALEBOX_ROOTFS="$root"

setting=/proc/sys/fs/suid_dumpable
before=$(cat $setting)
trap 'echo "$before" >$setting; cleanup' EXIT

# foreign: the program peep, in the box, has seen what is not of the box.
foreign() {
	"$WHALEBOX" logs one | grep -Ev \
	    '^(ready|fd) |^(mem|environ|exe) /(peep|bin/busybox)$|^(cwd|root) /$' >seen
}

# visits OPTION...: the box looks at visitors that are held up wherever they have
# changed their ids, and before they are the command; and at some that are not.
visits() {
	for call in setresgid setresuid execve; do
		run strace -f -qq -o /dev/null -e trace=$call \
		    -e inject=$call:delay_exit=100000:delay_enter=100000 \
		    "$WHALEBOX" exec "$@" one /bin/true && want_status 0 || return
	done
	for try in $(seq "${SAMPLE:-500}"); do
		box exec "$@" one /bin/true && want_status 0 || return
	done
}

# With SYS_PTRACE and --userns host, the box is the host's root, who sees all.
it 'shows the box nothing of a visitor, whatever fs.suid_dumpable is' '
	trap "\"$WHALEBOX\" rm -f one >last 2>&1" EXIT &&
	for value in 1 2; do
		echo $value >$setting &&
		for options in "--cap-add ALL" "--userns host"; do
			box -d --name one $options /peep && want_status 0 &&
			visits && visits -u guest && visits -u 1234 &&
			soon eval "\"\$WHALEBOX\" logs one | grep -qx \"exe /bin/busybox\"" &&
			{ ! foreign || wrong "nothing but the box" "$(cat seen)"; } &&
			box rm -f one && want_status 0 || exit
		done || exit
	done &&
	echo 1 >$setting && box -d --name one --cap-add ALL /peep &&
	want_status 0 && run strace -f -qq -o /dev/null -e trace=execve \
	    -e inject=execve:delay_enter=300000 nsenter \
	    --target "$("$WHALEBOX" inspect one pid)" --user \
	    --preserve-credentials --mount --pid /bin/true && want_status 0 &&
	soon foreign && { grep -q nsenter seen || wrong nsenter "$(cat seen)"; }
'

finish
