#!/bin/sh
# needs: host
# line.sh: the command line, as readers of other texts type it.
. "$(dirname "$0")/lib.sh"

b=line$$

# refuses WORD... : says no, with this in the error and in the hint, and makes no
# box.  The words are those of the line; $what and $hint are what is to be said.
refuses() {
	box "$@" && want_status 125 && want_out "" && want_err "whalebox: $what" &&
	want_err "  hint: $hint" && same "" "$("$WHALEBOX" ps -aq)"
}

it 'runs a program by its bare name, looked up in the box' '
	root=$PWD/root && cp -R "$WHALEBOX_ROOTFS" root && mkdir root/own &&
	printf "#!/bin/sh\necho own \$1" >root/own/greet && chmod 755 root/own/greet &&
	: >root/own/plain && export WHALEBOX_ROOTFS="$root" &&
	box run sh -c "echo \$0 \$1" a b && want_status 0 && want_out "a b" &&
	box run -e PATH=/own greet you && want_status 0 && want_out "own you" &&
	box run -e PATH=/own -- greet --help && want_out "own --help" &&
	box --name "$b" run --rm id -u && want_status 0 && want_out 0 &&
	box run /bin/echo x && want_out x && box run bin/echo x && want_out x &&
	(PATH=$root/own:$PATH && box run greet && want_status 127) &&
	box run -e PATH=/own plain && want_status 126 && want_err "execvp(plain)" &&
	box run nothing && want_status 127 && want_out "" &&
	want_err "execvp(nothing): No such file" && want_err "hint: no folder of" &&
	printf "#!/gone\n" >root/own/lost && chmod 755 root/own/lost &&
	box run -e PATH=/bin:/own lost && want_status 127 && want_err "execvp(lost)" &&
	want_err "hint: the file is there; what runs it is not: /gone" &&
	box run /nothing && want_status 127 && want_err "execve(/nothing)" &&
	what="no command to run" && hint=whalebox && refuses run && refuses run "" &&
	refuses run --rm && what="there is no option --nope" hint="see --help" &&
	refuses run --nope sh
'

it 'keeps a bare name for start, and looks it up for exec' '
	box run -d --name "$b" sh -c "echo \$0; trap \"exit 7\" TERM; sleep 99 & wait" && want_out "$b" &&
	box exec "$b" hostname && want_out "$b" && box stop "$b" && box start "$b" &&
	want_out "$b" && box inspect "$b" status && want_out running &&
	box rm -f "$b" && want_out "$b"
'

it 'takes letters that are joined, the last with a value' '
	box run -it echo x && want_status 0 && want_match "^x" &&
	box run -dit --name "$b" sleep 99 && want_out "$b" &&
	box exec -it "$b" tty && want_match "^/dev/pts/" &&
	box exec -iteA=b "$b" sh -c "echo \$A" && want_match "^b" &&
	box rm -f "$b" && for words in "-ieA=b" "-ie A=b" "-eA=b" "-e=A=b" "-i -e A=b"; do
		box $words /bin/sh -c "echo \$A" && want_status 0 && want_out b || exit
	done && what="there is no option -x" hint="see --help" && refuses -itx /bin/true &&
	what="-t=1: it takes no value" hint="--tty" && refuses -it=1 /bin/true &&
	what="-e: it needs a value" hint="--env" && refuses -ie &&
	what="--env: not \"=1\"" && refuses -ie==1 /bin/true &&
	what="exec: not with --detach" hint="whalebox exec" && refuses exec -dt "$b" sh
'

it 'takes no long name after one dash for letters' '
	for o in name detach env user memory tty rm; do
		what="there is no option -$o" hint="--$o" && refuses "-$o" x /bin/true &&
		what="there is no option -$o=x" && refuses "-$o=x" /bin/true || exit
	done
'

it 'lets container stand before a command' '
	box container run -d --name "$b" sleep 99 && want_out "$b" &&
	for ls in ls list ps; do
		box container $ls && want_match "^$b " && box container $ls -aq &&
		want_out "$b" || exit
	done && box container inspect "$b" name && want_out "$b" &&
	box container stop -t 0 "$b" && want_out "$b" && box container rm "$b" &&
	what="container: there is no command" hint="whalebox container ls" &&
	refuses container && refuses container /bin/true &&
	what="there is no command prune" hint="whalebox ps -aq" && refuses container prune &&
	box --name "$b" /bin/true && box container remove "$b" && want_out "$b" &&
	what="there is no box named $b" hint="see whalebox ps -a" && refuses container remove "$b"
'

# A line each: what is typed, and the word that is the right one.
it 'knows what other tools call it, and names the right word' '
	while read -r word right; do
		kind=command && [ "${word#-}" = "$word" ] || kind=option
		what="there is no $kind $word" hint=$right && refuses "$word" 1 /bin/true || exit
	done <<END
-cpushare --cpu-shares
-c --cpu-shares
-c512 --cpu-shares
--cpu-quota=50000 --cpus N
--memory-swap=1g --memory SIZE
--shm-size --tmpfs /dev/shm:size=SIZE
-cpuset --cpuset-cpus
-cpuset=0 --cpuset-cpus
-P --publish HOST:BOX
--link=db boxes of one --network NAME
--dns --volume
port whalebox ps
--expose=80 --publish HOST:BOX
--privileged --cap-add
--mount --volume
--net=host --network
--volumes-from=db --volume
volume --volume
--stop-timeout whalebox stop -t
top whalebox exec NAME ps; or, for the program, whalebox run top
pause whalebox kill -s STOP
cp --volume
rename whalebox run --name
system whalebox ps -aq
build whalebox run, and then whalebox commit
push whalebox image save NAME FILE, and skopeo
rmi whalebox image rm
pull whalebox image pull
attach whalebox logs -f
restart whalebox stop
ls whalebox ps
remove whalebox rm
help whalebox --help
sh a program is named by its path
buil a program is named by its path
END
'

# These stand in --help.
it 'takes no line of --help for the name of what it is about' '
	for words in "ps [-a]" "ps [-a] [-q]" "logs [-f] [-n LINES] NAME" "rm [-f]"; do
		what="there is no command $words" hint="a program is" && refuses "$words" || exit
	done && for words in "--name NAME" "--memory SIZE" "--read-only " "--rm  x"; do
		what="there is no option $words" hint="see --help" &&
		refuses "$words" x /bin/true || exit
	done
'

# Whether there are limits here or not.
it 'takes sizes in capitals' '
	for size in 64M 1G 65536K 67108864B 64m 1g 65536k 67108864b 67108864; do
		box -m "$size" /bin/true && same "" "$(grep -e "--memory" err)" &&
		box --rm --name "$b" --log-max "$size" /bin/true && want_status 0 || exit
	done && for size in 64T 64MB 64Mi M 1.5G -1M "64 M" 64MM; do
		what="--memory: not \"$size\"" hint="--memory SIZE" && refuses -m "$size" /bin/true &&
		what="--log-max: not \"$size\"" hint="--log-max SIZE" &&
		refuses --log-max "$size" /bin/true || exit
	done
'

# A page can have 64 KiB; less than one would be a limit of 0.
it 'takes no less memory than a page, and half a processor in short' '
	for size in 1 1k 4095; do
		what="--memory: not \"$size\"" hint="a page, " &&
		refuses -m "$size" /bin/true || exit
	done && box -m 64k /bin/true && same "" "$(grep -e "--memory" err)" &&
	box --cpus .5 /bin/true && same "" "$(grep -e "--cpus" err)" &&
	for cpus in . 1. .001 .5x; do
		what="--cpus: not \"$cpus\"" hint="--cpus N" && refuses --cpus "$cpus" /bin/true ||
			exit
	done
'

it 'says how a command is called that got a wrong option' '
	while read -r line; do
		box $line && want_status 125 && want_err "there is no option -" &&
		want_err "  hint: whalebox ${line%% -*} " || exit
	done <<END
exec -x b true
image rm -f a
image save -o a b
ps -x
logs --tail 5 b
END
'

it 'tells the life of a child in columns that line up' '
	box --explain /bin/true && want_status 0 &&
	grep -Eq "^\[ 0 child \] .{40} # unshare --kill-child$" err
'

it 'says which chapter a joined letter belongs to' '
	run "$project/build/whalebox-0" -it /bin/true && want_status 125 &&
	want_err "-i belongs to chapter 12" && run "$project/build/whalebox-11" -ti /bin/true &&
	want_err "-t belongs to chapter 12" &&
	run env PATH=/usr/bin:/bin "$project/build/whalebox-0" run true &&
	want_status 0 &&
	run env PATH=/usr/bin:/bin "$project/build/whalebox-0" run nothing &&
	want_status 127 &&
	run "$project/build/whalebox-12" container ls && want_status 125 &&
	want_err "container belongs to chapter 13"
'

# An alarm(2) outlives execve(2), and is for whoever set it alone.
it 'passes on an alarm that its caller set' '
	run perl -e "alarm 1; exec @ARGV" "$project/build/whalebox-0" run sleep 30 &&
	want_status 142
'

finish
