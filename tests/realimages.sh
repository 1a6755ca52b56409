#!/bin/sh
# realimages.sh: images that others made, and others who read ours: Debian's files by
# debootstrap, umoci, skopeo, a registry on this machine, podman.  Needs root, the
# network once, and some minutes: `make test-images` installs what it takes.
. "$(dirname "$0")/lib.sh"

is_root || {
	echo 'realimages.sh: only root can make a root file system of Debian' >&2
	exit 125
}
odd=$project/build/tests/odd
archive() {
	python3 "$project/tests/images/archive.py" "$@"
}

# ---- What there is to begin with ---------------------------------------------

# Debian's own, as it comes from where apt has its packages from; fetched once.
debian=$project/build/debian.tar
fetch_debian() {
	mkdir -p "$scratch/debian" &&
	apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(CODENAME)' \
	    'Origin: Debian' >"$scratch/sources" &&
	awk '$1 == "Packages" { print $3, $2; exit }' "$scratch/sources" >"$scratch/source" &&
	read -r suite mirror <"$scratch/source" &&
	debootstrap --variant=minbase "$suite" "$scratch/debian" "$mirror" \
	    >"$scratch/debootstrap" 2>&1 &&
	tar -C "$scratch/debian" --numeric-owner --xattrs --format=posix \
	    -cf "$debian.new" . && mv "$debian.new" "$debian"
}
if [ ! -e "$debian" ]; then
	fetch_debian || {
		tail -n 5 "$scratch/debootstrap"
		exit 1
	}
else
	mkdir "$scratch/debian" &&
	tar -C "$scratch/debian" --xattrs --xattrs-include='*' -xpf "$debian" || exit 1
fi

# The parts of a root file system that are its own.
parts='bin boot etc home lib media mnt opt root run sbin srv tmp usr var'

# own: what is in a list, but for what is a box's own.
own() {
	grep -Ev '^etc (d|.*:)|^etc/(hosts|hostname|resolv\.conf) ' "$1"
}

# in_box OPTION... IMAGE: the list of a box's files goes to ./out.
# shellcheck disable=SC2086 # a list of words
in_box() {
	box run --rm -v "$odd:/odd:ro" "$@" /odd list / $parts && want_status 0 && want_no_err
}

# same_files LIST LIST: 0 differences.
same_files() {
	own "$1" >first && own "$2" >second && differ 0 "$(wc -l <first)" && {
		cmp -s first second || wrong '0 differences' \
		    "$(diff first second | grep -c '^[<>]')$newline$(diff first second)"
	}
}

# ranged COMMAND...: as an ordinary user with a range of ids, in a home of its own.
user=$(getent passwd 1000 | cut -d : -f 1)
mkdir "$scratch/user" && chmod 711 "$scratch" && chown 1000:1000 "$scratch/user" || exit 1
cp "$WHALEBOX" "$odd" "$scratch/user" && cp -R "$WHALEBOX_ROOTFS" "$scratch/user" || exit 1
ranged() {
	echo "${user:-1000}:200000:65536" >grants
	LIMIT=300 run unshare --mount sh -c 'mount --bind grants /etc/subuid &&
	    mount --bind grants /etc/subgid && cd "$0" && exec "$@"' "$scratch/user" \
	    setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all \
	    env HOME="$scratch/user" WHALEBOX_HOME="$scratch/user/home" \
	    WHALEBOX_ROOTFS="$scratch/user/rootfs" "$@"
}
LIMIT=300

# What a class does with Debian: a user, a package, another user's shell.
work='set -e
	apt-get --version | head -n 1
	useradd -m -u 1234 ann
	su ann -c "id -un; id -u; touch ~/mine"
	stat -c "%U %u" /home/ann/mine
	dpkg --unpack /var/cache/apt/archives/tzdata_*.deb
	dpkg -i /var/cache/apt/archives/[bg]*sh_*.deb /var/cache/apt/archives/grep_*.deb
	dpkg -V grep; rm -r /usr/share/doc; mkdir /usr/share/doc
	ln /etc/passwd /etc/passwd.too; rm /usr/share/perl5/Debconf/Log.pm
	/odd list / '$parts' >&3'

# works RUNNER...: that work, done in a box of Debian named `deb`.
works() {
	"$@" run --name deb -v "$PWD:/listed" -v "$odd:/odd:ro" debian \
	    bash -c "exec 3>/listed/worked; $work" && want_status 0 &&
	want_match '^apt ' && want_line ann && want_line 1234 && want_line 'ann 1234'
}

# ---- Debian ------------------------------------------------------------------

it 'Debian has every file as debootstrap left it' '
	box image load "$debian" debian && want_status 0 && want_out debian &&
	same "" "$(sed "/^whalebox: .* devices* w.* left out/d" err)" &&
	"$odd" list "$scratch/debian" $parts >before && in_box debian && same_files before out
'

it 'Debian works as a box of root, and is as it was through commit, save and load' '
	works box && box commit deb worked && want_status 0 && want_no_err &&
	in_box worked && cp out committed && same_files worked committed &&
	box image save worked "$scratch/worked.tar" && want_status 0 && want_no_err &&
	box rm deb && box image rm worked && want_status 0 &&
	box image load "$scratch/worked.tar" again && want_status 0 && want_no_err &&
	in_box again && same_files worked out && box image rm again && want_status 0
'

it 'Debian works as a box of a user with a range of ids, and stays so' '
	cp "$debian" "$scratch/user/debian.tar" && mkdir listed && chown 1000:1000 listed . &&
	user_box() { ranged "$scratch/user/whalebox" "$@"; } &&
	user_box image load debian.tar debian && want_status 0 &&
	odd=$scratch/user/odd && cd listed && works user_box && cp worked ../ && cd .. &&
	user_box commit deb worked && want_status 0 && want_no_err &&
	user_box image save worked saved.tar && want_status 0 && want_no_err &&
	user_box rm deb && user_box image rm worked debian && want_status 0 &&
	box image load "$scratch/user/saved.tar" theirs && want_status 0 && want_no_err &&
	in_box theirs && same_files worked out && box image rm theirs && want_status 0
'

it 'Debian is the same for skopeo and umoci' '
	[ -e "$scratch/worked.tar" ] && run skopeo inspect --format \
	    "{{.Os}} {{len .Layers}}" "oci-archive:$scratch/worked.tar" &&
	want_status 0 && want_out "linux 2" &&
	run skopeo copy -q "oci-archive:$scratch/worked.tar" oci:layout:worked &&
	want_status 0 && run umoci unpack --image layout:worked bundle && want_status 0 &&
	"$odd" list bundle/rootfs $parts >unpacked &&
	box image load "$scratch/worked.tar" again && want_status 0 && in_box again &&
	same_files unpacked out && box image rm again && want_status 0
'

it 'a docker archive that skopeo made of it is loaded, too' '
	run skopeo copy -q "oci-archive:$scratch/worked.tar" \
	    docker-archive:docker.tar:debian:worked && want_status 0 &&
	box image load docker.tar && want_status 0 && want_out debian:worked &&
	in_box debian:worked && cp out ours && box image load "$scratch/worked.tar" again &&
	in_box again && same_files ours out && box image rm debian:worked again &&
	want_status 0
'

if command -v podman >/dev/null; then
	# A machine with cgroup v1 beside v2 is none for crun; so it sees v2 alone.
	it 'podman loads an image of ours, and runs it' '
		cat >podman.sh <<-END && mkdir storage &&
			umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
			mount -t tmpfs storage storage || exit
			pod() {
				podman --root \$PWD/storage/root --runroot \$PWD/storage/run \\
				    --tmpdir \$PWD/storage/tmp --storage-driver vfs \\
				    --events-backend file --cgroup-manager cgroupfs "\$@"
			}
			pod load -q -i "$scratch/worked.tar" >loaded && cat loaded &&
			pod run --rm --network none --cgroups=disabled --ulimit nofile=1024:1024 \\
			    --ulimit nproc=1024:1024 "\$(sed "s/.*: //" loaded)" \\
			    sh -c "su ann -c \"id -un\"; ls /usr/share/doc | wc -l"
		END
		run unshare --mount sh podman.sh && want_status 0 && want_line ann && want_line 0
	'
else
	skip 'podman is not installed' 'podman loads an image of ours, and runs it'
fi

# ---- umoci's images, and a registry ------------------------------------------

# An image of three layers, as umoci makes them; the last has whiteouts.
make_theirs() {
	umoci init --layout theirs && umoci new --image theirs:one || return
	for step in 1 2 3; do
		umoci unpack --image theirs:one bundle || return
		case $step in
		1) cp -a "$WHALEBOX_ROOTFS/." bundle/rootfs && "$odd" make bundle/rootfs/tree ;;
		2) mkdir bundle/rootfs/d && echo a >bundle/rootfs/d/a && echo f >bundle/rootfs/f ;;
		3) rm -r bundle/rootfs/d bundle/rootfs/tree/modes bundle/rootfs/f &&
		   mkdir bundle/rootfs/f && echo d >bundle/rootfs/d ;;
		esac && umoci repack --image theirs:one bundle && rm -r bundle || return
	done
	umoci config --image theirs:one --config.entrypoint /bin/echo --config.cmd said \
	    --config.env COLOUR=blue --config.workingdir /tmp --config.user guest
}

it 'an image that umoci made is loaded, and is what umoci unpacks' '
	make_theirs >made 2>&1 && skopeo copy -q oci:theirs:one \
	    "oci-archive:$scratch/theirs.tar:theirs:one" &&
	box image load "$scratch/theirs.tar" && want_status 0 && want_no_err &&
	want_out theirs:one && box run theirs:one && want_out said && want_no_err &&
	box run --entrypoint "" theirs:one sh -c "pwd; id -un; echo \$COLOUR" &&
	want_out "/tmp${newline}guest${newline}blue" &&
	umoci unpack --image theirs:one bundle >made 2>&1 &&
	"$odd" list bundle/rootfs tree d f bin >unpacked &&
	box run --entrypoint "" -u 0 -v "$odd:/odd:ro" theirs:one /odd list / tree d f bin &&
	want_status 0 && same_files unpacked out && box image rm theirs:one && want_status 0
'

# with_registry COMMAND...: in a network of its own, with a registry at 127.0.0.1 and,
# as if it were another machine, at 10.9.8.7.
with_registry() {
	cat >registry.yml <<-END
		version: 0.1
		storage: { filesystem: { rootdirectory: $PWD/registry } }
		http: { addr: ":5000" }
		log: { level: error }
	END
	run unshare --net sh -c 'ip link set lo up && ip address add 10.9.8.7/32 dev lo || exit
	    docker-registry serve registry.yml >registry.log 2>&1 & server=$!
	    for try in $(seq 100); do
		skopeo copy -q --dest-tls-verify=false "oci-archive:$0" \
		    docker://127.0.0.1:5000/some/theirs:one 2>copied && break; sleep 0.1
	    done
	    "$@"; status=$?; kill $server; exit $status' "$scratch/theirs.tar" "$@"
}

it 'an image is pulled from a registry' '
	with_registry "$WHALEBOX" image pull 127.0.0.1:5000/some/theirs:one && want_status 0 &&
	want_out theirs:one && box run theirs:one pulled && want_out pulled &&
	box image rm theirs:one && want_status 0 &&
	with_registry "$WHALEBOX" image pull localhost:5000/some/theirs:one mine &&
	want_status 0 && want_out mine && box run mine pulled && want_out pulled &&
	box image rm mine && want_status 0
'

it 'nothing is pulled by plain http from another machine, or from nowhere' '
	box image ls -q && cp out before &&
	for reference in 10.9.8.7:5000/some/theirs:one 127.0.0.1:5000/some/nothing:one \
	    127.0.0.1:5001/x "127.0.0.1:5000/some/theirs:no such" -x ../x; do
		with_registry "$WHALEBOX" image pull "$reference" && want_status 125 &&
		want_out "" && want_err "whalebox: " || exit
	done && box image ls -q && cmp before out
'

it 'without skopeo, pull names the package' '
	mkdir tools && for tool in tar gzip zstd sha256sum; do
		ln -s "$(command -v $tool)" tools || exit
	done && run env PATH="$PWD/tools" "$WHALEBOX" image pull 127.0.0.1:5000/x &&
	want_status 125 && want_out "" && want_err skopeo && want_err "hint: "
'

# ---- Times -------------------------------------------------------------------

if [ -x "$project/bench/images.sh" ]; then
	it 'load takes at most 1.5 times umoci, and a box of 20 layers starts in 1.3 times' '
		LIMIT=1800 && run "$project/bench/images.sh" "$scratch/worked.tar" &&
		want_status 0 &&
		sed "s/^/# /" out >&3
	' 3>&1
fi

for image in $("$WHALEBOX" image ls -q 2>"$scratch/log"); do
	"$WHALEBOX" image rm "$image" >"$scratch/log" 2>&1
done
finish
