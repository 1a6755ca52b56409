#!/bin/sh
# needs: once
# volumes.sh: a volume is where it was asked for and nowhere else, what lies in
# it is nobody's to delete, and a box starts as who and where it was told.
. "$(dirname "$0")/lib.sh"

# A root of these tests' own: they lay traps in it.
root=$scratch/root
cp -R "$WHALEBOX_ROOTFS" "$root" || exit 1
export WHALEBOX_ROOTFS="$root"

it 'mounts nothing where a link in the rootfs leads out of it' '
	mkdir data victim && up=../../../../../../../../../../../.. &&
	ln -s "$up$PWD/victim" "$root/relative" &&
	ln -s "$PWD/victim" "$root/absolute" &&
	snapshot &&
	for target in relative absolute relative/new absolute/new/er; do
		box -v "$PWD/data:/$target" /bin/touch "/$target/x" &&
		same "" "$(ls -A victim)" && want_status 125 || exit
	done &&
	unchanged && rm "$root/relative" "$root/absolute"
'

# The first volume is shared with a program outside that makes of one folder in
# it a link, and back again, while the other 31 are being mounted on that.  In
# the box the link leads to a folder of its own.  That a mkdir without such care
# comes through shows that the link is there often enough.
slow 'mounts nothing elsewhere in 1023 tries while a link is swapped in' '
	mkdir -p data victim shared/folder "$root$PWD/victim" &&
	ln -s "$PWD/victim" shared/link &&
	volumes=$(for n in $(seq 31); do echo "-v $PWD/data:/s/folder/$n/$n"; done) &&
	{ timeout 600 "$project/build/tests/swap" shared/folder shared/link & } &&
	trap "kill $!" EXIT && good=0 &&
	for try in $(seq 33); do
		box -v "$PWD/shared:/s" $volumes /bin/grep -c " /s" /proc/mounts &&
		if [ "$status" -eq 0 ]; then
			good=$((good + 1)) && want_match "^[1-9]"
		else
			want_status 125
		fi || exit
	done &&
	differ 0 "$good" && same "" "$(ls -A victim)" &&
	for try in $(seq 1000); do
		[ -h shared/folder ] || mkdir "shared/folder/$try.naive" || true
		[ -z "$(ls -A victim)" ] || break
	done && differ "" "$(ls -A victim)"
'

it 'goes on as the host does when the source of a volume is renamed' '
	mkdir data && echo old >data/note && mkfifo key && exec 9<>key &&
	{ "$WHALEBOX" -v "$PWD/data:/data" /bin/sh -c \
	    "echo ready; read -r line; cat /data/note" <key >shown & } &&
	soon grep -q ready shown && mv data moved && echo new >moved/note &&
	echo >&9 && wait && same new "$(sed 1d shown)"
'

it 'makes a source that is missing, and no folder above it' '
	box -v "$PWD/new:/data" /bin/touch /data/x && want_status 0 &&
	same x "$(ls new)" &&
	box -v "$PWD/a/b:/data" /bin/true && want_status 125 &&
	want_err "mkdir($PWD/a/b)" && [ ! -e a ]
'

it 'mounts single files, and folders with mounts in them' '
	mkdir data data/sub && echo one >one && echo two >two &&
	box -v "$PWD/one:/etc/one" -v "$PWD/two:/etc/two:ro" \
	    -v "$PWD/data:/data" -v "$PWD/two:/data/sub/file" \
	    /bin/cat /etc/one /etc/two /data/sub/file &&
	want_status 0 && want_out "one${newline}two${newline}two" &&
	box -v "$PWD/data:/data" /bin/ls -A /data/sub && want_out file
'

it 'takes 32 volumes, and refuses one more' '
	mkdir data && set -- && for n in $(seq 32); do
		set -- "$@" -v "$PWD/data:/data/$n"
	done &&
	box "$@" /bin/grep -c " /data/" /proc/mounts && want_status 0 &&
	want_out 32 &&
	box "$@" -v "$PWD/data:/more" /bin/true && want_status 125 &&
	want_out "" && want_err "--volume: more than 32" && want_err "hint: "
'

it 'takes 251 variables, and refuses 252' '
	set -- && for n in $(seq 251); do set -- "$@" -e "V$n=$n"; done &&
	box "$@" /bin/env && want_status 0 && same 251 "$(grep -c "^V" out)" &&
	want_match "^HOME=" && want_match "^TERM=" &&
	box "$@" -e MORE=1 /bin/env && want_status 125 && want_out "" &&
	want_err "--env: more than 251" && want_err "hint: "
'

it 'mounts an empty folder in memory, with what was asked for' '
	mkdir data && mkdir -p "$root/full" && echo x >"$root/full/file" &&
	box --tmpfs /full --tmpfs /new/deep:size=1M,mode=700 -v "$PWD/data:/full/data" \
	    --tmpfs /full/data/in:exec,ro --read-only /bin/sh -c "ls -A /full
	    stat -c %a /full /new/deep; touch /full/x /full/data/in/x
	    head -c 2m /dev/zero >/new/deep/big; stat -c %s /new/deep/big
	    for place in /full /new/deep /full/data/in; do
		grep \"^tmpfs \$place \" /proc/mounts | cut -d, -f 1-4; done" &&
	want_out "data${newline}1777${newline}700${newline}1048576
tmpfs /full tmpfs rw,nosuid,nodev,noexec
tmpfs /new/deep tmpfs rw,nosuid,nodev,noexec
tmpfs /full/data/in tmpfs ro,nosuid,nodev,relatime" &&
	want_err "/full/data/in/x: Read-only" && same in "$(ls data)" &&
	same "" "$(ls -A data/in)" && rm -r "$root/full"
'

it 'refuses a tmpfs that it does not understand, and one in the way' '
	for bad in "" rel : /x: /x:size /x:size= /x:size=0 /x:size=1x /x:size=-1 \
	    /x:size=50% /x:mode= /x:mode=8 /x:uid=0 /x:dev /x:suid /x:rw,,ro "/x:ro ,rw"; do
		box --tmpfs "$bad" /bin/true && want_status 125 && want_out "" &&
		want_err "--tmpfs: not \"$bad\"" && want_err "hint: --tmpfs" || exit
	done &&
	for bad in / /proc /proc/1 /sys /etc/passwd; do
		box --tmpfs "$bad" /bin/true && want_status 125 && want_err "hint: " || exit
	done
'

it 'takes variables from a file, and -e counts more' '
	printf "%s\n" "# A=comment" "" "A=one" "B=two = three # four" "  C=c" "D=" \
	    "FROM_CALLER" "WB_UNSET$$" "E=first" "A=last" "F=crlf" "G=\"q\"" >file &&
	sed -i "s/crlf/&\r/" file && printf "E=other\nHOME=/h" >second &&
	export FROM_CALLER=x && sed -i "1s/^/$(printf "\357\273\277")/" second &&
	{ sleep 0.2; echo P=piped; } | run "$WHALEBOX" --env-file /dev/stdin \
	    /bin/sh -c "echo \$P" && want_out piped && want_no_err &&
	box -e B=given --env-file file -e E --env-file=second /bin/sh -c \
	    "env | grep -E \"^([A-G]|FROM_CALLER|HOME|WB.*)=\" | sort" && want_status 0 &&
	want_out "A=last${newline}B=given${newline}C=c${newline}D=${newline}E=other
F=crlf${newline}FROM_CALLER=x${newline}G=\"q\"${newline}HOME=/h" &&
	for bad in "=x" "two words=x" "word " "a	b=c"; do
		printf "A=b\n%s\n" "$bad" >wrong && box --env-file wrong /bin/true &&
		want_status 125 && want_out "" && want_err "wrong: no name" &&
		want_err "hint: --env-file" || exit
	done && head -c 2000000 /dev/zero | tr "\\0" "#" >big &&
	box --env-file big /bin/true && want_status 125 &&
	want_err "read(big): File too large" && for bad in nowhere . ""; do
		box --env-file "$bad" /bin/true && want_status 125 && want_out "" &&
		want_err "($bad): " || exit
	done
'

it 'refuses a volume that would have to be the root' '
	mkdir data && ln -s / "$root/top" &&
	for target in / /. /// /etc/.. /top; do
		box -v "$PWD/data:$target" /bin/true && want_status 125 || exit
	done && rm "$root/top"
'

it 'mounts no file on a folder, and no folder on a file' '
	mkdir a-folder && : >a-file &&
	box -v "$PWD/a-file:/etc" /bin/true && want_status 125 &&
	want_err "hint: the source is a file" &&
	box -v "$PWD/a-folder:/etc/passwd" /bin/true && want_status 125 &&
	want_err "hint: "
'

it 'says in full which volume it refuses' '
	box -v "$PWD:relative" /bin/true && want_status 125 &&
	want_err "\"$PWD:relative\""
'

# Whenever whalebox is killed, and whatever the next one cleans up then.
it 'keeps what is in a volume though whalebox is killed, 50 times' '
	mkdir -p data/sub/er && echo precious >data/sub/er/file &&
	ln -s / data/link && before=$(tar -cf - data | md5sum) &&
	for try in $(seq 50); do
		"$WHALEBOX" -v "$PWD/data:/data" -v "$PWD/data:/tmp/again" \
		    /bin/sleep 0.01 &
		sleep "0.0$((try % 10))$((try * 7 % 10))"
		kill -KILL $! && killed=$((${killed:-0} + 1))
		wait $! || true
	done 2>kill.err &&
	differ 0 "${killed:-0}" && box /bin/true && want_status 0 &&
	none() { [ -z "$(ls -A "$WHALEBOX_HOME/containers")" ]; } &&
	swept() { "$WHALEBOX" /bin/true && none; } && soon swept &&
	same "$before" "$(tar -cf - data | md5sum)"
'

it 'keeps what is in a volume that the box removes its root around' '
	mkdir data && echo precious >data/file &&
	box -v "$PWD/data:/data:ro" /bin/rm -rf / --no-preserve-root &&
	box -v "$PWD/data:/data" /bin/sh -c "umount /data; rmdir /data; mv /data /x" &&
	differ 0 "$status" && same precious "$(cat data/file)"
'

if is_root; then
	# As apart() has it, the mount is in a namespace of the test's own.
	it 'removes nothing through what is mounted in the folder of a box' '
		run unshare --mount sh -c "
			mkdir data && echo precious >data/file && mkfifo key &&
			WHALEBOX_HOME=\$PWD/home && export WHALEBOX_HOME &&
			exec 9<>key || exit
			\"\$WHALEBOX\" $unkept --name one /bin/sh -c \
			    \"echo ready; read -r line\" <key >ready &
			until grep -q ready ready; do sleep 0.1; done
			upper=home/containers/one/upper
			mkdir \$upper/a \$upper/b
			mount --bind data \$upper/a && mount -t tmpfs tmpfs \$upper/b &&
			touch \$upper/b/file && echo >&9
			wait; cat data/file; ls \$upper/b" &&
		want_out "precious${newline}file" && want_err "chapter 9: " && want_err busy
	'
fi

slow 'starts in no folder that the caller has open' '
	mkdir folder && echo secret >folder/letter && cd folder &&
	for n in $(seq 3 20); do
		run sh -c "exec 3<. 4<. 5<. 6<. 7<. 8<. 9<.; cd /
		    exec \"\$WHALEBOX\" -w /proc/self/fd/$n /bin/ls" &&
		want_status 125 && want_out "" &&
		box -w "/proc/self/fd/$n/../.." /bin/ls && want_status 125 || exit
	done &&
	box -w /proc/self/cwd /bin/ls && want_status 125 &&
	box -w /proc/1/root /bin/ls && want_status 125
'

it 'becomes nobody else for an id that is none, or a broken passwd' '
	for bad in 4294967296 4294967295 -1 1x "" 0x0 +0 " 0" "0 " 0: : 0:-1; do
		box -u "$bad" /bin/id && want_status 125 && want_out "" || exit
	done &&
	cp "$root/etc/passwd" passwd && printf "%s\n" "big:x:4294967296:0:::" \
	    "minus:x:-1:0:::" "none:x::0:::" "word:x:root:0:::" "short:x" \
	    "long:x:00000000000:0:::" short2 >>"$root/etc/passwd" || exit
	for bad in big minus none word short short2 long x "roo" "oot" "x:x"; do
		box -u "$bad" /bin/id && want_status 125 && want_out "" || exit
	done
	mv passwd "$root/etc/passwd"
'

# As docker has it: a name or a number of /etc/passwd has the groups that are its
# own there and in /etc/group; who names a group has that one alone.
if is_root; then
	it 'gives a user its further groups, in exec as well' '
		cp "$root/etc/passwd" passwd && cp "$root/etc/group" group &&
		echo "ann:*:1234:1235::/home/ann:/bin/sh" >>"$root/etc/passwd" &&
		printf "%s\n" "one:x:44:ann" "two:x:45:bob,ann" "no:x:46:anna,jo,bann" \
		    "bad:x:-1:ann" "half:x" "last:x:47:ann,bob" >>"$root/etc/group" &&
		mkfifo key && exec 9<>key &&
		{ "$WHALEBOX" --rm --name "ann$$" /bin/sh -c \
		    "echo ready; read -r line" <key >ready & } &&
		soon grep -q ready ready &&
		for way in "" "exec ann$$"; do
			set -- ${way:+exec} -u ann ${way:+"ann$$"}
			box "$@" /bin/id -G && want_status 0 && want_out "1235 44 45 47" &&
			box ${way:+exec} -u 1234 ${way:+"ann$$"} /bin/id -G &&
			want_out "1235 44 45 47" &&
			box ${way:+exec} -u ann:two ${way:+"ann$$"} /bin/id -G && want_out 45 &&
			box ${way:+exec} -u 1300 ${way:+"ann$$"} /bin/id -G && want_out 0 ||
				exit
		done && echo >&9 && wait &&
		mv passwd "$root/etc/passwd" && mv group "$root/etc/group"
	'
fi

it 'tells which ids a box has, to who asks for another' '
	box -u 4294967294 /bin/id && want_status 125 && want_err "hint: no such id is mapped"
'

it 'gives the box one name for itself' '
	box $unkept --name one --hostname other /bin/sh -c \
	    "hostname; echo \$HOSTNAME; cat /etc/hostname; grep -c other /etc/hosts" &&
	want_out "other${newline}other${newline}other${newline}1"
'

# With an init, and without one, where a test shows what that is for.

it 'has an init that passes TERM on to a command without a handler' '
	for init in --init ""; do
		: >ready &&
		{ timeout -s KILL 3 "$WHALEBOX" $init /bin/sh -c \
		    "echo ready; exec sleep 60" >ready & } &&
		soon grep -q ready ready &&
		kill -TERM "$(pgrep -P $!)" && { wait $!; echo $? >>ended; } || exit
	done &&
	same "143 137" "$(paste -sd " " ended)"
'

it 'has an init that reaps orphans, and ends as the command does' '
	orphans="(sh -c \"sleep 0.1 & sleep 0.1 &\"); exec cat" && mkfifo gate &&
	for init in --init ""; do
		: >ready &&
		{ "$WHALEBOX" $init /bin/sh -c "echo ready; $orphans" <gate >ready & } &&
		exec 9>gate && soon grep -q ready ready && sleep 1 &&
		ps -o stat= --ppid "$(pgrep -P $!)" >state && exec 9>&- && wait &&
		{ grep -c Z state >>zombies || true; } || exit
	done &&
	same "0 2" "$(paste -sd " " zombies)" &&
	box --init /bin/sh -c "exit 7" && want_status 7 &&
	box --init /bin/sh -c "kill -SEGV \$\$" && want_status 139 &&
	box --init /nowhere && want_status 127 && want_err "execve(/nowhere)"
'

it 'has an init whose program and files the box cannot open' '
	look="readlink /proc/1/exe || echo closed; ls /proc/1/fd || echo closed
	    cat /proc/1/environ || echo closed" &&
	box --init --cap-add ALL /bin/sh -c "$look" && want_status 0 &&
	want_out "closed${newline}closed${newline}closed" &&
	box /bin/sh -c "$look" && want_status 0 && want_line /bin/busybox
'

finish
