#!/bin/sh
# needs:
. "$(dirname "$0")/../../tests/lib.sh"

# A root file system as one archive, which is how `docker export` gives it.
plain=$scratch/plain.tar
tar -C "$WHALEBOX_ROOTFS" --numeric-owner --owner=0 --group=0 -cf "$plain" . || exit 1

# clean: what a test that failed has left is not to be in the way of the next.
clean() {
	"$WHALEBOX" ps -aq 2>/dev/null | xargs -r "$WHALEBOX" rm -f >/dev/null 2>&1
	"$WHALEBOX" image ls -q 2>/dev/null | xargs -r "$WHALEBOX" image rm >/dev/null 2>&1
	true
}

# have NAME: the image is there, of one layer, and nothing else is.
have() {
	clean && box image load "$plain" "$1" && want_status 0 && want_out "$1"
}

# gone IMAGE...: they are removed, and nothing is left of them.
gone() {
	box image rm "$@" && want_status 0 && same "" "$(layers)"
}

layers() {
	ls "$WHALEBOX_HOME/layers"
}

# put FILE: makes a blob of it, and prints its digest.
put() {
	mkdir -p oci/blobs/sha256 &&
	sum=$(sha256sum <"$1") && sum=${sum%% *} && cp "$1" "oci/blobs/sha256/$sum" &&
	echo "sha256:$sum"
}

# entry KIND FILE: what refers to a blob of that kind.
entry() {
	printf '{"mediaType": "application/vnd.oci.image.%s", "digest": "%s", "size": %d}' \
	    "$1" "$(put "$2")" "$(wc -c <"$2")"
}

# archive ARCHITECTURE CONFIG: ./oci.tar is the image of that configuration and of
# the root file system, written by hand.
archive() {
	clean
	rm -rf oci
	printf '{"architecture": "%s", "os": "linux", "config": {%s}, "rootfs":
	    {"type": "layers", "diff_ids": ["%s"]}}' "$1" "$2" "$(put "$plain")" >config &&
	printf '{"schemaVersion": 2, "config": %s, "layers": [%s]}' \
	    "$(entry config.v1+json config)" "$(entry layer.v1.tar "$plain")" >manifest &&
	printf '{"schemaVersion": 2, "manifests": [%s]}' \
	    "$(entry manifest.v1+json manifest)" >oci/index.json &&
	echo '{"imageLayoutVersion": "1.0.0"}' >oci/oci-layout &&
	tar -C oci -cf oci.tar .
}

case $(uname -m) in
x86_64)  own=amd64 other=arm64 ;;
aarch64) own=arm64 other=amd64 ;;
esac

# refused [OPTION...] FILE: not loaded, with one line that says why, and nothing is
# left.
refused() {
	box image load "$@" bad && want_status 125 && want_out "" &&
	same 1 "$(grep -c "^whalebox: " err)" && same "" "$(layers)" &&
	box image ls -q && want_out ""
}

it 'loads a root file system as an image of one layer, and runs it' '
	have img && same "$(sha256sum <"$plain" | cut -d " " -f 1)" "$(layers)" &&
	box run img /bin/sh -c "echo x >/new; ls /new /etc/passwd" && want_status 0 &&
	want_out "/etc/passwd${newline}/new" && box run img ls /new && want_status 1 &&
	box --image img /bin/echo yes && want_out yes && gone img
' 'The name of a layer is the sha256 of its archive. It is one more lower folder.'

slow 'reads from a pipe, and what gzip has made smaller' '
	run sh -c "gzip -c \"$plain\" | \"\$WHALEBOX\" image load - img" && want_status 0 &&
	want_out img && same "$(sha256sum <"$plain" | cut -d " " -f 1)" "$(layers)" &&
	box run img true && want_status 0 && gone img
' 'The first bytes tell which program can read it. The layer is what that prints.'

it 'lists images, and gives one another name' '
	have img && box image tag img other && want_status 0 && want_out other &&
	box image ls -q && want_line img && want_line other && box images &&
	want_match "^other " && same 1 "$(layers | wc -l)" &&
	box image rm img && want_status 0 && box run other true && want_status 0 && gone other
' 'An image is a file with the ids of its layers. Two may name the same ones.'

slow 'says which images there are, if it is asked for another' '
	have img && box run --image none /bin/true && want_status 125 && want_err "none" &&
	want_err "hint: " && want_err img && box image rm none && want_status 125 && gone img
' 'The hint lists the folder images.'

it 'commits one line as a layer of 14 bytes' '
	have img && box run --name one img sh -c "echo \"Ciallo World!\" >newfile" &&
	want_status 0 && box commit one two && want_status 0 && want_out two &&
	box image history two && want_status 0 && same 3 "$(wc -l <out)" &&
	same 14 "$(sed -n 2p out | tr -s " " | cut -d " " -f 2)" && want_match newfile &&
	same 2 "$(layers | wc -l)" && box rm one && box run two cat /newfile &&
	want_out "Ciallo World!" && box run img ls /newfile && want_status 1 && gone img two
' 'What is in upper is the layer. Below it are those of the image it was run on.'

it 'commits what was removed, and not what the box was lent' '
	mkdir data && echo x >data/x && have img &&
	box run --name one -v "$PWD/data:/data" img sh -c "rm /etc/group; rm -r /var
	    mkdir /var; echo mine >>/etc/hosts; echo y >/data/y" && want_status 0 &&
	box commit one two && want_status 0 && want_out two && box rm one &&
	box run two sh -c "ls /etc/group; ls -A /var /data; cat /etc/hosts" &&
	want_err group && want_no_match "^[xy]\$" && want_no_line mine &&
	want_no_line tmp && gone img two
' 'A whiteout is a device 0/0 in upper, and .wh.NAME in an archive. /etc/hosts is in the init layer.'

it 'saves an image that others can read, and loads it again' '
	have img && box run --name one img sh -c "rm /etc/group; rm -r /var; mkdir /var
	    echo a >/a; ln /a /b; chmod 4711 /a" && want_status 0 &&
	box commit one two && box rm one && box image save two two.tar && want_status 0 &&
	tar -tf two.tar | sed "s|^\\./||" >names && grep -qx oci-layout names &&
	grep -qx index.json names && same 4 "$(grep -c "^blobs/sha256/.*[^/]\$" names)" &&
	gone img two && box image load two.tar again && want_status 0 && want_out again &&
	same 2 "$(layers | wc -l)" && box run again sh -c "ls /etc/group; ls -A /var
	    stat -c \"%a %h\" /a /b" && want_out "4711 2${newline}4711 2" && want_err group &&
	gone again
' 'oci-layout, index.json, and blobs: a manifest, a configuration, and the layers.'

it 'runs what the image says, unless told otherwise' '
	archive $own "\"Entrypoint\": [\"/bin/echo\", \"a b\"], \"Cmd\": [\"c\"]" &&
	box image load oci.tar img && want_status 0 && box run img && want_out "a b c" &&
	box run img d && want_out "a b d" && box run --entrypoint /bin/ls img /etc/passwd &&
	want_out /etc/passwd && gone img &&
	archive $own "\"Env\": [\"COLOUR=blue\"], \"WorkingDir\": \"/tmp\",
	    \"Cmd\": [\"sh\", \"-c\", \"pwd; echo \$COLOUR\"]" &&
	box image load oci.tar img && want_status 0 && box run img &&
	want_out "/tmp${newline}blue" && box run -w /etc -e COLOUR=red img &&
	want_out "/etc${newline}red" && gone img
' 'They are defaults of the options -e, -w, -u, of the command, and of what stop sends.'

slow 'believes no digest' '
	archive $own "\"Cmd\": []" && box image load oci.tar img && want_status 0 && gone img &&
	for blob in oci/blobs/sha256/*; do
		cp "$blob" whole && echo >>"$blob" && tar -C oci -cf bad.tar . &&
		refused bad.tar && rm "$blob" && tar -C oci -cf bad.tar . && refused bad.tar &&
		mv whole "$blob" || exit
	done
' 'Compute each before its content is looked at.'

slow 'takes no image that is for another processor' '
	archive $other "\"Cmd\": []" && refused oci.tar &&
	box image load oci.tar && want_status 125 && want_err $own && want_err $other
' 'The configuration has an architecture.'

it 'unpacks nothing outside of the layer' '
	have img && gone img && mkdir victim in && echo precious >victim/file && : >in/f && cd in &&
	tar -P --transform "s|^|$PWD/../victim/|" -cf ../absolute.tar f &&
	tar -P --transform "s|^|../|" -cf ../up.tar f && ln -s "$PWD/../victim" l &&
	tar -cf ../link.tar l && rm l && mkdir l && : >l/through && : >l/file &&
	tar -rf ../link.tar l/through l/file && rm l/file && ln ../victim/file l/file &&
	ln l/file g && tar -P --transform "flags=h;s|^l|$PWD/../victim|" -cf ../hard.tar l/file g &&
	cd .. && for bad in absolute up link hard; do
		refused $bad.tar && same file "$(ls -A victim)" &&
		same precious "$(cat victim/file)" || exit
	done
' 'Names and links that lead out, and names behind a link. tar is in a box for that.'

slow 'unpacks no more than --max-size says' '
	clean && mkdir big && head -c 3000000 /dev/zero >big/zeros && tar -C big -cf - . |
	    gzip >big.tar && refused --max-size 1m big.tar && box image load big.tar img &&
	want_status 0 && gone img && mkdir many && ( cd many && touch $(seq 600) ) &&
	tar -cf many.tar many && refused --max-size 1m many.tar
' 'Count what comes out, while it comes. A file of no bytes takes room, too.'

it 'removes no image under a box' '
	have img && box run --name one img true && want_status 0 &&
	box image rm img && want_status 125 && want_out "" && want_err one &&
	box start one && want_status 0 && box rm -f one && gone img
' 'The folder of each box says which layers it needs.'

clean
finish
