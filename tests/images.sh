#!/bin/sh
# needs: host
# images.sh: an image is what it was, through load, commit, save and load, and
# nothing that an archive says is believed.  tests/images/archive.py makes archives,
# and tests/images/odd.c the files that an archive can get wrong.
. "$(dirname "$0")/lib.sh"

SEED=${SEED:-$(date +%Y%j)}
images=$project/tests/images
odd=$project/build/tests/odd

# In a folder, what is needed often: plain.tar, a root file system as `docker export`
# gives it; the image `base` of that.
common=$scratch/common
mkdir "$common" && tar -C "$WHALEBOX_ROOTFS" --numeric-owner --owner=0 --group=0 \
    -cf "$common/plain.tar" . || exit 1
have_base() {
	"$WHALEBOX" image ls -q | grep -qx base ||
	    "$WHALEBOX" image load "$common/plain.tar" base
}

# try TITLE BODY: a test, after which there is what there was before it, even if it
# fails: the image `base`, and no box.
try() {
	it "$@"
	"$WHALEBOX" ps -aq 2>"$scratch/log" | xargs -r "$WHALEBOX" rm -f >"$scratch/log" 2>&1
	"$WHALEBOX" image ls -q 2>"$scratch/log" | grep -vx base |
	    xargs -r "$WHALEBOX" image rm >"$scratch/log" 2>&1
}

# archive WORD...: what archive.py does.
archive() {
	python3 "$images/archive.py" "$@"
}

# wrap FORM FILE CONFIG: an archive of the image whose root file system that is.
wrap() {
	archive wrap "$1" "$2" "$3" "$common/plain.tar"
}

# All of the store, but for times: what is there, and what the images are.
store() {
	( cd "$WHALEBOX_HOME" && for part in layers images; do
		[ ! -d $part ] || find $part | sort
	done
	for image in images/*; do
		[ ! -f "$image" ] ||
			{ echo "$image" && sed 's/ [0-9]\{10\} / /; /^created=/d' "$image"; }
	done )
}

# layer_count: how many layers there are.
layer_count() {
	find "$WHALEBOX_HOME/layers" -mindepth 1 -maxdepth 1 | wc -l
}

# is_refused FILE OPTION...: to load it fails as it should: one line and, it may be, a
# hint; 125; nothing left; and nothing done to $victim.
is_refused() {
	refused_file=$1
	shift
	box image load "$@" "$refused_file" refused && want_status 125 && want_out "" &&
	want_match_err && store >store.after && { cmp -s store.before store.after || {
		wrong "the store as before" "$(diff store.before store.after)"; }; } &&
	same "$before_victim" "$(ls -lR "$victim" && cat "$victim/file")"
}

want_match_err() {
	tr -d '\n' <err | LC_ALL=C grep -q '[[:cntrl:]]' &&
		{ wrong 'no bytes that a terminal obeys' "$(cat -v err)" || return; }
	[ "$(sed 's/^whalebox: .*/said/; s/^  hint: .*/hint/' err | uniq -c |
	    tr -s ' \n' ' ' | sed 's/ 1 hint//')" = ' 1 said ' ] ||
		wrong 'one line, and a hint' "$(cat err)"
}

# are_refused PATTERN OPTION...: each of the hostile archives of which that is a part of
# the name.  All of them are tried.
are_refused() {
	pattern=$1 bad=0 count=0
	shift
	store >store.before
	for file in "$hostile"/$pattern.tar; do
		count=$((count + 1))
		is_refused "$file" "$@" || {
			echo "--- that was ${file##*/}" && bad=$((bad + 1))
			"$WHALEBOX" image rm refused >last 2>&1
			store >store.before
		}
	done
	same 0 "$bad" && differ 0 "$count"
}

victim=$scratch/victim
hostile=$scratch/hostile
mkdir "$victim" "$hostile" && echo precious >"$victim/file" &&
	archive hostile "$hostile" "$victim" && archive notes "$common" || exit 1
before_victim=$(ls -lR "$victim" && cat "$victim/file")

# ---- Load and run ------------------------------------------------------------

try 'loads a root file system, in each compression and from a pipe, and runs it' '
	for way in cat gzip "zstd -q"; do
		$way <"$common/plain.tar" >packed && box image load packed base &&
		want_status 0 && want_out base && want_no_err &&
		same 1 "$(layer_count)" &&
		run sh -c "$way <\"$common/plain.tar\" | \"\$WHALEBOX\" image load - base" &&
		want_status 0 && want_out base && same 1 "$(layer_count)" || exit
	done && box run base /bin/sh -c "echo \$\$ >/note; cat /note; ls /bin | wc -l" &&
	want_status 0 && want_no_err && want_line 1 &&
	want_line "$(ls "$WHALEBOX_ROOTFS/bin" | wc -l)" && box run base /bin/cat /note &&
	want_status 1
'

have_base >"$scratch/log" 2>&1

try 'is told to run an image in every spelling' '
	for words in "run base" "run base:latest" "run --image base" "--image base" \
	    "run --rm -i base" "container run base" "run --image=base --"; do
		box $words /bin/echo here && want_status 0 && want_out here && want_no_err ||
			exit
	done && box run base echo here && want_out here && box run base false &&
	want_status 1 && box run base sh -c "exit 7" && want_status 7 &&
	box run --image base -- echo here && want_out here &&
	for words in "image ls" "image list" images "image ls -q"; do
		box $words && want_status 0 && want_match "^base" || exit
	done && box image ls -q && want_out base
'

try 'has for an image it does not know a hint with those that there are' '
	for words in "run --image nobody /bin/true" "image save nobody x" "image rm nobody" \
	    "image tag nobody x" "image history nobody" "--image base:2 /bin/true"; do
		box $words && want_status 125 && want_out "" && want_match_err &&
		want_err "hint: " && want_err base && [ ! -e x ] || exit
	done && box run nobody && differ 0 "$status" && want_err "hint: " && want_err base &&
	box run nobody /bin/true && differ 0 "$status" && want_err base
'

try 'says how each word of image is used, where there is none, or another' '
	for words in image "image nosuch"; do
		box $words && want_status 125 && want_match_err && want_err \
		    "hint: image ls [-q], load FILE [NAME], save NAME FILE, tag NAME NEW, rm NAME..., " ||
		    exit
	done
'

try 'takes no name for an image that is none' '
	for name in "" . .. ../x a/b/../c -x "a b" "a${newline}b" "$(printf %0300d 0)" a:b:c \
	    a: :b /a a/ a//b; do
		box image load "$common/plain.tar" "$name" && want_status 125 && want_out "" ||
			exit
		[ "${name#-}" != "$name" ] || {
			box image tag base "$name" && want_status 125 && want_out "" || exit; }
	done && store >after && same 1 "$(layer_count)"
'

try 'gives the box what the image says: command, variables, folder, user' '
	for form in oci docker; do
		wrap $form image.tar "{\"Entrypoint\": [\"/bin/echo\", \"-n\"], \"Cmd\": [\"a b\", \"c\"]
		    }" && box image load image.tar talks && want_status 0 && want_no_err &&
		box run talks && want_status 0 && same "a b c" "$out" &&
		box run talks x y && same "x y" "$out" && want_status 0 &&
		box run --entrypoint /bin/ls talks -d /tmp && want_out /tmp &&
		box run --entrypoint ls talks /etc/passwd && want_out /etc/passwd &&
		wrap $form image.tar "{\"Cmd\": [\"sh\", \"-c\", \"pwd; id -u; echo \$COLOUR,\$X\"],
		    \"Env\": [\"COLOUR=red blue\", \"X=\", \"PATH=/usr/bin:/bin\"],
		    \"WorkingDir\": \"/var/tmp\"}" &&
		box image load image.tar says && want_status 0 &&
		box run says && want_status 0 && want_no_err &&
		want_out "/var/tmp${newline}0${newline}red blue," &&
		box run -w /etc -e COLOUR=green -e X=1 says && want_status 0 &&
		want_out "/etc${newline}0${newline}green,1" &&
		box run says env && want_line "PATH=/usr/bin:/bin" &&
		box image rm says talks && want_status 0 || exit
	done
'

try 'stops a box by the signal that its image names' '
	wrap oci image.tar "{\"StopSignal\": \"SIGUSR1\", \"Cmd\": [\"sh\", \"-c\",
	    \"trap \\\"exit 9\\\" USR1; trap : TERM; echo ready; while :; do sleep 0.1; done\"]}" &&
	box image load image.tar serves && want_status 0 &&
	box run -d --name one serves && want_status 0 && want_out one &&
	ready() { "$WHALEBOX" logs one | grep -qx ready; } && soon ready &&
	box stop one && want_status 0 && box inspect one exit_code && want_out 9 &&
	box start one && want_status 0 && ready2() { same 2 "$("$WHALEBOX" logs one |
	    grep -cx ready)"; } && soon ready2 && box stop one && want_status 0 &&
	box inspect one exit_code && want_out 9 && box rm one && box image rm serves &&
	want_status 0
'

try 'knows the signals for real time, as the images of systemd name them' '
	wrap oci image.tar "{\"StopSignal\": \"SIGRTMIN+3\", \"Cmd\": [\"sh\", \"-c\",
	    \"trap \\\"exit 9\\\" 37; trap : TERM; echo ready; while :; do sleep 0.1; done\"]}" &&
	box image load image.tar serves && want_status 0 &&
	box run -d --name one serves && want_status 0 &&
	ready() { "$WHALEBOX" logs one | grep -qx ready; } && soon ready &&
	box stop one && want_status 0 && box inspect one exit_code && want_out 9 &&
	box run --stop-signal SIGRTMIN+31 base true && want_status 125 && box rm one
'

if is_root || grep -qs "^$(id -un):" /etc/subuid; then
	try 'is who the image says, unless told' '
		wrap docker image.tar "{\"User\": \"guest\", \"Cmd\": [\"id\", \"-u\"]}" &&
		box image load image.tar guest && want_status 0 &&
		box run guest && want_status 0 && want_out 1000 && box run -u 33 guest &&
		want_out 33 && box image rm guest && want_status 0
	'
fi

try 'starts a box again on its image' '
	box run --name one base /bin/sh -c "echo x >>/note; wc -l </note" && want_status 0 &&
	want_out 1 && box inspect one image && want_match "base" &&
	box start one && want_status 0 && over() {
		[ "$("$WHALEBOX" inspect one status)" = exited ]; } && soon over &&
	box logs one && want_out 2 && box rm one && want_status 0
'

# ---- What there is in the store ----------------------------------------------

try 'shares layers between images, and removes one that no image needs any more' '
	same 1 "$(layer_count)" && box run --name one base sh -c "echo a >/a" &&
	box commit one second && want_status 0 && want_out second && same 2 "$(layer_count)" &&
	box image tag second third && want_status 0 && want_out third &&
	same 2 "$(layer_count)" && box image rm second && want_status 0 &&
	want_out second && same 2 "$(layer_count)" && box run third cat /a && want_out a &&
	box image rm third && want_status 0 && same 1 "$(layer_count)" &&
	box run base true && want_status 0 && box rm one && want_status 0
'

try 'removes no image that a box needs, running or not' '
	box image load "$common/plain.tar" mine && want_status 0 &&
	box run -d --name one mine sleep 300 && want_status 0 && store >before &&
	box image rm mine && want_status 125 && want_out "" && want_match_err &&
	want_err one && box stop -t 0 one && want_status 0 &&
	box image rm mine && want_status 125 && want_err one && store | cmp - before &&
	box rm one && want_status 0 && box image rm mine && want_status 0 &&
	want_out mine && box image ls -q && want_out base
'

try 'names the image, or those there are, to whom has no command in it' '
	box run base && want_status 125 && want_err "no command to run" &&
	want_err "  hint: whalebox run base sh" && box run no/image sh && want_status 127 &&
	want_err "execve(no/image)" && want_err "no image is called no/image: there are: base" &&
	box run ./no/image && want_status 127 && want_err "hint: the path is looked up" &&
	box image load / && want_status 125 && want_err "hint: make an archive of it: tar -C FOLDER" &&
	box image tag base more && box image remove more && want_status 0 && want_out more
'

try 'shows of what an image is made, and how large each layer is' '
	box run --name one base sh -c "echo \"Ciallo World!\" >newfile" && want_status 0 &&
	box commit one new && want_status 0 && want_no_err &&
	box image history new && want_status 0 && same 3 "$(wc -l <out)" &&
	want_match "(^| )14 B|(^| )14( |\$)" && want_match "newfile" &&
	box image history base && same 2 "$(wc -l <out)" && box run new cat newfile &&
	want_out "Ciallo World!" && box rm one && box image rm new && want_status 0
'

# ---- Commit ------------------------------------------------------------------

try 'commits what a box wrote, and neither its volumes nor its own /etc' '
	mkdir data && echo x >data/x &&
	box run --name one -v "$PWD/data:/data" base sh -c "echo 1 >/data/one; rm /etc/group
	    echo hosts >>/etc/hosts; mkdir -p /a/b; echo c >/a/b/c; rm -r /var; mkdir /var" &&
	want_status 0 && box commit one two && want_status 0 && want_out two && want_no_err &&
	box run two sh -c "cat /a/b/c; ls /etc/group; ls -A /data /var; grep hosts /etc/hosts" &&
	want_line c && want_err group && want_no_line x && want_no_line one &&
	want_no_line hosts && box image save two two.tar && want_status 0 &&
	archive tree two.tar >tree && same "" "$(grep -E " etc/(hosts|hostname|resolv.conf)" tree)" &&
	box commit one base2 && want_status 0 && box rm one && box image rm two base2 &&
	want_status 0
'

try 'commits a box that goes on writing' '
	box run -d --name one base sh -c "cd /tmp; i=0; while :; do i=\$((i + 1))
	    echo \$i >\$((i % 20)); rm -f \$((i % 7)); [ \$i != 99 ] || echo ready
	    done" && want_status 0 &&
	ready() { "$WHALEBOX" logs one | grep -qx ready; } && soon ready &&
	for try in 1 2 3; do
		box commit one copy && want_status 0 && want_out copy && want_no_err &&
		box run copy sh -c "cat /tmp/19" && want_status 0 && want_match "^[0-9]+\$" || exit
	done && box inspect one status && want_out running && box rm -f one && want_status 0 &&
	box image rm copy && want_status 0 && same 1 "$(layer_count)"
'

# The box has empty files that are called as the host's are, and a link to these.
try 'packs no file of the host, whatever a box puts in the place of a folder' '
	names=$(cd /usr/bin && find . -maxdepth 1 -type f -size -40k -name "[a-z]*" \
	    ! -name "*[!a-z0-9]*" | sed "s,./,," | head -n 300 | tr "\n" " ") &&
	box run -d --name one base sh -c "mkdir /x && cd /x && touch $names && cd / &&
	    ln -s /usr/bin l && echo ready && while :; do
		mv x z; mv l x; sleep 0.004; mv x l; mv z x; sleep 0.004; done" &&
	want_status 0 && ready() { "$WHALEBOX" logs one | grep -qx ready; } && soon ready &&
	for try in 1 2 3 4 5 6; do
		box commit one swaps && if [ "$status" -eq 0 ]; then
			box run swaps sh -c "for at in x z; do
			    [ -L /\$at ] || [ ! -d /\$at ] || find /\$at -type f -size +0; done" &&
			want_status 0 && want_out ""
		else
			want_status 125 && want_match_err
		fi || exit
	done && box rm -f one && want_status 0
'

try 'commits nothing of nobody, and no name that no archive can say' '
	store >before &&
	box commit nobody x && want_status 125 && want_out "" && want_err nobody &&
	box --name one /bin/true && want_status 0 && box commit one "../x" &&
	want_status 125 && want_out "" && box rm one && want_status 0 &&
	box run --name one base sh -c ": >/.wh.passwd; : >/etc/.wh..wh..opq" && want_status 0 &&
	box commit one x && want_status 125 && want_out "" && want_err ".wh." &&
	box rm one && want_status 0 && store | cmp - before
'

# A tree with all that is odd is made in a box, and has to be the same in boxes of
# what was committed, saved and loaded.
try 'keeps all that there is to know of a file' '
	box run --name one -v "$odd:/odd:ro" base sh -c "/odd make /tree 2>/noted
	    chmod 750 /tree; /odd list /tree" && want_status 0 && cp out listed &&
	differ 0 "$(wc -l <listed)" && box commit one odd && want_status 0 && want_out odd &&
	box rm one && want_status 0 && list() {
		box run -v "$odd:/odd:ro" "$1" /odd list /tree && want_status 0 && {
			cmp -s listed out || wrong "the same files" "$(diff listed out)"; }
	} && list odd && box image save odd odd.tar && want_status 0 && want_no_err &&
	box image rm odd && want_status 0 && same 1 "$(layer_count)" &&
	run sh -c "\"\$WHALEBOX\" image load - again <odd.tar" && want_status 0 &&
	want_out again && list again && box image save again - && want_status 0 &&
	cp out second.tar && archive tree second.tar >second.tree &&
	archive tree odd.tar | cmp - second.tree && box image rm again && want_status 0 &&
	same 1 "$(layer_count)"
'

try 'commits again and again, with whiteouts over each other' '
	box image tag base top && for n in 1 2 3 4 5 6; do
		box run --name one top sh -c "cd /tmp
			case $n in
			1) mkdir -p d/e; echo 1 >d/e/f; echo 1 >f; ln f g ;;
			2) rm -r d f; echo 2 >d ;;
			3) rm d; mkdir d; echo 3 >d/f; ln g h ;;
			4) rm -r d; mkdir -p d/e; ln -s /nowhere d/e/f ;;
			5) rm -r d; mkdir d; rm g; mkdir g; echo 5 >>h ;;
			6) rmdir d; mkfifo d; mv h g/h; chmod 700 g ;;
			esac; find . -type f -exec stat -c \"%n %A %s %h\" {} + | sort; find . ! -type f |
			    sort; find . -type d -exec stat -c \"%n %a\" {} + | sort" && want_status 0 &&
		cp out wanted && box commit one top && want_status 0 && box rm one &&
		want_status 0 && box run top sh -c "cd /tmp
		    find . -type f -exec stat -c \"%n %A %s %h\" {} + | sort; find . ! -type f |
			sort; find . -type d -exec stat -c \"%n %a\" {} + | sort" &&
		want_out "$(cat wanted)" || exit
	done && box image history top && same 8 "$(wc -l <out)" && box image save top top.tar &&
	want_status 0 && box image load top.tar top2 && want_status 0 && want_out top2 &&
	box image rm top top2 && want_status 0 &&
	same 1 "$(layer_count)"
'

# ---- Layers as archives have them --------------------------------------------

# shows_tree IMAGE FILE: a box of the image has this tree, as archive.py prints it.
shows_tree() {
	box run "$1" sh -c "cd / && find tree | while read -r path; do
		if [ -L \"\$path\" ]; then echo \"l \$path \$(readlink \"\$path\")\"
		elif [ -d \"\$path\" ]; then echo \"d \$path \"
		else echo \"f \$path \$(cat \"\$path\")\"; fi; done" && want_status 0 &&
	LC_ALL=C sort out >shown && grep " tree" "$2" | LC_ALL=C sort >wanted && {
		cmp -s wanted shown || wrong "$(cat wanted)" "$newline$(cat shown)"; }
}

for seed in "$SEED" "$((SEED + 1))"; do
	try "has 20 layers give what the specification says (SEED=$seed)" '
		archive layers layers.tar 20 "$seed" >tree && archive under layers.tar \
		    "$common/plain.tar" whole.tar &&
		box image load whole.tar many && want_status 0 && want_no_err &&
		shows_tree many tree && box image save many saved.tar && want_status 0 &&
		archive tree saved.tar | grep " tree" >again &&
		{ grep " tree" tree | diff - again || wrong "the same tree" "$(cat again)"; } &&
		box image rm many && want_status 0 && same 1 "$(layer_count)"
	'
done

try 'starts a box of 60 layers' '
	for n in $(seq 59); do
		mkdir -p l && echo $n >l/$n && tar -C l --owner=0 --group=0 -cf $n.tar $n || exit
	done && archive wrap oci many.tar "{}" "$common/plain.tar" $(seq -f %g.tar 59) &&
	box image load many.tar many && want_status 0 && want_no_err &&
	box run many sh -c "cat /[0-9]* | sort -n | uniq | wc -l; mkdir /new; echo x >/59" &&
	want_status 0 && want_out 59 && same 60 "$(layer_count)" &&
	box image history many && same 61 "$(wc -l <out)" && box image rm many &&
	want_status 0 && same 1 "$(layer_count)"
'

try 'empties a folder that a layer says nothing else of, the root, too' '
	mkdir -p one/tree/a two/tree/a three && echo 1 >one/tree/a/f && echo 2 >two/tree/g &&
	: >two/tree/a/.wh..wh..opq && : >three/.wh..wh..opq && echo 3 >three/h &&
	own="--owner=0 --group=0" && tar -C one $own -cf one.tar tree &&
	tar -C two $own -cf two.tar tree/a/.wh..wh..opq tree/g &&
	tar -C three $own -cf three.tar .wh..wh..opq h &&
	archive wrap oci whole.tar "{}" "$common/plain.tar" one.tar two.tar &&
	box image load whole.tar emptied && want_status 0 &&
	box run emptied sh -c "cd /tree && find . | sort | xargs" && want_out ". ./a ./g" &&
	box image load three.tar alone && want_status 0 && want_no_err &&
	archive wrap oci whole.tar "{}" "$common/plain.tar" three.tar "$common/plain.tar" &&
	box image load whole.tar again && want_status 0 &&
	box run again sh -c "ls -d /tree /h" && want_line /h && want_no_line /tree
'

try 'does not stack the layers of an image with aufs, asked for or the only one' '
	box --storage aufs run base /bin/true && want_status 125 && want_out "" &&
	want_err "hint: --storage overlay" && printf "nodev\taufs\n" >known &&
	run unshare $(is_root || echo --map-root-user) --mount sh -c "mount --bind known /proc/filesystems &&
	    exec \"\$WHALEBOX\" run base /bin/true" && want_status 125 && want_out "" &&
	want_err "hint: --storage overlay" && same 1 "$(layer_count)"
'

try 'calls an image by its file where nobody gives it a name' '
	for file in web.team.tar web.team.tar.gz web.team.tgz web.team; do
		ln "$common/plain.tar" "$file" && box image load "$file" && want_status 0 &&
		want_out web.team && box image rm web.team && want_status 0 || exit
	done
'

# Root of the host, and no other, makes devices; a link to one is no whiteout.
if is_root; then
	try 'commits no device, and no link to one' '
		box run --name one --userns host --cap-add MKNOD base sh -c \
		    "mknod /null c 1 3 && ln /null /too && echo here >/here" && want_status 0 &&
		box commit one two && want_status 0 && want_out two &&
		want_err "2 devices were left out" && box run two sh -c \
		    "cat /here; ls /null /too /bin/sh" && want_line here &&
		want_line /bin/sh && want_no_line /null && want_no_line /too &&
		box image history two && want_match " 5 "
	'
fi

try 'leaves out the notes of overlay and of the host, and devices with one warning' '
	for form in "" plain-; do
		box image load "$common/${form}notes.tar" noted && want_status 0 && want_out noted &&
		store >layers.txt && top=$(cd "$WHALEBOX_HOME/layers" && ls) && {
			for layer in $top; do
				getfattr -R -h -d -m - "$WHALEBOX_HOME/layers/$layer" 2>/dev/null
			done | grep -E "redirect|metacopy|origin|selinux|trusted|user\.kept" >kept
			true
		} && if [ -n "$(command -v getfattr)" ]; then
			same "" "$(grep -v user.kept kept)" && differ "" "$(cat kept)"
		fi && archive_has_none() {
			box image save noted saved.tar && want_status 0 &&
			archive attributes saved.tar >attributes &&
			same "user.kept" "$(sort -u attributes)"
		} && archive_has_none && archive tree saved.tar >tree &&
		grep -q "^f noted.user.overlay.redirect/own x" tree &&
		grep -q "^f noted.trusted.overlay.opaque/own x" tree &&
		same 0 "$(grep -c "redirect/file" tree)" && box image rm noted && want_status 0 &&
		box image load "$common/${form}devices.tar" noted && want_status 0 &&
		same 1 "$(grep -c "" err)" && want_err 3 && want_err device &&
		box image save noted saved.tar && archive tree saved.tar >tree &&
		same 0 "$(grep -cE " (zero|null|disk) " tree)" && box image rm noted &&
		want_status 0 || exit
	done
'

try 'shows nothing that a terminal would obey, and how old a layer is' '
	box image load "$common/told.tar" told && want_status 0 && box image history told &&
	want_status 0 && same 2 "$(wc -l <out)" && want_match "red" &&
	want_match " [0-9]+d " && same "" "$(tr -d "\n" <out | LC_ALL=C tr -d "[:print:]")" &&
	box image rm told && want_status 0
'

# ---- What nobody should believe ----------------------------------------------

try 'refuses a layer whose names lead out of it'        'are_refused "*name*-that*" && are_refused "*absolute-name*"'
try 'refuses a layer with links out of it'              'are_refused "*-hard-link*" && are_refused "*-link-that*"'
try 'refuses to write through a link, or a file'        'are_refused "*-behind-*" && are_refused "*-itself-*"'
try 'empties nothing through a link' '
	for file in "$hostile"/opaque-*.tar; do
		box image load "$file" opaque && case $status in
		0)   box image rm opaque && want_status 0 ;;
		125) want_match_err ;;
		*)   false ;;
		esac && same "$before_victim" "$(ls -lR "$victim" && cat "$victim/file")" || exit
	done
'
try 'refuses names that no file can have'               'are_refused "*-too-long"'
try 'refuses headers that are none, or lie'             'are_refused "broken-*"'
try 'refuses whiteouts of what is not in the layer'     'are_refused "*-whiteout*"'
try 'refuses a layer with ids that no box has'          'are_refused "*-above-65535" && are_refused "*-id-below-zero"'
try 'refuses what does not have the digest that it is to have' '
	are_refused "*-lying-digest" && are_refused "*-that-is-another" && are_refused "fewer-*"'
try 'refuses what is missing, or is a link'             'are_refused "no-*" && are_refused "*-is-a-link-*"'
try 'refuses a digest that is none'                     'are_refused "*-digest-*"'
try 'refuses a path in a manifest that leads out'       'are_refused "docker-layer-*" && are_refused "docker-config-*"'
try 'refuses JSON that is cut short, deep, or of another kind' '
	are_refused "index-*" && are_refused "manifest-*" && are_refused "config-*" &&
	are_refused "docker-manifest-*"'
try 'refuses an archive that is broken, or is none'     'are_refused "archive-*" && are_refused "layer-[cgi]*"'
try 'refuses more than --max-size says, of bytes and of files' '
	are_refused "bomb-*" --max-size 1m && are_refused "too-many-layers"'

# 24,000 KiB, for three megabytes with 250,000 keys.
try 'takes little memory, however long a configuration is' '
	archive long long.tar "$common/plain.tar" &&
	run sh -c "ulimit -v 24000; \"\$WHALEBOX\" image load long.tar long" && want_status 0 &&
	want_out long && box image rm long && want_status 0
'

try 'says for which processor an image is, and which there is' '
	store >store.before && for form in "" docker-; do
		is_refused "$hostile/${form}other-architecture.tar" && want_err arm64 &&
		want_err amd64 || exit
	done
'

try 'takes a name from an archive only if it is one' '
	store >before && for file in "$hostile"/name-*.tar; do
		box image load "$file" && if [ "$status" -eq 0 ]; then
			name=$out && box image ls -q && want_line "$name" &&
			box image rm "$name" && want_status 0
		else
			want_status 125 && want_match_err && want_out ""
		fi || exit
	done && store | cmp - before && box image load "$hostile/../no such file" x &&
	want_status 125 && want_err "No such file"
'

# ---- Faults and races --------------------------------------------------------

try 'writes an archive whole, or says that it could not' '
	run sh -c "\"\$WHALEBOX\" image save base - >/dev/full" && want_status 125 &&
	want_match_err && box image save base /nowhere/x && want_status 125 &&
	want_match_err && echo old >there && box image save base there && want_status 0 &&
	archive tree there >tree && grep -q "^f bin/busybox" tree &&
	mkdir folder && box image save base folder && want_status 125 && want_match_err &&
	run sh -c "{ \"\$WHALEBOX\" image save base -; echo \$? >status; } | head -c 1" &&
	same 125 "$(cat status)" && same "" "$(ls -A folder)"
'

try 'writes an archive for its owner alone, and nothing over a file beside it' '
	echo precious >kept.tar.new && umask 022 && box image save base kept.tar &&
	want_status 0 && same 600 "$(stat -c %a kept.tar)" &&
	same precious "$(cat kept.tar.new)" && same "kept.tar kept.tar.new" "$(echo kept*)"
'

try 'makes the same archive of the same image' '
	box image save base one.tar && want_status 0 && box image save base two.tar &&
	want_status 0 && archive get one.tar config >one && archive get two.tar config |
	    cmp - one
'

try 'loads the same, and other, images at once' '
	for n in 1 2 3 4; do
		{ "$WHALEBOX" image load "$common/plain.tar" "same$((n / 2))" >out.$n 2>err.$n
		    echo $? >>statuses; } &
		{ "$WHALEBOX" image load "$common/notes.tar" "notes$n" >out.1$n 2>err.1$n
		    echo $? >>statuses; } &
	done && wait && same "8 0" "$(sort statuses | uniq -c | sed "s/^ *//")" &&
	same 3 "$(layer_count)" && for n in 1 2 3 4; do
		{ "$WHALEBOX" image rm "notes$n" >>gone 2>&1; } &
	done && wait && box image rm same0 same1 same2 && want_status 0 &&
	same 1 "$(layer_count)" && box run base true && want_status 0
'

try 'removes no layer under a box that starts, whichever is first' '
	for n in 1 2 3 4 5 6; do
		box image load "$common/notes.tar" notes && want_status 0 &&
		archive wrap oci race.tar "{}" "$common/plain.tar" &&
		{ box image load race.tar race; } && want_status 0 &&
		{ timeout 20 "$WHALEBOX" run --name race$n race sh -c "sleep 0.2; ls /bin/sh" \
		    >ran.$n 2>&1; echo $? >status.$n; } & run_pid=$! &&
		sleep 0.0$((n % 3)) && { "$WHALEBOX" image rm race >gone.$n 2>&1; echo $? >removed.$n; } &&
		wait && case $(cat status.$n),$(cat removed.$n) in
		0,125) grep -q /bin/sh ran.$n && "$WHALEBOX" rm race$n >last && box image rm race && want_status 0 ;;
		12[57],0) grep -q "whalebox: " ran.$n ;;
		0,0) wrong "a box, or a removal" both ;;
		*) wrong "a box, or a removal" "$(cat ran.$n gone.$n)" ;;
		esac || exit
	done && box image rm notes && want_status 0
'

# A box that begins has this lock while it notes its layers, and looks for them.
try 'loads from a pipe what another writes there, whose turn is first' '
	run timeout 60 sh -c "\"\$WHALEBOX\" image save base - | \"\$WHALEBOX\" image load - piped" &&
	want_status 0 && want_out piped && want_no_err && box run piped echo here &&
	want_out here
'

try 'says which program it lacks' '
	mkdir few && ln -s "$(command -v tar)" few && for n in 1 2 3; do
		run env PATH="$PWD/few" "$WHALEBOX" image load "$common/plain.tar" lacking &&
		want_status 125 && want_out "" && want_err "coreutils" || exit
	done
'

try 'removes no layer while a box notes which it needs' '
	printf "no archive" >bad.tar &&
	run flock -s "$WHALEBOX_HOME/images" timeout 2 "$WHALEBOX" image load bad.tar bad &&
	want_status 124 && box image load bad.tar bad && want_status 125
'

try 'leaves nothing when it is killed, at any moment, but what the next removes' '
	archive layers many.tar 9 "$SEED" >tree && archive under many.tar "$common/plain.tar" \
	    killed.tar && box image load "$common/plain.tar" base && store >before && ls "$WHALEBOX_HOME" >tops &&
	for n in $(seq 25); do
		timeout --foreground -s KILL "0.$(printf %02d $((n * 3)))" \
		    "$WHALEBOX" image load killed.tar killed >killed.out 2>&1 || true
		timeout --foreground -s KILL "0.$(printf %02d $((n * 2)))" \
		    "$WHALEBOX" image rm killed >killed.out 2>&1 || true
	done && gone() {
		"$WHALEBOX" image rm killed >last 2>&1
		"$WHALEBOX" image load "$common/plain.tar" base && store | cmp - before
	} && soon gone && boxless() { [ -z "$(ls -A "$WHALEBOX_HOME/containers")" ]; } &&
	soon boxless && box ps -aq && want_out "" && ls "$WHALEBOX_HOME" | cmp - tops &&
	box run base true && want_status 0
'

# children PID: the numbers of its children.  The file is no whole line.
children() {
	numbers=
	read -r numbers <"/proc/$1/task/$1/children"
	echo "$numbers"
} 2>/dev/null

# stop_tool PID: stop the whalebox which has made a box for a tool, and is a child of that
# one.  Sets $tool_pid.
stop_tool() {
	while kill -0 "$1" 2>/dev/null; do
		for tool_pid in $(children "$1"); do
			[ -z "$(children "$tool_pid")" ] || { kill -STOP "$tool_pid"; return; }
		done
	done
	wrong "a tool in a box" "none"
}

# Were a tool not waited for, it would write where the next one unpacks a layer.
is_waited_for() {
	run timeout 2 "$WHALEBOX" image load "$common/notes.tar" notes && want_status 124
}
is_not_waited_for() {
	box image load "$common/notes.tar" notes && want_status 0 && want_out notes &&
	box image rm notes && want_status 0
}

try 'waits for a tool in a box whose whalebox was killed' '
	mkdir large && head -c 32m /dev/zero >large/zeros && tar -C large -cf large.tar . &&
	begin() { "$WHALEBOX" image load large.tar >slow.out 2>&1 & } && begin && slow_pid=$! &&
	stop_tool "$slow_pid" && kill -KILL "$slow_pid" && is_waited_for &&
	kill -CONT "$tool_pid" && is_not_waited_for
'

try 'waits for a skopeo whose whalebox was killed' '
	mkdir slow && cat >slow/skopeo <<-END && chmod 755 slow slow/skopeo &&
		#!/bin/sh
		trap "" TERM
		touch began
		n=0
		until [ -e go ] || [ \$n = 300 ]; do sleep 0.1; n=\$((n + 1)); done
	END
	begin() { PATH=$PWD/slow:$PATH "$WHALEBOX" image pull x/y >slow.out 2>&1 & } &&
	begin && slow_pid=$! && began() { [ -e began ]; } && soon began &&
	kill -KILL "$slow_pid" && is_waited_for && : >go && is_not_waited_for
'

if is_root; then
	try 'tells when the disk is full, and leaves nothing there' '
		cat >full.sh <<-END && mkdir disk &&
			mount -t tmpfs -o \$1 disk disk && export WHALEBOX_HOME=\$PWD/disk || exit
			timeout 60 "\$WHALEBOX" image load "$common/plain.tar" base
			status=\$?
			find disk -type f ! -name "*lock*" | head; du -s disk >&3
			"\$WHALEBOX" image ls -q
			exit \$status
		END
		for size in size=1500k size=300k nr_inodes=12 nr_inodes=60; do
			run unshare -m sh full.sh $size 3>used && want_status 125 && want_out "" &&
			want_match_err && want_err "No space left" || exit
		done
	'

	# ranged COMMAND...: as an ordinary user with a range, in a home of his own.
	user=$(getent passwd 1000 | cut -d : -f 1)
	ranged() {
		chmod 711 "$scratch" . && mkdir -p home && chown 1000:1000 home . &&
		echo "${user:-1000}:200000:65536" >grants &&
		run unshare --mount sh -c "mount --bind grants /etc/subuid &&
		    mount --bind grants /etc/subgid && exec \"\$@\"" sh \
		    setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all \
		    env WHALEBOX_HOME="$PWD/home" "$@"
	}
	try 'keeps all of it for a user with a range of ids' '
		cp "$common/plain.tar" "$odd" . && chmod 755 odd &&
		ranged "$WHALEBOX" image load plain.tar base && want_status 0 && want_no_err &&
		ranged "$WHALEBOX" run --name one -v "$PWD/odd:/odd:ro" base sh -c \
		    "/odd make /tree; /odd list /tree" && want_status 0 && want_no_err &&
		cp out listed && ranged "$WHALEBOX" commit one odd && want_status 0 && want_no_err &&
		ranged "$WHALEBOX" image save odd odd.tar && want_status 0 && want_no_err &&
		ranged "$WHALEBOX" rm one && ranged "$WHALEBOX" image rm odd base && want_status 0 &&
		same 0 "$(ls home/layers | wc -l)" &&
		ranged "$WHALEBOX" image load odd.tar again && want_status 0 && want_no_err &&
		ranged "$WHALEBOX" run -v "$PWD/odd:/odd:ro" again /odd list /tree &&
		want_status 0 && { cmp -s listed out || wrong "the same files" "$(diff listed out)"; } &&
		box image load odd.tar theirs && want_status 0 && want_no_err &&
		box run -v "$PWD/odd:/odd:ro" theirs /odd list /tree && want_status 0 &&
		{ cmp -s listed out || wrong "the same files" "$(diff listed out)"; } &&
		box image rm theirs && want_status 0 && ranged "$WHALEBOX" image rm again &&
		want_status 0
	'

	try 'has layers of a user whose own folder is of another id' '
		archive owners owners.tar && chmod 755 owners.tar &&
		ranged "$WHALEBOX" image load owners.tar owned && want_status 0 && want_no_err &&
		want_out owned && ranged "$WHALEBOX" image rm owned && want_status 0 &&
		want_out owned && same 0 "$(ls -A home/layers | wc -l)"
	'

	try 'has one image for a box with ids of its own and one without' '
		for ids in "" "--userns host"; do
			box run $ids base stat -c "%u:%g" /bin/busybox && want_status 0 && want_out 0:0 ||
				exit
		done
	'
else
	# Nobody else's is the range of this user.
	grep -qs "^$(id -un):\|^1000:" /etc/subuid ||
	try 'tells a user with a single id what cannot be kept' '
		archive owners owners.tar && store >before &&
		box image load owners.tar owned && want_status 0 && want_out owned &&
		same 2 "$(wc -l <err)" && want_err "whalebox: 3 files" && want_err "hint: " &&
		box image rm owned && want_status 0 && store | cmp - before
	'
fi

try 'has nothing left in the end' '
	box image rm base && want_status 0 && same 0 "$(layer_count)" && box image ls -q &&
	want_out "" && same "" "$(ls -A "$WHALEBOX_HOME/images")"
'

finish
