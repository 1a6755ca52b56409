# shellcheck shell=sh
# images.sh: makes each step of the commands on images fail, in turn.  Part of
# tests/faults.sh, and used together with sweep.sh and commands.sh, whose words it
# has: a point is a system call of one of the command's processes, up to where that
# becomes another program.
#
# Whatever comes of it, these are faults:
#
#   claims too much     it ended with 0, and has not done what it is for
#   hangs               it did not end in time
#   goes untold         it failed and did not say so
#   destroys something  an image, or a box, that it was not to change has changed
#   leaves something    a process, a mount, a file, once a next command has come

base=$box_name.base                     # nobody touches it
image=$box_name.image                   # what the command makes, or removes
image_commands='load commit save unload'

words_of_image_command() {
	case $1 in
	load)   echo 'image load tiny.tar.gz "$image"' ;;
	commit) echo 'commit "$box" "$image"' ;;
	save)   echo 'image save "$base" saved.tar' ;;
	unload) echo 'image rm "$image"' ;;
	esac
}

# The store, but for when an image was made.
print_store() {
	( cd "$WHALEBOX_HOME" && find layers | sort
	for file in images/*; do
		[ ! -f "$file" ] || { echo "$file"; sed 's/ [0-9]\{10\} / /; /^created=/d' "$file"; }
	done
	cat "containers/$box/config"; ls -A "containers/$box" )
}

# is_store FILE: it is as that file says.
is_store() {
	print_store >store.now 2>&1
	cmp -s "$1" store.now
}

# Whoever unpacks or packs for a command, and whalebox itself.
workers() {
	grep -ls "^Max resident set  *$((mark * 1024)) " /proc/[0-9]*/limits |
	    sed 's/limits$/comm/' | xargs cat 2>/dev/null |
	    grep -E '^(tar|gzip|zstd|sha256sum|skopeo|whalebox.*)$'
}

nobody_works() {
	[ -z "$(workers)" ]
}

# before_image COMMAND: what there is before it.
before_image() {
	rm -f saved.tar
	case $1 in
	unload)
		[ -e "$WHALEBOX_HOME/images/$image" ] ||
			"$WHALEBOX" image load tiny.tar.gz "$image" >>tidied 2>&1 ;;
	*)
		if [ -e "$WHALEBOX_HOME/images/$image" ]; then
			"$WHALEBOX" image rm "$image" >>tidied 2>&1
		fi ;;
	esac
	is_store "store.before.$1"
}

perform_image() {
	eval "set -- \"\$@\" \"\$WHALEBOX\" $(words_of_image_command "$command")"
	"$@"
}

is_image_done() {
	case $1 in
	load | commit | unload) same_text "$image" && is_store "store.after.$1" ;;
	save)          cmp -s saved.tar good.tar && is_store store.before.save ;;
	esac
}

# What a command has left that failed, or was killed, the next one removes.
swept() {
	"$WHALEBOX" image rm "$image" >>tidied 2>&1
	"$WHALEBOX" image tag "$base" "$box_name.other" >>tidied 2>&1 &&
	"$WHALEBOX" image rm "$box_name.other" >>tidied 2>&1 &&
	nobody_works && is_store store.before.load &&
	diff mounts.before /proc/self/mountinfo >>tidied
}

# prepare_images: the images and the box; in ./strikes the points of all commands.
prepare_images() {
	tool=whalebox limits='' HANGS=30
	cat /proc/self/mountinfo >mounts.before
	for file in bad report strikes tidied left; do
		: >$file
	done
	mkdir -p tiny/folder && echo x >tiny/folder/file && ln tiny/folder/file tiny/hard &&
	ln -s nowhere tiny/link && tar -C tiny --owner=0 --group=0 -czf tiny.tar.gz . &&
	tar -C "$WHALEBOX_ROOTFS" --owner=0 --group=0 -cf plain.tar . || return 1
	began=$(date +%s)
	"$WHALEBOX" image load plain.tar "$base" >made &&
	"$WHALEBOX" run --name "$box" "$base" sh -c 'echo x >/new; rm /etc/group' || return 1
	for command in $image_commands; do
		before_image "$command"
		print_store >"store.before.$command"
		for run in 1 2; do
			{ before_image "$command" && perform_image timeout -k 1 "$HANGS" \
			    "$project/build/tests/strike" list calls.$run >good.out 2>good.err; } || {
				echo "no good run of $command"
				cat good.err
				return 1
			}
			print_store >"store.after.$command"
		done
		[ "$command" != save ] || cp saved.tar good.tar
		grep -Fxf calls.1 calls.2 | grep -Ev ' (exit_group|execve|execveat|arch_prctl|set_tid_address|rt_sigreturn|restart_syscall|get[a-z]+id|getpgrp|umask|#.*) ' |
		    sort -u | sort -k 1,1n -k 2,2 -k 3,3n | sed "s/^/$command /" >>strikes
	done
	HANGS=$((12 + $(date +%s) - began))
	keep_wanted strikes
}

# strike_image COMMAND PROCESS CALL COUNT FAULT
strike_image() {
	command=$1 point="$1, process $2, $3 $4" fault=$5
	: >left
	before_image "$command" || {
		{ swept && before_image "$command"; } || return 0
	}
	: >tidied
	began=$(date +%s)
	perform_image timeout -k 1 "$HANGS" "$project/build/tests/strike" \
	    "$2" "$3" "$4" "$5" >out 2>err </dev/null
	status=$?
	[ $(($(date +%s) - began)) -lt "$HANGS" ] || bad 'hangs'
	within nobody_works || {
		workers >left
		bad 'leaves something'
	}
	case $status in
	0)  is_image_done "$command" || {
			diff "store.after.$command" store.now >left
			bad 'claims too much'
		} ;;
	125 | 137)
		[ "$fault" = KILL ] || grep -q '^whalebox: ' err || bad 'goes untold' ;;
	*)  bad 'goes untold' ;;
	esac
	[ "$(cat "$WHALEBOX_HOME/images/$base")" = "$good_base" ] || bad 'destroys something'
	within swept || {
		{
			diff store.before.load store.now
			tail -n 3 tidied
		} >left
		bad 'leaves something'
	}
}

# sweep_images ERRORS POINTS: as sweep() does.
sweep_images() {
	good_base=$(cat "$WHALEBOX_HOME/images/$base")
	choose strikes "$2" || return
	number=0
	while read -r command process call count; do
		for error in $(errors_of "$call" | cut -d ' ' -f "-$1") KILL; do
			! is_enough || break 2
			strike_image "$command" "$process" "$call" "$count" "$error" </dev/null
			number=$((number + 1))
		done
	done <chosen
	"$WHALEBOX" rm -f "$box" >>tidied 2>&1
	"$WHALEBOX" image rm "$base" >>tidied 2>&1
	echo "$tool, $(id -un), $number faults at $(wc -l <chosen) of" \
	    "$(wc -l <strikes) points of its commands on images:"
	for fault_kind in 'claims too much' 'hangs' 'goes untold' 'destroys something' \
	    'leaves something'; do
		echo "  $fault_kind: $(grep -cx "$fault_kind" bad)"
	done
}
