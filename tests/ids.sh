#!/bin/sh
# needs: root host
# ids.sh: a box has the ids that nobody else has, or that its caller was granted,
# however /etc/subuid says so, and the groups that it is to have.
. "$(dirname "$0")/lib.sh"

user=$(getent passwd 1000 | cut -d : -f 1)

# granting LINES COMMAND...: runs it where /etc/subuid and /etc/subgid have these.
# A line of @ is the user's name.
granting() {
	printf '%b' "$1" | sed "s/@/$user/" >grants
	shift
	run unshare --mount sh -c 'mount --bind grants /etc/subuid &&
		mount --bind grants /etc/subgid && exec "$@"' sh "$@"
}

# as_user LINES ARGUMENT...: there, whalebox as an ordinary user of two groups.
as_user() {
	mkdir -p home && chmod 711 "$scratch" . && chown 1000:1000 home &&
	lines=$1 && shift &&
	granting "$lines" setpriv --reuid 1000 --regid 1000 --groups 1000,27 \
	    --inh-caps=-all env WHALEBOX_HOME="$PWD/home" PATH="$path" "$WHALEBOX" "$@"
}
path=$PATH

# maps FIRST COUNT: the box's first ids, or a user's from 1 on.
maps() {
	want_match "^ *[01] +$1 +$2\$"
}

it 'lets a user with a range leave all groups, and take others' '
	as_user "@:200000:65536\n" /bin/sh -c "id -G; cat /proc/self/setgroups" &&
	want_status 0 && want_no_err && want_out "0${newline}allow" &&
	as_user "@:200000:65536\n" -u nobody /bin/id -G && want_status 0 &&
	want_out "$(sed -n "s/^nobody:[^:]*:[^:]*:\([0-9]*\).*/\1/p" \
	    "$WHALEBOX_ROOTFS/etc/passwd")"
'

it 'lets a user without a range leave no group' '
	as_user "" /bin/cat /proc/self/setgroups /proc/self/uid_map &&
	want_status 0 && want_line deny && maps 1000 1
'

it 'finds the range of a user by number, and the largest of several' '
	as_user "1000:300000:65536\n" /bin/cat /proc/self/uid_map &&
	want_status 0 && maps 300000 65536 &&
	as_user "@:1001:1\nnoline\n@:1:x\n@:400000:65536\n1000:300000:70000\n" \
	    /bin/cat /proc/self/uid_map /proc/self/gid_map &&
	want_status 0 && maps 300000 70000 && same 4 "$(wc -l <out)"
'

it 'takes no range that has the id of the user itself' '
	as_user "@:1:65536\n@:500000:1000\n" /bin/cat /proc/self/uid_map &&
	want_status 0 && want_no_err && maps 500000 1000
'

it 'looks for newuidmap along PATH' '
	mkdir tools && for tool in newuidmap newgidmap; do
		printf "#!/bin/sh\n: >>%s/used\nexec /usr/bin/%s \"\$@\"\n" \
		    "$PWD/tools" "$tool" >"tools/$tool" || exit
	done && chmod 755 tools/new* && chmod 777 tools &&
	path=$PWD/tools:$PATH &&
	as_user "@:200000:65536\n" /bin/cat /proc/self/uid_map &&
	want_status 0 && maps 200000 65536 && [ -e tools/used ] &&
	path=/nowhere &&
	as_user "@:200000:65536\n" /bin/cat /proc/self/uid_map &&
	want_status 0 && maps 1000 1 && same 1 "$(wc -l <out)"
'

it 'gives root of a box nobody else has' '
	granting "root:1001:1\nroot:200000:65536\n" "$WHALEBOX" /bin/cat /proc/self/uid_map &&
	want_status 0 && want_no_err && maps 200000 65536 &&
	granting "root:1001:1\n" "$WHALEBOX" /bin/cat /proc/self/uid_map &&
	want_status 0 && want_no_err && maps 100000 65536 &&
	granting "0:300000:65537\n" "$WHALEBOX" /bin/cat /proc/self/uid_map &&
	want_status 0 && want_no_err && maps 300000 65537
'

# As the first useradd of Debian has it.
it 'has no ids that were granted to somebody, and says so' '
	granting "@:100000:65536\n" "$WHALEBOX" /bin/cat /proc/self/uid_map &&
	want_status 0 && maps 165536 65536 && want_err "ids that \"$user\" has" &&
	want_err "hint: keep these for root: usermod --add-subuids 165536-231071 root" &&
	want_err "usermod --add-subgids 165536-231071 root" &&
	granting "@:100000:65536\nroot:165536:65536\n" "$WHALEBOX" \
	    /bin/cat /proc/self/uid_map && want_status 0 && want_no_err &&
	maps 165536 65536 &&
	granting "x:100000:65536\ny:150000:100000\nz:250001:1\n" "$WHALEBOX" \
	    /bin/cat /proc/self/uid_map && want_status 0 && maps 250002 65536 &&
	granting "x:100000:4294867295\n" "$WHALEBOX" /bin/true &&
	want_status 125 && want_out "" && want_err "hint: give root a line in /etc/subuid"
'

it 'has no ids that are those of an account' '
	granting "root:1000:65536\n" "$WHALEBOX" /bin/cat /proc/self/uid_map &&
	want_status 0 && maps 100000 65536 && want_err "ids that \"" &&
	granting "root:0:65536\n" "$WHALEBOX" /bin/cat /proc/self/uid_map &&
	want_status 0 && maps 100000 65536 && want_err "ids that \"root\" has"
'

# finds LINES: the doctor of a user, or of root.
it 'has a doctor that names ids which others have, and free ones' '
	granting "@:100000:65536\n" "$WHALEBOX" doctor &&
	want_line "            ids 0 to 65535 of a box are 165536 to 231071 here" &&
	want_match "boxes would have ids that .$user. has" &&
	want_line "            hint: keep these for root: usermod --add-subuids 165536-231071 root" &&
	as_user "@:200000:65536\nx:210000:3\n" doctor &&
	want_line "            id 0 of a box is 1000 here, and 1 to 65536 are 200000 to 265535" &&
	want_match ".x. was granted some of these ids, too" &&
	want_match "hint: nobody has these: usermod --add-subuids 100000-165535 $user" &&
	as_user "" doctor && want_match "a box has one id, 0, which is 1000" &&
	want_match "/etc/subuid grants no more"
'

it 'has a doctor that looks at newuidmap' '
	mkdir tools && cp /usr/bin/newuidmap tools && chmod 755 tools/newuidmap &&
	path=$PWD/tools:$PATH && as_user "@:200000:65536\n" doctor &&
	want_match "$PWD/tools/newuidmap is not set-user-ID root: chmod u.s" &&
	path=/nowhere && as_user "@:200000:65536\n" doctor &&
	want_match "there is no newuidmap, which a range takes"
'

finish
