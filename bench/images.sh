#!/bin/sh
# images.sh: how long it takes to load an image, beside umoci, and to start a box of
# many layers, beside one of a single rootfs. Prints a Markdown table, and ends with 1
# if a goal is missed. Needs root, and a machine with nothing else to do.

set -eu
umask 022

case ${1-} in
-h | --help)
	cat <<'END_OF_HELP'
usage: bench/images.sh [FILE]

Measures whalebox's `image load` of the OCI archive FILE (a small one, unless told)
beside skopeo and umoci, who unpack the same one, and starts of a box of 20 layers
beside those of a single rootfs. Needs root, skopeo and umoci; `make` first.
END_OF_HELP
	exit
	;;
esac

. "$(dirname "$0")/apart.sh"
archive=${1:+$(realpath "$1")}
w=$project/whalebox
chmod 711 "$tmp"        # root of a user namespace has to walk through
export WHALEBOX_HOME="$tmp/home" WHALEBOX_ROOTFS="$tmp/rootfs"
"$project/busybox-rootfs.sh" "$WHALEBOX_ROOTFS"
compile timer

# row WHAT MEASURED GOAL
row() {
	echo "| $1 | $2 | $3 |"
}

# race ROUNDS FIRST SECOND: the median of each in ms, and that of their ratios, round
# by round. Each is a file of a command, a word a line.
race() {
	"$built/timer" race "$@" 2>"$tmp/said" >"$tmp/times" || {
		cat "$tmp/said" >&2
		exit 1
	}
	awk '{ print $1 }' "$tmp/times" | median >"$tmp/first"
	awk '{ print $2 }' "$tmp/times" | median >"$tmp/second"
	awk '{ print 1000 * $1 / $2 }' "$tmp/times" | median >"$tmp/ratio"
	read -r first <"$tmp/first"
	read -r second <"$tmp/second"
	read -r ratio <"$tmp/ratio"
}

# median: of the numbers on standard input, a thousandth of it.
median() {
	sort -n | awk '{ t[NR] = $1 }
		END { printf "%.2f\n", t[int((NR + 1) / 2)] / 1000 }'
}

# meets RATIO GOAL: or this ends with 1.
missed=0
meets() {
	awk -v ratio="$1" -v goal="$2" 'BEGIN { exit ratio > goal }' || missed=1
}

# ---- Load --------------------------------------------------------------------

tar -C "$WHALEBOX_ROOTFS" --numeric-owner -cf "$tmp/plain.tar" .
"$w" image load "$tmp/plain.tar" single >"$tmp/said"
if [ -z "$archive" ]; then
	archive=$tmp/single.tar
	"$w" image save single "$archive"
fi
skopeo copy -q "oci-archive:$archive" "oci:$tmp/layout:image"

# umoci takes a folder alone; whalebox, the archive.
printf '%s\n' '#!/bin/sh' 'set -e' "\"$w\" image load \"$archive\" loaded" \
    >"$tmp/load.sh"
printf '%s\n' '#!/bin/sh' 'set -e' \
    "umoci unpack --image \"$tmp/layout:image\" \"\$(mktemp -u \"$tmp/unpacked/XXXXXX\")\"" \
    >"$tmp/unpack.sh"
# What a round has made goes before the next, by what is not measured.
printf '%s\n' '#!/bin/sh' "\"$w\" image rm loaded" >"$tmp/clean.sh"
mkdir "$tmp/unpacked"
printf '%s\n' /bin/sh "$tmp/load.sh" >"$tmp/load"
printf '%s\n' /bin/sh "$tmp/unpack.sh" >"$tmp/unpack"
: >"$tmp/all"
for round in 1 2 3 4 5; do
	"$built/timer" race 1 "$tmp/load" "$tmp/unpack" >>"$tmp/all" 2>"$tmp/said" || {
		cat "$tmp/said" >&2
		exit 1
	}
	sh "$tmp/clean.sh" >"$tmp/said"
	rm -rf "$tmp/unpacked" && mkdir "$tmp/unpacked"
done
load=$(awk '{ print $1 }' "$tmp/all" | median)
unpack=$(awk '{ print $2 }' "$tmp/all" | median)
ratio=$(awk '{ print 1000 * $1 / $2 }' "$tmp/all" | median)

echo "| what | measured | goal |"
echo "|---|---|---|"
row "\`image load\`, beside \`umoci unpack\`" "$load ms, $unpack ms: $ratio" "≤ 1.5"
meets "$ratio" 1.5

# ---- Start -------------------------------------------------------------------

"$w" image tag single many >"$tmp/said"
for layer in $(seq 19); do
	"$w" run --name bench$$ many /bin/sh -c "echo $layer >/layer.$layer"
	"$w" commit bench$$ many >"$tmp/said"
	"$w" rm bench$$ >"$tmp/said"
done
printf '%s\n' "$w" /bin/true >"$tmp/one"
printf '%s\n' "$w" --image many /bin/true >"$tmp/twenty"
race 100 "$tmp/twenty" "$tmp/one"
row "a box of 20 layers, beside one of a rootfs" "$first ms, $second ms: $ratio" "≤ 1.3"
meets "$ratio" 1.3
exit $missed
